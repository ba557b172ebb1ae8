"""Celery workers: how much faster two are than one, and what is lost when they are killed.

`python -m benchmarks.workers` processes 200 calls whose engines wait, with one worker and with two;
`--kill-for 300` kills one of two workers every 30 seconds meanwhile, with its runs. Needs
redis-server.
"""

import argparse
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import tally
from tests.soak.workers import NO_REDIS, REDIS, kill_machine, with_workers

CONCURRENCY = 8
"""Calls that a run processes at once; each worker executes one run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--wait-s", type=float, default=5.0, help="of the engine, per channel")
    parser.add_argument("--kill-for", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--kill-every", type=float, default=30.0, metavar="SECONDS")
    options = parser.parse_args()
    if REDIS is None:
        raise SystemExit(NO_REDIS)
    if options.kill_for:
        _kill(options)
    else:
        took = {count: _process(options, workers=count) for count in (1, 2)}
        print(f"two workers are {took[1] / took[2]:.2f} times as fast as one")


def _process(options: argparse.Namespace, *, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder, _installation(folder, workers) as installation:
        _start(installation, workers)
        keys = [
            installation.record(Script(number, 2, wait_s=options.wait_s))
            for number in range(options.calls)
        ]
        call_ids = installation.register(keys)
        took_s = installation.wait_until_final(call_ids, 1200)
        result = tally(installation.url, installation.store, call_ids)
    print(f"{workers} worker(s): {options.calls} calls in {took_s:.1f} s; {result}", flush=True)
    return took_s


def _kill(options: argparse.Namespace) -> None:
    """Register calls and kill a worker by turns until the time is over; wait for all calls."""
    with tempfile.TemporaryDirectory() as folder, _installation(folder, 2) as installation:
        _start(installation, 2)
        call_ids: list[str] = []
        began, kills, next_kill_s = time.monotonic(), 0, options.kill_every
        while (elapsed_s := time.monotonic() - began) < options.kill_for:
            number = len(call_ids)
            script = Script(number, 2, wait_s=options.wait_s)
            call_ids += installation.register([installation.record(script)])
            if elapsed_s >= next_kill_s:
                name = f"worker-{kills % 2 + 1}"
                kill_machine(installation, name)
                installation.start_worker(name)
                kills, next_kill_s = kills + 1, next_kill_s + options.kill_every
            time.sleep(options.kill_for / options.calls)
        after_s = installation.wait_until_final(call_ids, 1200)
        result = tally(installation.url, installation.store, call_ids)
    print(f"{kills} workers killed; all {len(call_ids)} calls ended {after_s:.0f} s after the last")
    print(result)


def _installation(folder: str, workers: int) -> AbstractContextManager[Installation]:
    extra = {"CALLPIPELINE_CONCURRENCY": str(CONCURRENCY)}
    return with_workers(Path(folder), runs=1, slots=workers, extra=extra)


def _start(installation: Installation, workers: int) -> None:
    for number in range(workers):
        installation.start_worker(f"worker-{number + 1}")


if __name__ == "__main__":
    main()
