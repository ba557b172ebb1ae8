"""Measure purging Dagster's records of 100,000 old calls while new ones are processed.

Run with `python benchmarks/retention.py`. A batch of calls is processed for real, and its rows in
Dagster's tables and the ledger are copied with other ids and an older date up to the requested
number. Then new calls are processed: first alone, then while `callpipeline retention --now` deletes
the old ones, and then again in the freed space. It prints results and asserts nothing.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.soak.installation import PLAIN, Installation, installed
from tests.soak.script import Script
from tests.soak.tally import tally

TABLES = (
    "event_logs",
    "asset_event_tags",
    "runs",
    "run_tags",
    "dynamic_partitions",
    "asset_check_executions",
    "job_ticks",
)
BATCH = 200
LONG_AGO = "2026-01-01"
NUMBERS = itertools.count()
TIMEOUT_S = 1800.0
COPY = """
CREATE TEMP TABLE old_calls AS
    SELECT c.call_id, n, '2026-01-01-' || substr(md5(c.call_id || n), 1, 12) AS new_id
    FROM callpipeline.calls c CROSS JOIN generate_series(1, {copies}) AS n;
CREATE TEMP TABLE old_runs AS
    SELECT r.run_id, n, md5(r.run_id || n)::uuid::text AS new_id
    FROM public.runs r CROSS JOIN generate_series(1, {copies}) AS n
    WHERE r.pipeline_name = 'process_waiting_calls';
CREATE INDEX ON old_calls (call_id, n);
CREATE INDEX ON old_runs (run_id, n);
INSERT INTO callpipeline.calls (call_id, bucket, key, etag, size_bytes, last_modified, state,
                                created_at, completed_at)
    SELECT new_id, 'copied', new_id, 'e', 1, '2026-01-01', 'COMPLETED', '2026-01-01', '2026-01-01'
    FROM old_calls ORDER BY n;
INSERT INTO public.dynamic_partitions (partitions_def_name, partition)
    SELECT 'calls', new_id FROM old_calls ORDER BY n;
INSERT INTO public.runs (run_id, snapshot_id, pipeline_name, status, run_body, create_timestamp,
                         update_timestamp, start_time, end_time)
    SELECT o.new_id, r.snapshot_id, r.pipeline_name, r.status,
           replace(r.run_body, r.run_id, o.new_id), '2026-01-01', '2026-01-01', r.start_time,
           r.end_time
    FROM public.runs r JOIN old_runs o USING (run_id) ORDER BY o.n;
INSERT INTO public.run_tags (run_id, key, value)
    SELECT o.new_id, t.key, t.value
    FROM public.run_tags t JOIN old_runs o USING (run_id) ORDER BY o.n;
INSERT INTO public.event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key,
                               partition)
    SELECT o.new_id,
           replace(replace(e.event, e.run_id, o.new_id), coalesce(e.partition, ' no call '),
                   coalesce(c.new_id, ' no call ')),
           e.dagster_event_type, '2026-01-01', e.step_key, e.asset_key, c.new_id
    FROM public.event_logs e JOIN old_runs o USING (run_id)
    LEFT JOIN old_calls c ON c.call_id = e.partition AND c.n = o.n ORDER BY o.n, e.id;
