"""Measure Dagster's storage for a run of many calls: stock and pooled, with and without batches.

Run with `python benchmarks/dagster_storage.py [calls]`. It prints results and asserts nothing:
times vary, so compare the ratios to the first line.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import dagster as dg
import psycopg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from callpipeline import wiring
from callpipeline.config import CHECKOUT, Settings
from callpipeline.storage.postgres.embedded import EmbeddedPostgres

STAGES = [f"stage_{number}" for number in range(5)]
calls = dg.DynamicPartitionsDefinition(name="calls")


class Cost(NamedTuple):
    open_ms: float
    create_s: float
    run_s: float
    connections: int


@dg.multi_asset(
    name="process",
    specs=[dg.AssetSpec(name, skippable=True) for name in STAGES],
    partitions_def=calls,
    can_subset=True,
)
def process(context: dg.AssetExecutionContext):
    """Yield six events per call, without any work."""
    for key in context.partition_keys:
        for name in STAGES:
            yield dg.AssetMaterialization(name, partition=key, metadata={"duration_s": 62.5})
        yield dg.AssetObservation(STAGES[0], partition=key)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    logging.disable(logging.CRITICAL)
    print(f"{count} calls   batch   open ms  create s   ratio     run s   ratio  connections")
    first: Cost | None = None
    with TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder, "pg")).running() as server:
        for kind in ("stock", "pooled"):
            for batch in (0, 1000):
                cost = _measure(Path(folder), server, kind, batch, count)
                first = first or cost
                _print_cost(kind, batch, cost, first)


def _print_cost(kind: str, batch: int, cost: Cost, first: Cost) -> None:
    print(
        f"{kind:9} {batch:>7} {cost.open_ms:>9.0f}"
        f" {cost.create_s:>9.2f} {first.create_s / cost.create_s:>7.1f}"
        f" {cost.run_s:>9.2f} {first.run_s / cost.run_s:>7.1f} {cost.connections:>12}"
    )


def _measure(folder: Path, server: str, kind: str, batch: int, count: int) -> Cost:
    """Measure one run of `count` calls on a new database."""
    url = _new_database(server, f"{kind}_{batch}")
    options = Settings(home=folder / f"{kind}_{batch}", _env_file=None)  # pyright: ignore[reportCallIssue]
    wiring.enter_dagster_environment(options, url)
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = str(batch)
    with _instance(options.home, kind):  # creates the tables
        pass
    started = time.perf_counter()
    with _instance(options.home, kind) as instance:
        open_s, keys = time.perf_counter() - started, [f"call-{n:05}" for n in range(count)]
        before = _connections(server, url)
        instance.add_dynamic_partitions("calls", keys)
        create_s, run_s = _one_run(instance, keys)
        return Cost(1000 * open_s, create_s, run_s, _connections(server, url) - before)


def _new_database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    return server.rsplit("/", 1)[0] + "/" + name


@contextmanager
def _instance(home: Path, kind: str) -> Iterator[dg.DagsterInstance]:
    home.mkdir(exist_ok=True)
    text = (CHECKOUT / "dagster.yaml").read_text().replace("kind: pooled", f"kind: {kind}")
    (home / "dagster.yaml").write_text(text)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def _one_run(instance: dg.DagsterInstance, keys: list[str]) -> tuple[float, float]:
    """Return the seconds to create the run with its planned events, and to execute it."""
    job = dg.Definitions(
        [process], jobs=[dg.define_asset_job("job", executor_def=dg.in_process_executor)]
    ).resolve_job_def("job")
    tags = {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}
    started = time.perf_counter()
    run = instance.create_run_for_job(job, tags=tags)
    created = time.perf_counter()
    assert execute_run(InMemoryJob(job), run, instance).success
    return created - started, time.perf_counter() - created


def _connections(server: str, url: str) -> int:
    """Return how many connections were opened; Postgres updates the number after a second."""
    time.sleep(1.5)
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(server) as admin:
        query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        row = admin.execute(query, [name]).fetchone()
    return row[0] if row else 0


if __name__ == "__main__":
    main()
