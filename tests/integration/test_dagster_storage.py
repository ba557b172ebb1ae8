"""Dagster's storage as dagster.yaml names it, compared with the stock one on the same tables.

It rests on private names of Dagster: where one has vanished, these tests say so.
"""

import inspect
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from callpipeline import wiring
from callpipeline.config import CHECKOUT, Settings
from callpipeline.defs.instance_storage import (
    KEPT_CONNECTIONS,
    PooledEvents,
    PooledRuns,
    PooledSchedules,
)
from callpipeline.defs.selection import OP
from tests.processes import until

KINDS = ("stock", "pooled")
calls = dg.DynamicPartitionsDefinition(name="calls")


@dataclass(frozen=True)
class Home:
    """Opens Dagster with the project's dagster.yaml, on one database for all tests here."""

    folder: Path
    database_url: str

    @contextmanager
    def instance(self, kind: str = "pooled") -> Iterator[dg.DagsterInstance]:
        text = (CHECKOUT / "dagster.yaml").read_text()
        assert text.count("kind: pooled") == 1
        (self.folder / "dagster.yaml").write_text(text.replace("kind: pooled", f"kind: {kind}"))
        with dg.DagsterInstance.from_config(str(self.folder)) as instance:
            yield instance

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode(), values).fetchall()


@pytest.fixture(scope="module")
def home(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder, name = tmp_path_factory.mktemp("dagster"), f"dagster_{uuid.uuid4().hex}"
    url = postgres.rsplit("/", 1)[0] + "/" + name
    options = Settings(home=folder, _env_file=None)  # pyright: ignore[reportCallIssue]
    with psycopg.connect(postgres, autocommit=True) as admin, pytest.MonkeyPatch.context() as patch:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
        for key, value in wiring.dagster_environment(options, url).items():
            patch.setenv(key, value)
        yield Home(folder, url)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def job_over(
    assets: Sequence[str],
    each: Callable[[dg.AssetExecutionContext, str], None] = lambda *_: None,
    *,
    op: str | None = None,
) -> dg.JobDefinition:
    """A job of one step that makes each asset for each of its calls, but not for the last."""
    specs = [dg.AssetSpec(name, skippable=True) for name in assets]
    checks = [dg.AssetCheckSpec("plausible", asset=assets[0])]

    @dg.multi_asset(
        name=op or f"{assets[0]}_op",
        specs=specs,
        check_specs=checks,
        partitions_def=calls,
        can_subset=True,
    )
    def make(context: dg.AssetExecutionContext):
        *good, bad = context.partition_keys
        for key in good:
            for name in assets:
                yield dg.AssetMaterialization(name, partition=key)
            each(context, key)
        yield dg.AssetCheckResult(asset_key=assets[0], check_name="plausible", passed=True)
        raise dg.Failure(f"1 call failed: {bad}", allow_retries=False)

    job = dg.define_asset_job(f"{assets[0]}_job", executor_def=dg.in_process_executor)
    return dg.Definitions([make], jobs=[job]).resolve_job_def(f"{assets[0]}_job")


def add_calls(instance: dg.DagsterInstance, count: int) -> list[str]:
    batch = uuid.uuid4().hex[:6]
    keys = [f"2026-01-02-{batch}{number:06}" for number in range(count)]
    instance.add_dynamic_partitions("calls", keys)
    return keys


def span(keys: Sequence[str]) -> dict[str, str]:
    return {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}


def test_the_names_that_the_storage_rests_on_are_those_of_this_dagster() -> None:
    pinned = (CHECKOUT / "pyproject.toml").read_text()
    for package in ("dagster", "dagster-postgres"):
        assert f'"{package}=={version(package)}"' in pinned
    for stock in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
        assert "self._engine = create_pg_engine(" in inspect.getsource(stock.__init__)
        parameters = list(inspect.signature(stock.optimize_for_webserver).parameters)
        assert parameters == ["self", "statement_timeout", "pool_recycle", "max_overflow"]
    made = inspect.getsource(DagsterPostgresStorage.__init__)
    assert set(re.findall(r"self\.(_\w+_storage) =", made)) == {
        "_run_storage",
        "_event_log_storage",
        "_schedule_storage",
    }
    stored = ("self", "conn", "event", "event_id")
    assert tuple(inspect.signature(PostgresEventLogStorage._store_asset_event).parameters) == stored
    for name in ("_event_to_row", "index_transaction", "store_asset_check_event"):
        assert callable(getattr(PostgresEventLogStorage, name))


def test_the_projects_instance_is_loaded_as_it_is_written(home: Home) -> None:
    with home.instance() as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue
        assert queue.max_concurrent_runs == 4
        limits = {limit["key"]: limit["limit"] for limit in queue.tag_concurrency_limits}
        assert limits == {"callpipeline/lane": 2, "dagster/backfill": 1}
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
        kept = instance.run_storage, instance.event_log_storage, instance.schedule_storage
        assert {type(storage._engine.pool) for storage in kept} == {pool}  # pyright: ignore
        pooled = (PooledRuns, PooledEvents, PooledSchedules)
        assert [isinstance(*pair) for pair in zip(kept, pooled, strict=True)] == [
            kind == "pooled"
        ] * 3
        assert instance.get_runs_count() >= 0


def test_a_storage_that_does_not_exist_is_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="pooled or stock, not 'fast'"), home.instance("fast"):
        pass


