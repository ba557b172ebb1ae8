"""Dagster's own records by their age: partition keys of old calls, runs, events, ticks, backfills.

Keys and runs go together: a run's events are what the pages of a key show, and every key costs on
each page (docs/decisions/0015). The ledger and the results stay; who tries an old call again gets
its key anew.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import DynamicPartitionsTable as Keys
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import BackfillTagsTable as BackfillTags
from dagster._core.storage.runs.schema import BulkActionsTable as Backfills
from dagster._core.storage.schedules import SqlScheduleStorage
from dagster._core.storage.schedules.schema import JobTickTable as Ticks
from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from callpipeline.defs.partitions import calls
from callpipeline.defs.records import ASSETS
from callpipeline.defs.run_records import delete_run
from callpipeline.pipeline.retention import Deleted
from callpipeline.storage.retention import Retained

AT_ONCE = 1000
RUNS_AT_ONCE = 50
TO_READ = 1000
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value


@dataclass(frozen=True, slots=True)
class Purge:
    """Deletes what is older than a time, some at a time: calls are processed meanwhile."""

    instance: dg.DagsterInstance
    retained: Retained
    older_than: datetime

    def plan(self) -> list[Deleted]:
        """What would go."""
        counts = {
            "partition_keys": sum(map(len, self._keys())),
            "runs": sum(1 for _ in self._runs()),
            "events": self._count(Events, *self._old_events()),
            "ticks": self._count(Ticks, *self._old_ticks()) if self._has_ticks else 0,
            "backfills": self._count(Backfills, *self._old_backfills()),
        }
        return [Deleted(what, self.older_than, items) for what, items in counts.items()]

    def apply(self) -> Iterator[Deleted]:
        """Delete it; each kind is told when all of it is gone."""
        kinds: dict[str, Callable[[], Iterator[int]]] = {
            "partition_keys": self._delete_keys,
            "runs": self._delete_runs,
            "events": lambda: self._delete_rows(Events, self._old_events()),
            "ticks": self._delete_ticks,
            "backfills": self._delete_backfills,
        }
        for what, pieces in kinds.items():
            items = 0
            for gone in takewhile(bool, pieces()):
                self.retained.record(what, gone, self.older_than)
                items += gone
            yield Deleted(what, self.older_than, items)

    def _keys(self) -> Iterator[list[str]]:
        """Partition keys of calls that ended long ago, and that no run is about now; in pieces."""
        name = calls.name
        assert name is not None
        known, busy = list(self.instance.get_dynamic_partitions(name)), self._busy_keys()
        for start in range(0, len(known), TO_READ):
            some = known[start : start + TO_READ]
            yield [k for k in self.retained.keys_to_retire(some, self.older_than) if k not in busy]

    def _busy_keys(self) -> set[str]:
        """Keys that runs which have not ended are about."""
        runs = self.instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        planned = select(Events.c.partition).where(
            Events.c.run_id.in_(runs), Events.c.partition.is_not(None)
        )
        with self._connected(Events) as connection:
            return {row.partition for row in connection.execute(planned)}

    def _delete_keys(self) -> Iterator[int]:
        """All keys of a piece in one statement: Dagster has them deleted one by one."""
        for some in filter(None, self._keys()):
            is_one = Keys.c.partitions_def_name == calls.name, Keys.c.partition.in_(some)
            with self._connected(Keys) as connection:
                connection.execute(delete(Keys).where(*is_one))
            yield len(some)

    def _runs(self) -> Iterator[str]:
        """Runs that ended long ago, oldest first, but for those that made what is still shown."""
        kept, cursor = self._still_shown(), None
        filters = dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=self.older_than)
        while True:
            run_ids = self.instance.get_run_ids(filters, cursor=cursor, limit=TO_READ)
            yield from (run_id for run_id in run_ids if run_id not in kept)
            if len(run_ids) < TO_READ:
                return
            cursor = run_ids[-1]

    def _still_shown(self) -> set[str]:
        """Runs that made partitions of other assets than calls: each mart's days are there as long
        as their last materialization is."""
        newest = (
            select(func.max(Events.c.id))
            .where(
                Events.c.dagster_event_type == MATERIALIZED,
                Events.c.asset_key.is_not(None),
                Events.c.asset_key.not_in(ASSETS),
            )
            .group_by(Events.c.asset_key, Events.c.partition)
        )
        made = select(Events.c.run_id).where(Events.c.id.in_(newest))
        with self._connected(Events) as connection:
            return {row.run_id for row in connection.execute(made)}

    def _delete_runs(self) -> Iterator[int]:
        # Read first: the list is paged by runs that would be gone.
        run_ids = list(self._runs())
        for start in range(0, len(run_ids), RUNS_AT_ONCE):
            some = run_ids[start : start + RUNS_AT_ONCE]
            for run_id in some:
                delete_run(self.instance, run_id)
            yield len(some)

    def _old_events(self) -> Sequence[ColumnElement[bool]]:
        """Events that no run has, as what people were told."""
        then = self.older_than.astimezone(UTC).replace(tzinfo=None)
        return Events.c.run_id == RUNLESS_RUN_ID, Events.c.timestamp < then

    def _old_ticks(self) -> Sequence[ColumnElement[bool]]:
        """Also those of sensors that there are no more; Dagster deletes sooner what it knows."""
        return (Ticks.c.timestamp < self.older_than, Ticks.c.status != "STARTED")

    @property
    def _has_ticks(self) -> bool:
        """An instance of a test keeps none."""
        return isinstance(self.instance.schedule_storage, SqlScheduleStorage)

    def _delete_ticks(self) -> Iterator[int]:
        """With what they have logged, which lies where runs print."""
        if not self._has_ticks:
            return
        some = select(Ticks.c.id, Ticks.c.tick_body).where(*self._old_ticks()).limit(AT_ONCE)
        rows = [None]
        while rows:
            with self._connected(Ticks) as connection:
                rows = connection.execute(some).all()
                for row in rows:
                    if log_key := json.loads(row.tick_body).get("log_key"):
                        self.instance.compute_log_manager.delete_logs(log_key=log_key)
                connection.execute(delete(Ticks).where(Ticks.c.id.in_([row.id for row in rows])))
            yield len(rows)

    def _old_backfills(self) -> Sequence[ColumnElement[bool]]:
        ended = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]
        return Backfills.c.timestamp < self.older_than, Backfills.c.status.in_(ended)

    def _delete_backfills(self) -> Iterator[int]:
        with self._connected(Backfills) as connection:
            old = select(Backfills.c.key).where(*self._old_backfills())
            keys = [row.key for row in connection.execute(old)]
            connection.execute(delete(BackfillTags).where(BackfillTags.c.backfill_id.in_(keys)))
            connection.execute(delete(Backfills).where(Backfills.c.key.in_(keys)))
        yield len(keys)

    def _count(self, table: Table, *wanted: ColumnElement[bool]) -> int:
        with self._connected(table) as connection:
            counted = select(func.count()).select_from(table).where(*wanted)
            return connection.execute(counted).scalar_one()

    def _delete_rows(self, table: Table, wanted: Sequence[ColumnElement[bool]]) -> Iterator[int]:
        some = select(table.c.id).where(*wanted).limit(AT_ONCE)
        gone = AT_ONCE
        while gone == AT_ONCE:
            with self._connected(table) as connection:
                gone = connection.execute(delete(table).where(table.c.id.in_(some))).rowcount
            yield gone

    @contextmanager
    def _connected(self, table: Table) -> Iterator[Connection]:
        """A connection to the storage that has a table."""
        events, runs = self.instance.event_log_storage, self.instance.run_storage
        ticks = self.instance.schedule_storage
        if table is Ticks:
            assert isinstance(ticks, SqlScheduleStorage)
            context = ticks.connect()
        elif table in (Backfills, BackfillTags):
            assert isinstance(runs, SqlRunStorage)
            context = runs.connect()
        else:
            assert isinstance(events, SqlEventLogStorage)
            context = events.index_connection()
        with context as connection:
            yield connection
