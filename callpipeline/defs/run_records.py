"""Runs as Dagster keeps them: deleted, or changed so that they do not tell of a call any more."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable as Runs
from dagster._core.storage.runs.schema import RunTagsTable as Tags
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from sqlalchemy import delete, select, update

from callpipeline.domain.call_ids import ids_in, masked

ERASED = "(erased)"
"""What stands where a call's id stood, in records that tell of other calls too."""
UNDER_WAY = [status.value for status in NOT_FINISHED_STATUSES]
TAGS = (ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_END_TAG)


def runs_of(storage: SqlRunStorage, call_ids: Sequence[str], thorough: bool) -> set[str]:
    """Runs that name these calls in their tags; when `thorough`, also in their config."""
    tagged = select(Tags.c.run_id).where(Tags.c.key.in_(TAGS), Tags.c.value.in_(call_ids))
    with storage.connect() as connection:
        found = {row.run_id for row in connection.execute(tagged)}
        if thorough:
            rows = connection.execute(select(Runs.c.run_id, Runs.c.run_body))
            found |= {row.run_id for row in rows if not ids_in(row.run_body).isdisjoint(call_ids)}
    return found


def under_way(storage: SqlRunStorage, run_ids: Collection[str]) -> set[str]:
    """Those of the runs that have not ended."""
    is_one = Runs.c.run_id.in_(list(run_ids)), Runs.c.status.in_(UNDER_WAY)
    with storage.connect() as connection:
        return {row.run_id for row in connection.execute(select(Runs.c.run_id).where(*is_one))}


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events, the checks that it made, and what it printed."""
    instance.delete_run(run_id)
    events = instance.event_log_storage
    assert isinstance(events, SqlEventLogStorage)
    with events.index_connection() as connection:
        connection.execute(delete(Checks).where(Checks.c.run_id == run_id))
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def detach(
    instance: dg.DagsterInstance, run_id: str, call_ids: Sequence[str], in_order: Sequence[str]
) -> int:
    """Take calls out of a run that was about others too; returns how often it named them.

    `in_order` are the run's calls in the order of their partition keys. Where one of these was an
    end of its range of partitions, its neighbour is that now; what the run printed is deleted.
    """
    run = instance.get_run_by_id(run_id)
    if run is None:
        return 0
    new_tags = _without(run.tags, call_ids, in_order)
    if new_tags:
        instance.add_run_tags(run_id, new_tags)
    storage, found = instance.run_storage, len(new_tags)
    assert isinstance(storage, SqlRunStorage)
    is_it = Runs.c.run_id == run_id
    with storage.connect() as connection:
        body = connection.execute(select(Runs.c.run_body).where(is_it)).scalar_one()
        rest = json.dumps(_left_out(json.loads(body), call_ids))
        if not ids_in(body).isdisjoint(call_ids):
            connection.execute(update(Runs).where(is_it).values(run_body=rest))
            found += 1
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    return found


def _left_out(value: Any, call_ids: Collection[str]) -> Any:
    """A document without these calls: out of lists, as of a run's config, and masked elsewhere."""
    match value:
        case str():
            return masked(value, call_ids, ERASED)
        case list():
            return [_left_out(each, call_ids) for each in value if each not in call_ids]
        case dict():
            return {name: _left_out(each, call_ids) for name, each in value.items()}
        case _:
            return value


def _without(
    tags: Mapping[str, str], call_ids: Collection[str], in_order: Sequence[str]
) -> dict[str, str]:
    """The tags that named one of the calls, each with the nearest other call of the range."""
    rest = [key for key in in_order if key not in call_ids]
    changed: dict[str, str] = {}
    for tag in TAGS:
        if tags.get(tag) not in call_ids:
            continue
        place = in_order.index(tags[tag]) if tags[tag] in in_order else 0
        behind = [key for key in in_order[place:] if key in rest]
        before = [key for key in in_order[:place] if key in rest]
        if tag == ASSET_PARTITION_RANGE_END_TAG:
            changed[tag] = (before or rest)[-1]
        else:
            changed[tag] = (behind or rest)[0]
    return changed
