"""Records of calls in Dagster's tables: finds and deletes them, for erasure.

Dagster can only delete whole runs, and a run covers many calls, so its tables are changed directly.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg
from dagster_shared.serdes import deserialize_value, serialize_value
from sqlalchemy import Column, Connection, Select, Table, delete, or_, select, update

from callpipeline.defs.dagster_internals.runs import (
    ERASED,
    delete_run,
    detach,
    runs_naming,
    unfinished_runs,
)
from callpipeline.defs.dagster_internals.tables import (
    CALL_ASSETS,
    ENDED_BACKFILL_STATUSES,
    MATERIALIZATION,
    Assets,
    Backfills,
    Checks,
    Events,
    EventTags,
    Keys,
    Ticks,
    connect,
    has_ticks,
)
from callpipeline.defs.partitions import PARTITIONS_NAME
from callpipeline.domain.calls.call import call_ids_in, mask_call_ids
from callpipeline.pipeline.erasure import ExternalTraces

CALL_EVENTS = [
    MATERIALIZATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
]
BATCH_SIZE = 1000


def erase_records(
    instance: dg.DagsterInstance, call_ids: Sequence[str], *, thorough: bool = True
) -> ExternalTraces:
    """Delete Dagster's records of calls: events, runs, their logs, ticks and partition keys.

    Ids in records of other calls' runs are masked. Unfinished runs are left alone (`busy`), since
    they would write again. `thorough` scans every text that may contain an id once, however many
    calls are erased; without it, ids that are only mentioned somewhere stay.
    """
    if not call_ids:
        return ExternalTraces(0, busy=False)
    return _RecordEraser(instance, list(call_ids), thorough).erase()


class _RecordEraser:
    """Erases the records of some calls."""

    def __init__(self, instance: dg.DagsterInstance, ids: list[str], thorough: bool) -> None:
        self._instance, self._ids, self._thorough = instance, ids, thorough
        self._connect = partial(connect, instance)

    def erase(self) -> ExternalTraces:
        own, naming = self._own_events(), self._naming_events()
        tagged = runs_naming(self._instance, self._ids, thorough=self._thorough)
        run_ids = {*own.values(), *tagged} - {""}
        mentioned_in = {run_id for run_id, _ in naming.values()}
        busy = unfinished_runs(self._instance, run_ids | mentioned_in)
        # Runs first: a call's own events lead to its runs, should this be interrupted.
        removed = sum(self._erase_from_run(run_id) for run_id in run_ids - busy)
        removed += self._delete_events([row for row, run_id in own.items() if run_id not in busy])
        texts = {row: text for row, (run_id, text) in naming.items() if run_id not in busy}
        removed += self._mask(Events, Events.c.event, texts)
        if self._thorough:
            checks = self._texts(Checks, Checks.c.evaluation_event)
            removed += self._mask(Checks, Checks.c.evaluation_event, checks)
            removed += self._delete_ticks()
        backfills, backfills_busy = self._mask_backfills()
        is_busy = bool(busy) or backfills_busy
        with self._connect(Events) as connection:
            removed += _refresh_assets(connection, self._ids)
            removed += 0 if is_busy else self._delete_keys(connection)
        return ExternalTraces(removed + backfills, busy=is_busy)

    def _own_events(self) -> dict[int, str]:
        """Return the run of each event of these calls, by an index of Dagster's."""
        is_own = (
            Events.c.asset_key.in_(CALL_ASSETS),
            Events.c.dagster_event_type.in_(CALL_EVENTS),
            Events.c.partition.in_(self._ids),
        )
        with self._connect(Events) as connection:
            rows = connection.execute(select(Events.c.id, Events.c.run_id).where(*is_own))
            return {row.id: row.run_id for row in rows}

    def _naming_events(self) -> dict[int, tuple[str, str]]:
        """Return run and text of events without a partition that name one of the calls.

        An event with a partition belongs to that call and names no other.
        """
        if not self._thorough:
            return {}
        events = select(Events.c.id, Events.c.run_id, Events.c.event)
        with self._connect(Events) as connection:
            rows = _streamed(connection, Events, events.where(Events.c.partition.is_(None)))
            return {row.id: (row.run_id, row.event) for row in rows if self._is_named(row.event)}

    def _is_named(self, text: str | None) -> bool:
        return not call_ids_in(text).isdisjoint(self._ids)

    def _texts(self, table: Table, column: "Column[str]") -> dict[int, str]:
        """Return the rows of a table whose text names one of the calls."""
        with self._connect(table) as connection:
            rows = _streamed(connection, table, select(table.c.id, column.label("text")))
            return {row.id: row.text for row in rows if self._is_named(row.text)}

    def _mask(self, table: Table, column: "Column[str]", texts: Mapping[int, str]) -> int:
        with self._connect(table) as connection:
            for row, text in texts.items():
                changed = {column.name: mask_call_ids(text, self._ids, ERASED)}
                connection.execute(update(table).where(table.c.id == row).values(changed))
        return len(texts)

    def _delete_events(self, rows: Sequence[int]) -> int:
        with self._connect(Events) as connection:
            for batch in _batches(rows):
                connection.execute(delete(EventTags).where(EventTags.c.event_id.in_(batch)))
                connection.execute(delete(Events).where(Events.c.id.in_(batch)))
        return len(rows)

    def _erase_from_run(self, run_id: str) -> int:
        """Delete a run that has only these calls; remove them from a run that has others."""
        has_run = Events.c.run_id == run_id, Events.c.partition.is_not(None)
        others = select(Events.c.partition).where(*has_run).distinct()
        with self._connect(Events) as connection:
            partitions = {row.partition for row in connection.execute(others)} - set(self._ids)
            order = select(Keys.c.partition).where(
                Keys.c.partitions_def_name == PARTITIONS_NAME,
                Keys.c.partition.in_([*partitions, *self._ids]),
            )
            keys = [row.partition for row in connection.execute(order.order_by(Keys.c.id))]
        if not partitions:
            delete_run(self._instance, run_id)
            return 1
        in_order = [*keys, *sorted(partitions - set(keys))]
        return detach(self._instance, run_id, self._ids, in_order)

    def _delete_ticks(self) -> int:
        """Delete the finished ticks that name these calls."""
        if not has_ticks(self._instance):
            return 0
        naming = list(self._texts(Ticks, Ticks.c.tick_body))
        with self._connect(Ticks) as connection:
            finished = Ticks.c.id.in_(naming), Ticks.c.status != "STARTED"
            return connection.execute(delete(Ticks).where(*finished)).rowcount if naming else 0

    def _mask_backfills(self) -> tuple[int, bool]:
        """Return how many were changed, and True if one has not ended."""
        texts = self._texts(Backfills, Backfills.c.body)
        unfinished = select(Backfills.c.id).where(
            Backfills.c.id.in_(list(texts)), Backfills.c.status.not_in(ENDED_BACKFILL_STATUSES)
        )
        with self._connect(Backfills) as connection:
            busy = {row.id for row in connection.execute(unfinished)}
        rest = {row: text for row, text in texts.items() if row not in busy}
        return self._mask(Backfills, Backfills.c.body, rest), bool(busy)

    def _delete_keys(self, connection: Connection) -> int:
        is_own = Keys.c.partitions_def_name == PARTITIONS_NAME, Keys.c.partition.in_(self._ids)
        return connection.execute(delete(Keys).where(*is_own)).rowcount


