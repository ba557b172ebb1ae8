"""Dagster's storage as configured in dagster.yaml, compared with stock on the same tables."""

import inspect
import re
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest
import sqlalchemy
from dagster._core.scheduler.instigation import TickStatus
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy.pool import NullPool, QueuePool

from callpipeline.config import CHECKOUT
from callpipeline.defs.dagster_internals import storage
from callpipeline.defs.dagster_internals.schema import INHERITED, inherit_schema
from callpipeline.defs.dagster_internals.storage import (
    POOL_SIZE,
    PooledEventLogStorage,
    PooledRunStorage,
    PooledScheduleStorage,
)
from tests.integration.dagster_home import (
    Home,
    add_calls,
    home,
    statements,
)

__all__ = ["home"]


def test_the_stock_storage_is_built_as_expected() -> None:
    pinned = (CHECKOUT / "pyproject.toml").read_text()
    for package in ("dagster", "dagster-postgres"):
        assert f'"{package}=={version(package)}"' in pinned
    for stock in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
        assert "self._engine = create_pg_engine(" in inspect.getsource(stock.__init__)
        parameters = list(inspect.signature(stock.optimize_for_webserver).parameters)
        assert parameters == ["self", "statement_timeout", "pool_recycle", "max_overflow"]
    source = inspect.getsource(DagsterPostgresStorage.__init__)
    assert set(re.findall(r"self\.(_\w+_storage) =", source)) == {
        "_run_storage",
        "_event_log_storage",
        "_schedule_storage",
    }
    stored = ("self", "conn", "event", "event_id")
    assert tuple(inspect.signature(PostgresEventLogStorage._store_asset_event).parameters) == stored
    for name in (
        "_event_to_row",
        "_store_asset_event_tags",
        "index_transaction",
        "store_asset_check_event",
        "dispose",
    ):
        assert callable(getattr(PostgresEventLogStorage, name))


def test_the_instance_has_the_settings_of_dagster_yaml(home: Home) -> None:
    with home.instance() as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue
        assert queue.max_concurrent_runs == 5
        limits = {limit["key"]: limit["limit"] for limit in queue.tag_concurrency_limits}
        assert limits == {"callpipeline/lane": 2, "dagster/backfill": 1, "callpipeline/upkeep": 1}
        # Work that can wait never takes all slots.
        assert sum(limits.values()) < queue.max_concurrent_runs
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 86400
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 60
        assert not instance.run_retries_enabled
        assert instance.get_sensor_settings() == {"use_threads": True, "num_workers": 4}
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled


@pytest.mark.parametrize(("kind", "pool"), [("stock", NullPool), ("pooled", QueuePool)])
def test_dagsters_own_storage_can_be_chosen(
    home: Home, kind: str, pool: type[sqlalchemy.Pool]
) -> None:
    with home.instance(kind) as instance:
        storages = instance.run_storage, instance.event_log_storage, instance.schedule_storage
        assert {type(storage._engine.pool) for storage in storages} == {pool}  # pyright: ignore
        pooled = (PooledRunStorage, PooledEventLogStorage, PooledScheduleStorage)
        assert [isinstance(*pair) for pair in zip(storages, pooled, strict=True)] == [
            kind == "pooled"
        ] * 3
        assert instance.get_runs_count() >= 0


def test_an_unknown_kind_is_rejected(home: Home) -> None:
    with pytest.raises(ValueError, match="pooled or stock, not 'fast'"), home.instance("fast"):
        pass


