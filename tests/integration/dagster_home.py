"""Dagster with the project's dagster.yaml on its own database, and jobs to run there."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from sqlalchemy import event

from callpipeline import wiring
from callpipeline.config import CHECKOUT, Settings

KINDS = ("stock", "pooled")
calls = dg.DynamicPartitionsDefinition(name="calls")


@dataclass(frozen=True)
class Home:
    """Opens Dagster with the project's dagster.yaml, on one database for all tests of a module."""

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
        wiring.write_dagster_home(folder / "dagster")
        yield Home(folder, url)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def job_over(
    assets: Sequence[str],
    each: Callable[[dg.AssetExecutionContext, str], None] = lambda *_: None,
    *,
    op: str | None = None,
) -> dg.JobDefinition:
    """Return a job with one step that materializes each asset for all its calls but the last."""
    specs = [dg.AssetSpec(name, skippable=True) for name in assets]
    checks = [dg.AssetCheckSpec("plausible", asset=assets[0])]

    @dg.multi_asset(
        name=op or f"{assets[0]}_op",
        specs=specs,
        check_specs=checks,
        partitions_def=calls,
        can_subset=True,
    )
    def materialize(context: dg.AssetExecutionContext):
        *good, bad = context.partition_keys
        for key in good:
            for name in assets:
                yield dg.AssetMaterialization(name, partition=key)
            each(context, key)
        yield dg.AssetCheckResult(asset_key=assets[0], check_name="plausible", passed=True)
        raise dg.Failure(f"1 call failed: {bad}", allow_retries=False)

    job = dg.define_asset_job(f"{assets[0]}_job", executor_def=dg.in_process_executor)
    return dg.Definitions([materialize], jobs=[job]).resolve_job_def(f"{assets[0]}_job")


def add_calls(instance: dg.DagsterInstance, count: int) -> list[str]:
    batch = uuid.uuid4().hex[:6]
    keys = [f"2026-01-02-{batch}{number:06}" for number in range(count)]
    instance.add_dynamic_partitions("calls", keys)
    return keys


def span(keys: Sequence[str]) -> dict[str, str]:
    return {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}


def execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, keys: Sequence[str]
) -> dg.ExecuteInProcessResult:
    return job.execute_in_process(instance=instance, tags=span(keys), raise_on_error=False)


def events_of(home: Home, run_id: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT dagster_event_type, asset_key, partition, step_key, event FROM event_logs "
        "WHERE run_id = %s ORDER BY id"
    )
    return [(*row, _timeless(body)) for *row, body in home.rows(query, run_id)]


def _timeless(body: str) -> dict[str, Any]:
    return {k: v for k, v in json.loads(body).items() if k not in ("run_id", "timestamp")}


@contextmanager
def statements(engine: sqlalchemy.Engine | type[sqlalchemy.Engine]) -> Iterator[list[str]]:
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield executed
    event.remove(engine, "before_cursor_execute", note)