def test_what_a_run_plans_is_the_same_as_stock_writes(home: Home) -> None:
    job = job_over(["planned_audio", "planned_words", "planned_names"])
    with home.instance() as instance:
        keys = add_calls(instance, 7)
    written: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance:
            run = instance.create_run_for_job(job, tags=span(keys))
        written[kind] = _events(home, run.run_id), _checks(home, run.run_id), _assets(home, run)
    assert written["pooled"] == written["stock"]
    events, checks, assets = written["pooled"]
    assert len(events) == 3 * 7 + 1
    assert len(checks) == 1
    assert len(assets) == 3


def _events(home: Home, run_id: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT dagster_event_type, asset_key, partition, step_key, event FROM event_logs "
        "WHERE run_id = %s ORDER BY id"
    )
    return [(*row, _timeless(body)) for *row, body in home.rows(query, run_id)]


def _timeless(body: str) -> dict[str, Any]:
    return {k: v for k, v in json.loads(body).items() if k not in ("run_id", "timestamp")}


def _checks(home: Home, run_id: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT c.asset_key, check_name, c.partition, execution_status, e.dagster_event_type "
        "FROM asset_check_executions c JOIN event_logs e ON e.id = c.evaluation_event_storage_id "
        "WHERE c.run_id = %s ORDER BY c.id"
    )
    return home.rows(query, run_id)


def _assets(home: Home, run: dg.DagsterRun) -> list[tuple[Any, ...]]:
    """The assets that show this as their last run, dated by the event planned last for each."""
    query = (
        "SELECT a.asset_key FROM asset_keys a WHERE last_run_id = %s "
        "AND last_materialization_timestamp::timestamp = (SELECT max(timestamp) FROM event_logs e "
        "WHERE e.run_id = a.last_run_id AND e.asset_key = a.asset_key) ORDER BY 1"
    )
    return home.rows(query, run.run_id)


def test_what_a_big_run_plans_is_one_insert(home: Home) -> None:
    job = job_over(["big_audio", "big_words", "big_names"])
    with home.instance() as instance:
        keys = add_calls(instance, 300)
        storage = instance.event_log_storage
        assert isinstance(storage, PooledEvents)
        with _statements(storage._engine) as said:
            run = instance.create_run_for_job(job, tags=span(keys))
    assert len([one for one in said if one.startswith("INSERT INTO event_logs")]) == 1
    assert home.rows("SELECT count(*) FROM event_logs WHERE run_id = %s", run.run_id) == [(901,)]


@contextmanager
def _statements(engine: sqlalchemy.Engine | type[sqlalchemy.Engine]) -> Iterator[list[str]]:
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield said
    event.remove(engine, "before_cursor_execute", note)


def test_partitions_show_the_same_status_as_with_stock(home: Home) -> None:
    seen: dict[tuple[str, str], list[AssetPartitionStatus | None]] = {}
    for writer in KINDS:
        with home.instance(writer) as instance:
            keys = add_calls(instance, 3)
            job = job_over([f"status_{writer}"])
            assert not _execute(job, instance, keys[:2]).success
        for reader in KINDS:
            with home.instance(reader) as instance:
                asset = dg.AssetKey(f"status_{writer}")
                statuses = instance.get_status_by_partition(asset, keys, calls)
                assert statuses
                seen[writer, reader] = [statuses.get(key) for key in keys]
    expected = [AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED, None]
    assert list(seen.values()) == [expected] * 4


def _execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, keys: Sequence[str]
) -> dg.ExecuteInProcessResult:
    return job.execute_in_process(instance=instance, tags=span(keys), raise_on_error=False)