def test_connections_stay_few_and_are_shared_by_instances(home: Home) -> None:
    with home.instance() as one, home.instance() as other:
        for instance in (one, other):
            instance.get_runs_count()
            instance.get_dynamic_partitions("calls")
            instance.all_instigator_state()
        threads = [threading.Thread(target=one.get_runs) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(_connections(home)) <= POOL_SIZE


def test_queries_continue_after_postgres_ended_the_connections(home: Home) -> None:
    with home.instance() as instance:
        add_calls(instance, 1)
        before = _end_connections(home)
        keys = add_calls(instance, 1)
        assert instance.has_dynamic_partition("calls", keys[0])
        assert instance.get_runs_count() >= 0
        instance.all_instigator_state()
        assert before.isdisjoint(_connections(home))


def _connections(home: Home) -> set[int]:
    query = (
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return {pid for (pid,) in home.rows(query)}


def _end_connections(home: Home) -> set[int]:
    """End all connections, as a restart of Postgres does; returns their pids."""
    pids = _connections(home)
    home.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", list(pids))
    return pids


def test_connections_of_the_webserver_are_pooled_and_limited(home: Home) -> None:
    with home.instance() as instance:
        instance.optimize_for_webserver(statement_timeout=7000, pool_recycle=3600, max_overflow=20)
        events = instance.event_log_storage
        assert isinstance(events, PooledEventLogStorage)
        with events.index_connection() as connection:
            shown = [
                connection.execute(sqlalchemy.text(f"SHOW {setting}")).scalar()
                for setting in ("statement_timeout", "search_path")
            ]
        assert shown == ["7s", "public"]
        assert _end_connections(home)
        add_calls(instance, 1)


FORK = """
import os, sys
from sqlalchemy import text
from callpipeline.defs.dagster_internals.storage import PooledPostgresStorage

runs = PooledPostgresStorage(sys.argv[1]).run_storage

def connection():
    with runs.connect() as connection:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar()

before = connection()
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert connection() == before, "the child ended its parent's connection"
else:
    os._exit(connection() == before)
"""


def test_a_forked_process_opens_its_own_connections(home: Home) -> None:
    with home.instance():  # creates the tables
        pass
    command = [sys.executable, "-c", FORK, home.database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tables_are_checked_once_a_process(home: Home) -> None:
    with home.instance(), statements(sqlalchemy.Engine) as executed, home.instance() as instance:
        assert executed == []
        instance.get_runs_count()
        assert len(executed) == 1


def test_what_the_schema_has_is_asked_once_a_process(home: Home) -> None:
    """Dagster's own storage asks before nearly every query."""
    with home.instance() as instance:
        run = PooledRunStorage(home.database_url)
        schedules = PooledScheduleStorage(home.database_url)
        events = PooledEventLogStorage(home.database_url)
        checks = (
            run.has_run_stats_index_cols,
            schedules.has_instigators_table,
            lambda: schedules.has_built_index("schedule_jobs_selector_id"),
            lambda: events.has_table("dynamic_partitions"),
            events.has_asset_key_index_cols,
        )
        assert all(check() for check in checks)
        with statements(sqlalchemy.Engine) as executed:
            assert all(check() for check in checks)
            instance.all_instigator_state()
        assert len(executed) == 1


def test_what_the_schema_lacks_is_asked_again(home: Home) -> None:
    with home.instance():
        events = PooledEventLogStorage(home.database_url)
        assert not events.has_table("comes_later")
        with events.index_connection() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE comes_later ()"))
        assert events.has_table("comes_later")


INHERIT = """
import sys
from callpipeline.defs.dagster_internals.storage import PooledEventLogStorage
import sqlalchemy

executed = []
sqlalchemy.event.listen(
    sqlalchemy.Engine, "before_cursor_execute", lambda *a: executed.append(a[2])
)
assert PooledEventLogStorage(sys.argv[1]).has_asset_key_index_cols()
assert not executed, executed
"""


def test_child_processes_inherit_what_the_schema_has(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INHERITED, "")
    with home.instance() as instance:
        inherit_schema(instance)
        command = [sys.executable, "-c", INHERIT, home.database_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_old_ticks_are_deleted_once_a_minute(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.instance():
        schedules = PooledScheduleStorage(home.database_url)
        clock = iter((100.0, 100.0, 159.0, 161.0))
        monkeypatch.setattr(storage.time, "monotonic", lambda: next(clock))
        made: list[int] = []
        for status in (
            TickStatus.SKIPPED,
            TickStatus.FAILURE,
            TickStatus.SKIPPED,
            TickStatus.SKIPPED,
        ):
            with statements(sqlalchemy.Engine) as executed:
                schedules.purge_ticks("origin", "selector", 1.0, [status])
            made.append(sum(statement.startswith("DELETE") for statement in executed))
        assert made == [1, 1, 0, 1]