ANALYZE;
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """Throughput, and the longest time that one call took."""

    calls_per_minute: float
    longest_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=100_000, help="old calls, in batches of 200")
    parser.add_argument("--calls", type=int, default=3000, help="new calls in each of three rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        with installed(home, code=PLAIN, durable=True) as installation:
            time.sleep(15)  # excludes the daemon's own start
            _flow(installation, BATCH, "first")
            _grow(installation, options.old // BATCH)
            _measure(installation, options.calls)
            found = tally(installation.url, installation.store)
            half = [call_id for call_id in found.partial if not call_id.startswith(LONG_AGO)]
            print(f"LOST {len(found.lost)}  DUP {len(found.dup)}  PARTIAL {len(half)}")


def _measure(installation: Installation, calls: int) -> None:
    _print_tables("with the old calls", installation)
    alone = _flow(installation, calls, "alone")
    _print_tables("after new calls", installation)
    began = time.monotonic()
    purge = _purge(installation)
    beside = _flow(installation, calls, "beside")
    was_over = purge.poll() is not None
    output, _ = purge.communicate(timeout=TIMEOUT_S)
    print(output)
    if not was_over:
        print("(the purge took longer than the new calls)")
    print(f"purged in {time.monotonic() - began:.0f} s at most")
    _print_tables("after the purge and concurrent new calls", installation)
    _vacuum(installation)
    again = _flow(installation, calls, "again")
    _print_tables("after as many calls again", installation)
    for name, flow in (("alone", alone), ("during the purge", beside), ("after it", again)):
        print(
            f"{name:18}{flow.calls_per_minute:7.0f} calls per minute, the longest took "
            f"{flow.longest_s:.0f} s"
        )
    print(f"speed relative to no purge: {beside.calls_per_minute / alone.calls_per_minute:.2f}")
    _compact(installation)
    _print_tables("after VACUUM FULL", installation)


def _flow(installation: Installation, calls: int, name: str) -> Flow:
    """Add recordings all at once, and wait until each call has ended."""
    staged = installation.home.parent / name
    staged.mkdir()
    for number in range(calls):
        script = Script(next(NUMBERS), mentions=number % 4)
        (staged / script.name).write_text(script.text)
    began = time.monotonic()
    staged.rename(installation.recordings / name)
    done = 0
    where = f"WHERE key LIKE '{name}/%' AND completed_at IS NOT NULL"
    while done < calls and time.monotonic() - began < TIMEOUT_S:
        time.sleep(0.5)
        done = _number(installation, f"SELECT count(*) FROM callpipeline.calls {where}")
    took_s = time.monotonic() - began
    longest = "max(extract(epoch FROM completed_at - created_at))::int"
    longest_s = _number(installation, f"SELECT {longest} FROM callpipeline.calls {where}")
    time.sleep(10)  # the last events of the runs
    return Flow(calls / took_s * 60, longest_s)


def _grow(installation: Installation, copies: int) -> None:
    began = time.monotonic()
    with psycopg.connect(installation.url, autocommit=True) as connection:
        connection.execute(COPY.format(copies=copies).encode())
    print(f"{copies * BATCH:,} old calls created in {time.monotonic() - began:.0f} s")


def _purge(installation: Installation) -> subprocess.Popen[str]:
    command = "from callpipeline.cli import app; app(['retention', '--now'])"
    return subprocess.Popen(
        [sys.executable, "-c", command],
        env={**installation.environment, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _print_tables(when: str, installation: Installation) -> None:
    """Print rows and megabytes on disk, with indexes, of Dagster's tables."""
    print(f"\n{when}:")
    whole = 0
    for table in TABLES:
        size = _number(installation, f"SELECT pg_total_relation_size('public.{table}')")
        rows = _number(installation, f"SELECT count(*) FROM public.{table}")
        whole += size
        if rows > 1000 or size > 4_000_000:
            print(f"  {table:22}{rows:12,} rows {size / 1e6:9.1f} MB")
    print(f"  {'total':22}{whole / 1e6:27.1f} MB")


def _vacuum(installation: Installation) -> None:
    """Vacuum now, as autovacuum would a minute later."""
    with psycopg.connect(installation.url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"VACUUM ANALYZE public.{table}".encode())


def _compact(installation: Installation) -> None:
    began = time.monotonic()
    with psycopg.connect(installation.url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"VACUUM FULL public.{table}".encode())
    print(f"\nVACUUM FULL took {time.monotonic() - began:.0f} s")


def _number(installation: Installation, query: str) -> int:
    with psycopg.connect(installation.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


if __name__ == "__main__":
    main()
