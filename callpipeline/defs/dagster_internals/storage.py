"""Dagster's Postgres storage with connection pooling and batched event writes.

dagster-postgres opens a connection for each query, and writes the planned events of a run (one for
each asset and call) row by row.

`callpipeline up` sets the environment of Dagster's processes. `dagster dev`, `dagster-webserver`
and `dagster definitions validate` may start without it: the first process then connects to the
database of the settings, or starts the embedded one, and sets the environment for its children.
"""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, DagsterInstance, EventLogEntry, Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine, set_pg_statement_timeout
from sqlalchemy import Engine, event

from callpipeline.config import settings
from callpipeline.defs.dagster_internals.schema import remember, remember_checks
from callpipeline.defs.partitions import PROCESS_CALLS_OP, REMATCH_OP
from callpipeline.errors import CallpipelineError

log = logging.getLogger(__name__)

POOL_SIZE = 4
"""Maximum of idle connections in a process: a run uses one or two, the daemon one a sensor thread.
"""
RECYCLE_S = 900
MAX_BUFFERED_EVENTS = 200
FLUSH_AFTER_S = 0.5
"""Materializations of calls are written when either limit is reached."""
PURGE_TICKS_S = 60.0
PLANNED = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}

DATABASE_URL = "CALLPIPELINE_DAGSTER_URL"
FILES = "CALLPIPELINE_DAGSTER_FILES"
IS_DAGSTER_DEV = "DAGSTER_IS_DEV_CLI"
"""`dagster dev` sets it before it opens the instance, and its child processes inherit it."""


class PooledPostgresStorage(DagsterPostgresStorage):
    """Storage for `storage: custom:` in dagster.yaml; `kind: stock` returns Dagster's own.

    Without `postgres_url` it uses the database of callpipeline's settings.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        _create_tables(postgres_url)
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data)
        self._run_storage = PooledRunStorage(postgres_url)
        self._event_log_storage = PooledEventLogStorage(postgres_url)
        self._schedule_storage = PooledScheduleStorage(postgres_url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {
            "postgres_url": Field(StringSource, is_required=False),
            "kind": Field(StringSource, default_value="pooled"),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        kind, url = config_value["kind"], config_value.get("postgres_url")
        url = url or dagster_database_url()
        if kind == "stock":
            return DagsterPostgresStorage(url, inst_data=inst_data)
        if kind != "pooled":
            raise ValueError(f"Dagster's storage is either pooled or stock, not {kind!r}.")
        return cls(url, inst_data)


def migrate_dagster_tables() -> None:
    """Create Dagster's tables, or migrate them to this version of Dagster."""
    with DagsterInstance.get() as instance:
        instance.upgrade()


def flush_events(instance: DagsterInstance) -> None:
    """Write all events that the storage still buffers; raises the database's error."""
    storage = instance.event_log_storage
    if isinstance(storage, PooledEventLogStorage):
        storage.flush()


@cache
def shared_engine(
    url: str,
    *,
    recycle_s: int = RECYCLE_S,
    max_overflow: int = 20,
    statement_timeout_ms: int | None = None,
) -> Engine:
    """Return the engine of this process: Dagster opens an instance for each sensor tick.

    Connections are tested before use, since Postgres may have restarted.
    """
    engine = create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=max_overflow,
        pool_recycle=recycle_s,
        pool_pre_ping=True,
        use_native_hstore=False,  # Dagster has no such columns; it asks on each first connection
    )
    if statement_timeout_ms is not None:
        limit = partial(set_pg_statement_timeout, millis=statement_timeout_ms)
        event.listen(engine, "connect", lambda connection, _: limit(connection))
    # Two processes that share a connection would read each other's results.
    os.register_at_fork(after_in_child=partial(engine.dispose, close=False))
    return engine


