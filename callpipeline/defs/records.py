"""What Dagster keeps of calls: found and deleted, for erasure.

Dagster has runs deleted as a whole only, and one run is about many calls: here its tables are
changed themselves. They are private, so Dagster's version is pinned, and
`tests/integration/test_records.py` fails when they change.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

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
from sqlalchemy import Column, Connection, Select, Table, delete, select, update

from callpipeline.defs.asset_records import refresh_assets
from callpipeline.defs.partitions import calls
from callpipeline.defs.run_records import ERASED, delete_run, detach, runs_of, under_way
from callpipeline.domain.call import Stage
from callpipeline.domain.call_ids import ids_in, masked
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
    they would write again. `thorough` reads every text once that may name a call, however many are
    looked for; without it an id that is merely named somewhere stays.
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
        told_in = {run_id for run_id, _ in named.values()}
        busy = under_way(self._storage, about | told_in)
        # Runs first: a call's own events are what leads to them, should this end in between.
        removed = sum(self._forget_run(run_id) for run_id in about - busy)
        removed += self._delete([row for row, run_id in own.items() if run_id not in busy])
        texts = {row: text for row, (run_id, text) in named.items() if run_id not in busy}
        removed += self._mask(Events, Events.c.event, texts)
        if self._thorough:
            checks = self._texts(Checks, Checks.c.evaluation_event)
            removed += self._mask(Checks, Checks.c.evaluation_event, checks)
            removed += self._delete_ticks()
        backfills, backfills_busy = self._mask_backfills()
        is_busy = bool(busy) or backfills_busy
        with self._connected(Events) as connection:
            removed += refresh_assets(connection, self._ids)
            removed += 0 if is_busy else self._delete_keys(connection)
        return Traces(removed + backfills, busy=is_busy)

    @cached_property
    def _storage(self) -> SqlRunStorage:
        storage = self._instance.run_storage
        assert isinstance(storage, SqlRunStorage)
        return storage

    @contextmanager
    def _connected(self, table: Table) -> Iterator[Connection]:
        """A connection to the storage that has a table."""
        events, ticks = self._instance.event_log_storage, self._instance.schedule_storage
        if table is Backfills:
            context = self._storage.connect()
        elif table is Ticks:
            assert isinstance(ticks, SqlScheduleStorage)
            context = ticks.connect()
        else:
            assert isinstance(events, SqlEventLogStorage)
            context = events.index_connection()
        with context as connection:
            yield connection

    def _own(self) -> dict[int, str]:
        """Events of these calls, by the index that Dagster has for them, and their runs."""
        is_own = (
            Events.c.asset_key.in_(ASSETS),
            Events.c.dagster_event_type.in_(OF_A_CALL),
            Events.c.partition.in_(self._ids),
        )
        with self._connected(Events) as connection:
            rows = connection.execute(select(Events.c.id, Events.c.run_id).where(*is_own))
            return {row.id: row.run_id for row in rows}

    def _naming(self) -> dict[int, tuple[str, str]]:
        """Events of no call that name one of these, with their runs and texts.

        An event that has a partition is of that call, and names no other.
        """
        if not self._thorough:
            return {}
        told = select(Events.c.id, Events.c.run_id, Events.c.event)
        with self._connected(Events) as connection:
            rows = _streamed(connection, Events, told.where(Events.c.partition.is_(None)))
            return {row.id: (row.run_id, row.event) for row in rows if self._names(row.event)}

    def _names(self, text: str | None) -> bool:
        return not ids_in(text).isdisjoint(self._ids)

    def _texts(self, table: Table, column: "Column[str]") -> dict[int, str]:
        """The rows of a table whose text names one of these calls."""
        with self._connected(table) as connection:
            rows = _streamed(connection, table, select(table.c.id, column.label("text")))
            return {row.id: row.text for row in rows if self._names(row.text)}

    def _mask(self, table: Table, column: "Column[str]", texts: Mapping[int, str]) -> int:
        with self._connected(table) as connection:
            for row, text in texts.items():
                changed = {column.name: masked(text, self._ids, ERASED)}
                connection.execute(update(table).where(table.c.id == row).values(changed))
        return len(texts)

    def _delete(self, rows: Sequence[int]) -> int:
        with self._connected(Events) as connection:
            for some in _pieces(rows):
                connection.execute(delete(EventTags).where(EventTags.c.event_id.in_(some)))
                connection.execute(delete(Events).where(Events.c.id.in_(some)))
        return len(rows)

    def _forget_run(self, run_id: str) -> int:
        """Delete a run that was about these calls alone; take them out of one of others too."""
        has_run = Events.c.run_id == run_id, Events.c.partition.is_not(None)
        others = select(Events.c.partition).where(*has_run).distinct()
        with self._connected(Events) as connection:
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

    def _delete_ticks(self) -> int:
        """Dagster's notes of looks that tell of these calls, but those under way."""
        if not isinstance(self._instance.schedule_storage, SqlScheduleStorage):
            return 0
        told = list(self._texts(Ticks, Ticks.c.tick_body))
        with self._connected(Ticks) as connection:
            ended = Ticks.c.id.in_(told), Ticks.c.status != "STARTED"
            return connection.execute(delete(Ticks).where(*ended)).rowcount if told else 0

    def _mask_backfills(self) -> tuple[int, bool]:
        """How many were changed, and whether one goes on."""
        texts = self._texts(Backfills, Backfills.c.body)
        ended = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]
        going_on = select(Backfills.c.id).where(
            Backfills.c.id.in_(list(texts)), Backfills.c.status.not_in(ended)
        )
        with self._connected(Backfills) as connection:
            busy = {row.id for row in connection.execute(going_on)}
        rest = {row: text for row, text in texts.items() if row not in busy}
        return self._mask(Backfills, Backfills.c.body, rest), bool(busy)

    def _delete_keys(self, connection: Connection) -> int:
        is_ours = Keys.c.partitions_def_name == calls.name, Keys.c.partition.in_(self._ids)
        return connection.execute(delete(Keys).where(*is_ours)).rowcount


def _streamed(connection: Connection, table: Table, statement: "Select[Any]") -> Iterator[Any]:
    """Rows a thousand at a time, by id: texts of a million events do not fit into memory."""
    last = 0
    while True:
        some = statement.where(table.c.id > last).order_by(table.c.id).limit(AT_ONCE)
        rows = connection.execute(some).all()
        yield from rows
        if len(rows) < AT_ONCE:
            return
        last = rows[-1].id


def _pieces(rows: Collection[int]) -> Iterator[list[int]]:
    listed = list(rows)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