def test_materializations_of_other_steps_are_written_at_once(home: Home) -> None:
    written: list[int] = []
    with home.instance() as instance:
        keys = add_calls(instance, 4)
        job = job_over(["prompt_audio", "prompt_words"], lambda c, _: written.append(seen(home, c)))
        _execute(job, instance, keys)
    assert written == [2, 4, 6]


def seen(home: Home, context: dg.AssetExecutionContext) -> int:
    query = "SELECT count(*) FROM event_logs WHERE run_id = %s AND dagster_event_type = %s"
    values = context.run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION.value
    return home.rows(query, *values)[0][0]


def test_materializations_of_calls_are_written_together_and_as_stock_writes(home: Home) -> None:
    job = job_over(["together_audio", "together_words"], op=OP)
    with home.instance() as instance:
        keys = add_calls(instance, 60)
    written: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance, _statements(sqlalchemy.Engine) as said:
            result = _execute(job, instance, keys)
        rows = _events(home, result.run_id)
        made = [row[:4] for row in rows if row[0] == "ASSET_MATERIALIZATION"]
        kinds = [row[0] for row in rows]
        tags = "SELECT asset_key, key, value FROM asset_event_tags WHERE event_id IN (SELECT id "
        tags += "FROM event_logs WHERE run_id = %s AND dagster_event_type = %s) ORDER BY 1, 2, 3"
        tagged = home.rows(tags, result.run_id, "ASSET_MATERIALIZATION")
        written[kind] = made, kinds.index("STEP_FAILURE"), [row[:2] for row in tagged]
        inserts = [one for one in said if one.startswith("INSERT INTO event_logs")]
        written[f"inserts by {kind}"] = len(inserts)
    assert written["pooled"] == written["stock"]
    assert len(written["pooled"][0]) == 2 * 59
    assert written["inserts by pooled"] < written["inserts by stock"] / 4


def test_a_call_after_which_nothing_happens_is_told_soon(home: Home) -> None:
    """The next one may take an hour."""

    def wait(context: dg.AssetExecutionContext, _: str) -> None:
        until(lambda: seen(home, context) == 2, "both are written", 20)

    with home.instance() as instance:
        keys = add_calls(instance, 2)
        result = _execute(job_over(["soon_audio", "soon_words"], wait, op=OP), instance, keys)
    assert "1 call failed" in str(result.all_events)


def test_what_could_not_be_written_late_is_written_with_the_next_event(home: Home) -> None:
    with home.instance() as instance:
        keys = add_calls(instance, 2)
        storage = instance.event_log_storage
        assert isinstance(storage, PooledEvents)
        fails = iter([True])
        store = storage._store_together

        def fail_once(events: Any) -> None:
            if next(fails, False):
                raise OperationalError("", None, Exception("away"))
            store(events)

        storage._store_together = fail_once  # pyright: ignore[reportAttributeAccessIssue]

        def wait(context: dg.AssetExecutionContext, _: str) -> None:
            until(lambda: next(iter([storage._timer is None])), "the first try", 20)

        result = _execute(job_over(["late_audio"], wait, op=OP), instance, keys)
        made = [row for row in _events(home, result.run_id) if row[0] == "ASSET_MATERIALIZATION"]
    assert len(made) == 1


def test_connections_stay_few_and_are_shared_by_instances(home: Home) -> None:
    with home.instance() as one, home.instance() as other:
        for instance in (one, other):
            instance.get_runs_count()
            instance.get_dynamic_partitions("calls")
            instance.all_instigator_state()
        asking = [threading.Thread(target=one.get_runs) for _ in range(12)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert 1 <= len(_connections(home)) <= KEPT_CONNECTIONS


def test_queries_go_on_after_postgres_ended_the_connections(home: Home) -> None:
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
    """End all of them, as Postgres does when it is restarted; returns which there were."""
    found = _connections(home)
    home.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", list(found))
    return found


def test_the_webservers_connections_are_kept_and_limited(home: Home) -> None:
    with home.instance() as instance:
        instance.optimize_for_webserver(statement_timeout=7000, pool_recycle=3600, max_overflow=20)
        events = instance.event_log_storage
        assert isinstance(events, PooledEvents)
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
from callpipeline.defs.instance_storage import PooledPostgresStorage

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


def test_a_forked_process_has_connections_of_its_own(home: Home) -> None:
    with home.instance():  # makes the tables
        pass
    command = [sys.executable, "-c", FORK, home.database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_tables_are_looked_for_once_a_process(home: Home) -> None:
    with home.instance(), _statements(sqlalchemy.Engine) as said, home.instance() as instance:
        assert said == []
        instance.get_runs_count()
        assert len(said) == 1
