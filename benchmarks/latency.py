"""Measure how long one call takes from its registration to its results, stage by stage.

Each call is alone: the next one is dropped when its results are there. Calls come with transcripts
and are half a second long, so that the engines take next to no time. Run with
`python -m benchmarks.latency`; it asserts nothing.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import psycopg

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import Up, processes_of, recording, start_up
from tests.processes import until
from tests.soak.resource_usage import cpu_time

STAGES = ("planned", "launched", "process started", "step started", "results")
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
    WHERE c.key = %s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        up = start_up(Path(folder) / "data")
        try:
            with EmbeddedPostgres(up.home / "postgres").running() as url:
                process(up, url, "warm-up")
                before_s = spent_s(up)
                moments = [process(up, url, f"call-{n}") for n in range(options.calls)]
                report(moments, (spent_s(up) - before_s) / options.calls)
        finally:
            up.stop()


def process(up: Up, url: str, name: str) -> list[float]:
    """Drop a call, and return the seconds between its stages once it has results."""
    recording(up.home / "recordings", name, "I am leaving you for Vodafone")

    def moments() -> list[float]:
        with psycopg.connect(url) as connection:
            row = connection.execute(MOMENTS, [f"{name}.wav"]).fetchone()
        return [float(moment) for moment in row] if row and None not in row else []

    until(lambda: bool(moments()), f"results of {name}", 120, every_s=0.1)
    time.sleep(1.0)  # the run ends after its results are there
    return [after - before for before, after in pairwise(moments())]


def spent_s(up: Up) -> float:
    """Return the CPU time of the installation's processes and of their children that ended."""
    spent = [cpu_time(int(line.split()[0])) for line in processes_of(up.home)]
    return sum(each.own_s + each.ended_children_s for each in spent)


def report(moments: list[list[float]], cpu_s: float) -> None:
    rows: dict[str, tuple[float, ...]] = dict(zip(STAGES, zip(*moments, strict=True), strict=True))
    rows["registered to results"] = tuple(map(sum, moments))
    print(f"{'seconds':24}{'p50':>8}{'p95':>8}")
    for stage, times in rows.items():
        slowest = statistics.quantiles(times, n=20)[-1]
        print(f"{stage:24}{statistics.median(times):8.2f}{slowest:8.2f}")
    print(f"CPU s per call, all processes: {cpu_s:.2f}")


if __name__ == "__main__":
    main()