class _PooledMixin:
    """Pooling for a storage of dagster-postgres, created without its tables."""

    postgres_url: str
    _engine: Engine

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        remember_checks(cls)

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False)  # pyright: ignore[reportCallIssue]
        self._engine = shared_engine(postgres_url)

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Use pre-pinged connections; the stock pool fails once on each after Postgres restarts."""
        self._engine = shared_engine(
            self.postgres_url,
            recycle_s=pool_recycle,
            max_overflow=max_overflow,
            statement_timeout_ms=statement_timeout,
        )


class PooledRunStorage(_PooledMixin, PostgresRunStorage):
    """Runs, their tags and snapshots."""


class PooledScheduleStorage(_PooledMixin, PostgresScheduleStorage):
    """Sensors and schedules with their ticks; old ticks are deleted once a minute.

    Dagster deletes them after each tick, for each of four statuses.
    """

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)
        self._purged_s: dict[tuple[object, ...], float] = {}

    def purge_ticks(
        self,
        origin_id: str,
        selector_id: str,
        before: float,
        tick_statuses: Sequence[TickStatus] | None = None,
    ) -> None:
        key = (selector_id, *(tick_statuses or ()))
        now = time.monotonic()
        if now - self._purged_s.get(key, -PURGE_TICKS_S) >= PURGE_TICKS_S:
            super().purge_ticks(origin_id, selector_id, before, tick_statuses)
            self._purged_s[key] = now


class PooledEventLogStorage(_PooledMixin, PostgresEventLogStorage):
    """Event log; Dagster passes planned events in batches if DAGSTER_EVENT_BATCH_SIZE is set.

    Materializations of calls are buffered for up to half a second, and written before any other
    event of the process. A run that is killed loses that half second; the ledger has the
    stages themselves, and the sensor `lost_runs` reports them.
    """

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)
        self._lock = threading.RLock()
        self._buffer: list[EventLogEntry] = []
        self._timer: threading.Timer | None = None

    def store_event(self, event: EventLogEntry) -> None:
        with self._lock:
            if not _is_bufferable(event):
                self._flush()
                super().store_event(event)
                return
            self._buffer.append(event)
            if len(self._buffer) >= MAX_BUFFERED_EVENTS:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(FLUSH_AFTER_S, self._flush_by_timer)
                self._timer.daemon = True
                self._timer.start()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write planned events in one insert; the stock storage does so for other kinds only."""
        if {entry.get_dagster_event().event_type for entry in events} <= PLANNED:
            self._insert(events)
        else:
            super().store_event_batch(events)

    def dispose(self) -> None:
        self.flush()
        super().dispose()

    def flush(self) -> None:
        """Write all buffered events."""
        with self._lock:
            self._flush()

    def _flush_by_timer(self) -> None:
        try:
            self.flush()
        except Exception as error:
            # They stay buffered: the run's next event writes them, or raises the same error.
            log.warning("could not write events of the run yet: %s", type(error).__name__)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._buffer:
            self._insert(self._buffer)
            self._buffer = []

    def _insert(self, events: Sequence[EventLogEntry]) -> None:
        """Insert all rows at once, and update each asset once; stock does both for each row."""
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


def _is_bufferable(event: EventLogEntry) -> bool:
    is_materialization = event.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION
    return is_materialization and event.step_key in (PROCESS_CALLS_OP, REMATCH_OP)


def _create_tables(url: str) -> None:
    """Create missing tables once a process: checking costs three connections and 100 ms."""
    remember(url, "tables", check=lambda: bool(DagsterPostgresStorage(url)))


if "dagster_webserver" in sys.modules:
    # `dagster dev` and `dagster-webserver` load this module with the instance, before they serve.
    # Imported here: other processes need none of it.
    from callpipeline.defs.dagster_internals.webserver import install_guard

    install_guard()


def dagster_database_url() -> str:
    """Return the URL of Dagster's database; the embedded one runs until this process ends.

    Exits with a message if `dagster dev` cannot use the database, for example because
    `callpipeline up` is using it: two daemons would evaluate every sensor twice.
    """
    if DATABASE_URL not in os.environ:
        is_dev = IS_DAGSTER_DEV in os.environ
        try:
            _set_environment(operate=is_dev)
        except CallpipelineError as error:
            if is_dev:
                raise SystemExit(f"error: {error}") from None
            raise
    return os.environ[DATABASE_URL]


def files_folder() -> Path:
    """Return the folder of Dagster's files, such as compute logs."""
    return Path(os.environ.get(FILES) or settings().home.absolute() / "dagster")


def _set_environment(*, operate: bool) -> None:
    """Set the environment of Dagster's processes; `operate` locks and migrates the database."""
    from callpipeline.storage.postgres.locks import hold_operator_lock
    from callpipeline.storage.postgres.migrations import migrate
    from callpipeline.wiring import dagster_environment, open_database_url

    options = settings()
    with ExitStack() as stack:
        url = stack.enter_context(open_database_url(options))
        if operate:
            stack.enter_context(hold_operator_lock(url))
            if options.database_url is None:
                migrate(url)
        atexit.register(stack.pop_all().close)
    environment = dagster_environment(options, url)
    # Dagster has chosen a home already: the one that is set, or a temporary folder.
    del environment["DAGSTER_HOME"]
    os.environ.update(environment)
