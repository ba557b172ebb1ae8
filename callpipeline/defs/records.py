"""What Dagster keeps of calls: found and deleted, for erasure.

Dagster has runs deleted as a whole only, and one run is about many calls: here its tables are
changed themselves. They are private, so Dagster's version is pinned, and
`tests/integration/test_records.py` fails when they change.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.event_log.schema import AssetEventTagsTable as EventTags
from dagster._core.storage.event_log.schema import DynamicPartitionsTable as Keys
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import BulkActionsTable as Backfills
from dagster._core.storage.schedules import SqlScheduleStorage
from dagster._core.storage.schedules.schema import JobTickTable as Ticks
from sqlalchemy import Column, ColumnElement, Connection, delete, func, or_, select, update

from callpipeline.defs.asset_records import refresh_assets
from callpipeline.defs.partitions import calls
from callpipeline.defs.run_records import ERASED, delete_run, detach, runs_of, under_way
from callpipeline.domain.call import Stage
from callpipeline.pipeline.erasing import Traces

ASSETS = [dg.AssetKey(stage.value).to_string() for stage in Stage]
OF_A_CALL = [
    dg.DagsterEventType.ASSET_MATERIALIZATION.value,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
]
AT_ONCE = 1000


def erase_records(
    instance: dg.DagsterInstance, call_ids: Sequence[str], *, thorough: bool = True
) -> Traces:
    """Delete what Dagster knows of calls: events, runs, their logs, ticks and partition keys.

    What a run of other calls tells of them too is masked. Runs that go on are left alone (`busy`):
    they would write again. `thorough` reads the text of every event, a few seconds a gigabyte;
    without it an id that is merely named somewhere stays.
    """
    if not call_ids:
        return Traces(0, busy=False)
    return _Records(instance, list(call_ids), thorough).erase()


class _Records:
    """The records of some calls."""

    def __init__(self, instance: dg.DagsterInstance, ids: list[str], thorough: bool) -> None:
        self._instance, self._ids, self._thorough = instance, ids, thorough

    def erase(self) -> Traces:
        own, named = self._own(), self._naming()
        about = {*own.values(), *runs_of(self._storage, self._ids, self._thorough)} - {""}
        busy = under_way(self._storage, {*about, *named.values()})
        removed = self._delete([row for row, run_id in own.items() if run_id not in busy])
        rest = [row for row, run_id in named.items() if run_id not in busy and row not in own]
        removed += self._mask(rest)
        removed += sum(self._forget_run(run_id) for run_id in about - busy)
        if self._thorough:
            removed += self._mask_checks() + self._delete_ticks()
        backfills, backfills_busy = self._mask_backfills()
        is_busy = bool(busy) or backfills_busy
        with self._events() as connection:
            removed += refresh_assets(connection, self._ids)
            removed += 0 if is_busy else self._delete_keys(connection)
        return Traces(removed + backfills, busy=is_busy)

    @cached_property
    def _storage(self) -> SqlRunStorage:
        storage = self._instance.run_storage
        assert isinstance(storage, SqlRunStorage)
        return storage

    @contextmanager
    def _events(self) -> Iterator[Connection]:
        storage = self._instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        with storage.index_connection() as connection:
            yield connection

    def _names_one(self, column: Column[str]) -> ColumnElement[bool]:
        return or_(*(column.contains(call_id, autoescape=True) for call_id in self._ids))

    def _own(self) -> dict[int, str]:
        """Events of these calls, by the index that Dagster has for them, and their runs."""
        is_own = (
            Events.c.asset_key.in_(ASSETS),
            Events.c.dagster_event_type.in_(OF_A_CALL),
            Events.c.partition.in_(self._ids),
        )
        with self._events() as connection:
            rows = connection.execute(select(Events.c.id, Events.c.run_id).where(*is_own))
            return {row.id: row.run_id for row in rows}

    def _naming(self) -> dict[int, str]:
        """Events that name one of these calls anywhere."""
        if not self._thorough:
            return {}
        named = select(Events.c.id, Events.c.run_id).where(self._names_one(Events.c.event))
        with self._events() as connection:
            return {row.id: row.run_id for row in connection.execute(named)}

    def _delete(self, rows: Sequence[int]) -> int:
        with self._events() as connection:
            for some in _pieces(rows):
                connection.execute(delete(EventTags).where(EventTags.c.event_id.in_(some)))
                connection.execute(delete(Events).where(Events.c.id.in_(some)))
        return len(rows)

    def _mask(self, rows: Sequence[int]) -> int:
        with self._events() as connection:
            for some in _pieces(rows):
                for call_id in self._ids:
                    masked = func.replace(Events.c.event, call_id, ERASED)
                    connection.execute(
                        update(Events).where(Events.c.id.in_(some)).values(event=masked)
                    )
        return len(rows)

    def _forget_run(self, run_id: str) -> int:
        """Delete a run that was about these calls alone; take them out of one of others too."""
        has_run = Events.c.run_id == run_id, Events.c.partition.is_not(None)
        others = select(Events.c.partition).where(*has_run).distinct()
        with self._events() as connection:
            partitions = {row.partition for row in connection.execute(others)} - set(self._ids)
            order = select(Keys.c.partition).where(
                Keys.c.partitions_def_name == calls.name,
                Keys.c.partition.in_([*partitions, *self._ids]),
            )
            keys = [row.partition for row in connection.execute(order.order_by(Keys.c.id))]
        if not partitions:
            delete_run(self._instance, run_id)
            return 1
        in_order = [*keys, *sorted(partitions - set(keys))]
        return detach(self._instance, run_id, self._ids, in_order)

    def _mask_checks(self) -> int:
        found = 0
        with self._events() as connection:
            for call_id in self._ids:
                text = Checks.c.evaluation_event
                masked = update(Checks).where(text.contains(call_id, autoescape=True))
                values = {"evaluation_event": func.replace(text, call_id, ERASED)}
                found += connection.execute(masked.values(**values)).rowcount
        return found

    def _delete_ticks(self) -> int:
        """Dagster's notes of looks that tell of these calls, but those under way."""
        storage = self._instance.schedule_storage
        if not isinstance(storage, SqlScheduleStorage):
            return 0
        ended = Ticks.c.status != "STARTED"
        with storage.connect() as connection:
            told = delete(Ticks).where(ended, self._names_one(Ticks.c.tick_body))
            return connection.execute(told).rowcount

    def _mask_backfills(self) -> tuple[int, bool]:
        """How many were changed, and whether one goes on."""
        ended = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]
        found, busy = 0, False
        with self._storage.connect() as connection:
            for call_id in self._ids:
                is_named = Backfills.c.body.contains(call_id, autoescape=True)
                body = func.replace(Backfills.c.body, call_id, ERASED)
                has_ended = Backfills.c.status.in_(ended)
                masked = update(Backfills).where(is_named, has_ended).values(body=body)
                found += connection.execute(masked).rowcount
                others = select(Backfills.c.id).where(is_named, ~has_ended)
                busy = busy or connection.execute(others).first() is not None
        return found, busy

    def _delete_keys(self, connection: Connection) -> int:
        is_ours = Keys.c.partitions_def_name == calls.name, Keys.c.partition.in_(self._ids)
        return connection.execute(delete(Keys).where(*is_ours)).rowcount


def _pieces(rows: Collection[int]) -> Iterator[list[int]]:
    listed = list(rows)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
