"""Dagster's own Postgres storage, with connections kept and the events of calls in batches.

Stock dagster-postgres opens a connection for each query and writes what a run plans (a row for
each asset and call) row by row. Private names of Dagster are used here, so its version is pinned,
and `tests/integration/test_dagster_storage.py` fails when they change.
"""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from dagster import DagsterEventType, DagsterInstance, Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine, set_pg_statement_timeout
from sqlalchemy import Engine, event

from callpipeline.defs.selection import OP

log = logging.getLogger(__name__)

KEPT_CONNECTIONS = 4
"""Kept open by a process at most; a run uses one or two, the daemon one for each sensor thread."""
RECYCLE_S = 900
MOST_WAITING = 200
LATEST_S = 0.5
"""Materializations of calls are written so many together, or so long after the first of them."""
PLANNED = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}


@cache
def shared_engine(
    url: str,
    *,
    recycle_s: int = RECYCLE_S,
    max_overflow: int = 20,
    statement_timeout_ms: int | None = None,
) -> Engine:
    """The engine of this process: Dagster opens an instance for each tick of each sensor.

    A connection is tried before it is used, since Postgres may have been restarted meanwhile.
    """
    engine = create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=max_overflow,
        pool_recycle=recycle_s,
        pool_pre_ping=True,
    )
    if statement_timeout_ms is not None:
        limit = partial(set_pg_statement_timeout, millis=statement_timeout_ms)
        event.listen(engine, "connect", lambda connection, _: limit(connection))
    # Two processes that talk through one connection read each other's answers.
    os.register_at_fork(after_in_child=partial(engine.dispose, close=False))
    return engine


class _Pooled:
    """Mixed into a storage of dagster-postgres, which is built without making its tables."""

    postgres_url: str
    _engine: Engine

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False)  # pyright: ignore[reportCallIssue]
        self._engine = shared_engine(postgres_url)

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Stock's own would keep connections too, but fail with each after Postgres restarts."""
        self._engine = shared_engine(
            self.postgres_url,
            recycle_s=pool_recycle,
            max_overflow=max_overflow,
            statement_timeout_ms=statement_timeout,
        )


class PooledRuns(_Pooled, PostgresRunStorage):
    """Runs, their tags and snapshots."""


class PooledSchedules(_Pooled, PostgresScheduleStorage):
    """Sensors and schedules with their ticks."""


class PooledEvents(_Pooled, PostgresEventLogStorage):
    """The event log. Dagster hands plans over in batches when DAGSTER_EVENT_BATCH_SIZE is set.

    What `process_calls` materializes is written together as well, half a second after it happened
    at the latest and before any other event of the process. A run that dies takes that half second
    with it; the ledger has the stages themselves, and `lost_runs` reports them.
    """

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)
        self._lock = threading.RLock()
        self._waiting: list[EventLogEntry] = []
        self._timer: threading.Timer | None = None

    def store_event(self, event: EventLogEntry) -> None:
        with self._lock:
            if not _can_wait(event):
                self._write_waiting()
                super().store_event(event)
                return
            self._waiting.append(event)
            if len(self._waiting) >= MOST_WAITING:
                self._write_waiting()
            elif self._timer is None:
                self._timer = threading.Timer(LATEST_S, self._write_late)
                self._timer.daemon = True
                self._timer.start()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Planned events in one insert; stock writes just other kinds of events like that."""
        if {entry.get_dagster_event().event_type for entry in events} <= PLANNED:
            self._store_together(events)
        else:
            super().store_event_batch(events)

    def dispose(self) -> None:
        self.write_waiting()
        super().dispose()

    def write_waiting(self) -> None:
        """Write at once what waits to be written together."""
        with self._lock:
            self._write_waiting()

    def _write_late(self) -> None:
        try:
            self.write_waiting()
        except Exception as error:
            # They go on waiting: the run's next event writes them, or fails as it would have.
            log.warning("events of the run could not be written yet: %s", type(error).__name__)

    def _write_waiting(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._store_together(self._waiting)
            self._waiting = []

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        """Rows in one insert, and of each asset what came last; stock does that row by row."""
        ids = SqlEventLogStorageTable.c.id
        insert = SqlEventLogStorageTable.insert().returning(ids, sort_by_parameter_order=True)
        rows = [self._event_to_row(entry) for entry in events]
        with self.index_transaction() as connection:
            event_ids = list(connection.execute(insert, rows).scalars())
            stored = list(zip(events, event_ids, strict=True))
            self._store_asset_event_tags(connection, events, event_ids)
            latest = {entry.get_dagster_event().asset_key: (entry, i) for entry, i in stored}
            for entry, event_id in latest.values():
                self._store_asset_event(connection, entry, event_id)
        for entry, event_id in stored:
            if entry.dagster_event_type is DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                self.store_asset_check_event(entry, event_id)


def write_waiting(instance: DagsterInstance) -> None:
    """Let Dagster know all that the run has told it so far; raises what keeps it from that."""
    storage = instance.event_log_storage
    if isinstance(storage, PooledEvents):
        storage.write_waiting()


def _can_wait(event: EventLogEntry) -> bool:
    is_made = event.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION
    return is_made and event.step_key == OP


class PooledPostgresStorage(DagsterPostgresStorage):
    """What `storage: custom:` in dagster.yaml names; `kind: stock` gives Dagster's own instead."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        _make_tables(postgres_url)
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data)
        self._run_storage = PooledRuns(postgres_url)
        self._event_log_storage = PooledEvents(postgres_url)
        self._schedule_storage = PooledSchedules(postgres_url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"postgres_url": StringSource, "kind": Field(StringSource, default_value="pooled")}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        kind, url = config_value["kind"], config_value["postgres_url"]
        if kind == "stock":
            return DagsterPostgresStorage(url, inst_data=inst_data)
        if kind != "pooled":
            raise ValueError(f"Dagster's storage is either pooled or stock, not {kind!r}.")
        return cls(url, inst_data)


@cache
def _make_tables(url: str) -> None:
    """Make what is missing, once a process: looking costs three connections and 100 ms."""
    DagsterPostgresStorage(url)
