"""Measure how long one call takes from its arrival to its results, stage by stage.

Each call is alone: the next one is sent when the run of the last one has ended. The engines are
stub services over HTTP that answer at once. Run with `python -m benchmarks.latency`; it asserts
nothing.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httpx
import psycopg

from benchmarks.stub_services import Delays, recording, stub_services
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import Up, processes_of, start_up
from tests.soak.resource_usage import children, cpu_time

Send = Callable[[Up, int], str]
"""Sends a recording by its number; returns the call's id or key."""

POLL_S = 0.02
TIMEOUT_S = 120.0
STAGES = ("registered", "planned", "launched", "process started", "step started", "results")
ROLES = {
    "forkserver": "runs",
    "dagster api grpc": "code server",
    "dagster._daemon": "daemon",
    "dagster_webserver": "Dagster's UI",
    "callpipeline.web": "web app",
    "postgres": "Postgres",
}
MOMENTS = """
    SELECT extract(epoch FROM c.created_at) AS registered,
           extract(epoch FROM r.create_timestamp AT TIME ZONE 'UTC') AS planned,
           (SELECT extract(epoch FROM min(e.timestamp) AT TIME ZONE 'UTC') FROM public.event_logs e
            WHERE e.run_id = r.run_id AND e.dagster_event_type = 'PIPELINE_STARTING') AS launched,
           r.start_time AS process_started,
           (SELECT extract(epoch FROM min(e.timestamp) AT TIME ZONE 'UTC') FROM public.event_logs e
            WHERE e.run_id = r.run_id AND e.dagster_event_type = 'STEP_START') AS step_started,
           extract(epoch FROM c.completed_at) AS results
    FROM callpipeline.calls c
    JOIN public.run_tags t ON t.value = c.call_id AND t.key IN
         ('dagster/partition', 'dagster/asset_partition_range_start')
    JOIN public.runs r USING (run_id)
    WHERE c.call_id = %(call)s OR c.key = %(call)s
"""
RUNNING = "SELECT count(*) FROM public.runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
CALL = "SELECT completed_at FROM callpipeline.calls WHERE call_id = %(call)s OR key = %(call)s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--drop", action="store_true", help="drop files instead of uploading them")
    options = parser.parse_args()
    send = drop if options.drop else upload
    with tempfile.TemporaryDirectory() as folder, stub_services(Delays()) as services:
        up = start_up(Path(folder) / "data", extra=services)
        try:
            with (
                EmbeddedPostgres(up.home / "postgres").running() as url,
                psycopg.connect(url, autocommit=True) as connection,
            ):
                for number in range(2):
                    send_and_wait(up, connection, number, send)
                idle_s = idle_cpu_s(up)
                before, began = spent_s(up), time.monotonic()
                moments = [
                    send_and_wait(up, connection, 10 + n, send) for n in range(options.calls)
                ]
                seconds = time.monotonic() - began
                report(moments, spent_s(up) - before, idle_s, seconds)
        finally:
            up.stop()


def upload(up: Up, number: int) -> str:
    """Upload a recording, and return the id of its call."""
    file = (f"call-{number}.wav", recording(number), "audio/wav")
    reply = httpx.post(f"{up.web}/upload", files={"file": file}, timeout=60)
    reply.raise_for_status()
    return reply.json()["job_id"]


def drop(up: Up, number: int) -> str:
    """Write a recording to the watched folder, and return its key."""
    name = f"call-{number}.wav"
    (up.home / "recordings" / name).write_bytes(recording(number))
    return name


def send_and_wait(up: Up, connection: psycopg.Connection, number: int, send: Send) -> list[float]:
    """Send a call; return the seconds of each of its stages when its run has ended."""
    began = time.time()
    call = {"call": send(up, number)}
    deadline = time.monotonic() + TIMEOUT_S
    while not (row := connection.execute(CALL, call).fetchone()) or row[0] is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"call {number} has no results after {TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    while (row := connection.execute(RUNNING).fetchone()) and row[0]:
        time.sleep(POLL_S)
    row = connection.execute(MOMENTS, call).fetchone()
    assert row
    return [after - before for before, after in pairwise([began, *map(float, row)])]


def idle_cpu_s(up: Up, seconds: float = 30.0) -> float:
    """Return the CPU seconds per second of all processes while there is nothing to do."""
    time.sleep(5)
    before = spent_s(up).total()
    time.sleep(seconds)
    return (spent_s(up).total() - before) / seconds


def spent_s(up: Up) -> Counter[str]:
    """Return the CPU time by role of the installation's processes, with ended children."""
    spent: Counter[str] = Counter()
    for line in processes_of(up.home):
        pid, _, command = line.partition(" ")
        used = cpu_time(int(pid))
        role = next((role for part, role in ROLES.items() if part in command), "other")
        spent[role] += used.own_s + used.ended_children_s  # pyright: ignore[reportArgumentType]
        if "bin/postgres -D" in command:
            # A backend overwrites its environment, which would tell that it belongs here.
            running = [cpu_time(child).own_s for child in children(int(pid))]
            spent[role] += sum(running)  # pyright: ignore[reportArgumentType]
    return spent


def report(moments: list[list[float]], cpu_s: Counter[str], idle_s: float, seconds: float) -> None:
    rows: dict[str, tuple[float, ...]] = dict(zip(STAGES, zip(*moments, strict=True), strict=True))
    rows["all"] = tuple(map(sum, moments))
    print(f"{'seconds':20}{'p50':>8}{'p95':>8}")
    for stage, times in rows.items():
        slowest = statistics.quantiles(times, n=20)[-1]
        print(f"{stage:20}{statistics.median(times):8.2f}{slowest:8.2f}")
    print(f"\nCPU of all processes without calls: {idle_s * 100:.1f} % of a core")
    working = cpu_s.total() - idle_s * seconds
    print(f"CPU s per call: {cpu_s.total() / len(moments):.2f}, {working / len(moments):.2f} of it")
    print("more than without calls; by process, with what it takes without calls:")
    for role, used in cpu_s.most_common():
        print(f"  {role:18}{used / len(moments):8.2f}")


if __name__ == "__main__":
    main()