def _refresh_assets(connection: Connection, call_ids: Sequence[str]) -> int:
    """Recompute last materializations that are of these calls, and drop cached statuses.

    Dagster recomputes the statuses of partitions itself. Returns the number of changed records.
    """
    last, status = Assets.c.last_materialization, Assets.c.cached_status_data
    changed = 0
    for call_id in call_ids:
        stale = status.contains(call_id, autoescape=True)
        drop = update(Assets).where(stale).values(cached_status_data=None)
        changed += connection.execute(drop).rowcount
    is_last = or_(*(last.contains(call_id, autoescape=True) for call_id in call_ids))
    for row in connection.execute(select(Assets.c.asset_key).where(is_last)).all():
        newest = _last_materialization(connection, row.asset_key)
        is_asset = update(Assets).where(Assets.c.asset_key == row.asset_key)
        connection.execute(is_asset.values(last_materialization=newest))
        changed += 1
    return changed


def _last_materialization(connection: Connection, asset_key: str) -> str | None:
    """Return the asset's newest materialization, serialized as Dagster stores it."""
    of_asset = Events.c.asset_key == asset_key, Events.c.dagster_event_type == MATERIALIZATION
    newest = select(Events.c.id, Events.c.event).where(*of_asset).order_by(Events.c.id.desc())
    row = connection.execute(newest.limit(1)).first()
    if row is None:
        return None
    return serialize_value(
        dg.EventLogRecord(row.id, deserialize_value(row.event, dg.EventLogEntry))
    )


def _streamed(connection: Connection, table: Table, statement: "Select[Any]") -> Iterator[Any]:
    """Yield rows by id in batches: the texts of a million events do not fit into memory."""
    last = 0
    while True:
        batch = statement.where(table.c.id > last).order_by(table.c.id).limit(BATCH_SIZE)
        rows = connection.execute(batch).all()
        yield from rows
        if len(rows) < BATCH_SIZE:
            return
        last = rows[-1].id


def _batches(rows: Collection[int]) -> Iterator[list[int]]:
    listed = list(rows)
    for start in range(0, len(listed), BATCH_SIZE):
        yield listed[start : start + BATCH_SIZE]
