"""Compare callpipeline with the same work as a Celery task, with services over HTTP.

Calls are uploaded at once, by eight clients; both systems use the same stub services, one after the
other, on their own Postgres with syncs. Run with `python -m benchmarks.remote`; the reference needs
`redis-server`, and `uv` installs its packages (benchmarks/celery_reference.py). It asserts nothing.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks.latency import spent_s
from benchmarks.stub_services import Delays, recording, stub_services
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import processes_of, start_up
from tests.processes import until
from tests.soak.resource_usage import cpu_time, resident_mb

POLL_S = 0.1
TIMEOUT_S = 3600.0
SENDERS = 8
REFERENCE = Path(__file__).with_name("celery_reference.py")


@dataclass(frozen=True, slots=True)
class System:
    """A running system that takes uploads."""

    web: str
    database_url: str
    count_done: str
    spent_s: Callable[[], Counter[str]]
    memory_mb: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `calls` calls took, from the first request to the last result."""

    calls: int
    seconds: float
    cpu_s: Counter[str]
    peak_mb: float

    @property
    def per_minute(self) -> float:
        return self.calls / self.seconds * 60

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s.total() / self.calls * 1000


def main() -> None:
    options = _options()
    delays = Delays(*map(float, options.delays.split("/")))
    print(f"services answer after {delays}")
    for calls in options.calls:
        ours = _measured(callpipeline, calls, delays, options)
        _print("callpipeline", ours)
        if options.reference:
            theirs = _measured(celery_reference, calls, delays, options)
            _print("Celery", theirs)
            print(
                f"  ratio: {ours.per_minute / theirs.per_minute:.2f} times the calls a minute, "
                f"{ours.cpu_ms / theirs.cpu_ms:.2f} times the CPU time"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--delays", default="0/0/0", help="s of split/transcription/sentiment")
    parser.add_argument("--batch-size", type=int, help="CALLPIPELINE_BATCH_SIZE")
    parser.add_argument("--concurrency", type=int, help="CALLPIPELINE_CONCURRENCY")
    parser.add_argument("--no-reference", dest="reference", action="store_false")
    return parser.parse_args()


def _measured(
    system: Callable[..., "Iterator[System]"],
    calls: int,
    delays: Delays,
    options: argparse.Namespace,
) -> Outcome:
    with (
        tempfile.TemporaryDirectory() as folder,
        stub_services(delays) as services,
        contextmanager(system)(Path(folder), services, options) as running,
        psycopg.connect(running.database_url, autocommit=True) as connection,
    ):
        _send(running, range(2))
        _wait(running, connection, 2)
        time.sleep(5)  # the warm-up's runs end
        before, began = running.spent_s(), time.monotonic()
        _send(running, range(10, 10 + calls))
        peak_mb = _wait(running, connection, 2 + calls)
        seconds = time.monotonic() - began
        time.sleep(3)  # runs end after their results
        return Outcome(calls, seconds, running.spent_s() - before, peak_mb)


def _send(system: System, numbers: range) -> None:
    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(SENDERS) as threads:

        def send(number: int) -> None:
            file = (f"call-{number}.wav", recording(number), "audio/wav")
            client.post(f"{system.web}/upload", files={"file": file}).raise_for_status()

        list(threads.map(send, numbers))


def _wait(system: System, connection: psycopg.Connection, calls: int) -> float:
    """Wait until so many calls have results; return the peak memory of all processes in MB."""
    deadline, peak_mb = time.monotonic() + TIMEOUT_S, 0.0
    while True:
        row = connection.execute(system.count_done.encode()).fetchone()
        if row and row[0] >= calls:
            return peak_mb
        if time.monotonic() > deadline:
            raise SystemExit(f"{row and row[0]} of {calls} calls have results")
        peak_mb = max(peak_mb, system.memory_mb())
        time.sleep(POLL_S)


def _print(title: str, outcome: Outcome) -> None:
    print(
        f"{title}: {outcome.calls} calls in {outcome.seconds:.2f} s, {outcome.per_minute:.0f} a "
        f"minute, {outcome.cpu_ms:.0f} CPU ms per call, at most {outcome.peak_mb:.0f} MB"
    )
    for role, used in outcome.cpu_s.most_common():
        print(f"  {role:18}{used / outcome.calls * 1000:8.1f} CPU ms per call")


def callpipeline(
    folder: Path, services: dict[str, str], options: argparse.Namespace
) -> "Iterator[System]":
    chosen = {"BATCH_SIZE": options.batch_size, "CONCURRENCY": options.concurrency}
    given = {f"CALLPIPELINE_{name}": str(value) for name, value in chosen.items() if value}
    up = start_up(folder / "data", extra=services | given)
    try:
        with EmbeddedPostgres(up.home / "postgres").running() as url:
            yield System(
                up.web,
                url,
                "SELECT count(*) FROM callpipeline.calls WHERE state = 'COMPLETED'",
                lambda: spent_s(up),
                lambda: _memory_mb([int(line.split()[0]) for line in processes_of(up.home)]),
            )
    finally:
        up.stop()


def celery_reference(
    folder: Path, services: dict[str, str], _: argparse.Namespace
) -> "Iterator[System]":
    if not shutil.which("redis-server"):
        raise SystemExit("Install redis-server, or pass --no-reference.")
    with ExitStack() as stack:
        url = stack.enter_context(EmbeddedPostgres(folder / "postgres").running())
        redis_port, web_port = _free_port(), _free_port()
        (folder / "uploads").mkdir()
        environment = os.environ | services
        environment |= {
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "DATABASE_URL": url,
            "UPLOADS": str(folder / "uploads"),
        }
        python = _reference_python()
        started = {
            "Redis": ["redis-server", "--port", str(redis_port), "--save", ""],
            "web app": [python, str(REFERENCE), str(web_port)],
            "workers": [python, str(REFERENCE)],
        }
        running: dict[str, subprocess.Popen[bytes]] = {}
        for role, command in started.items():
            running[role] = stack.enter_context(_process(command, environment, folder))
        until(lambda: _listens(web_port), "the reference's web app", 60)
        time.sleep(5)  # the workers connect
        postgres = json.loads((folder / "postgres" / "server.json").read_text())["pid"]
        pids = {role: process.pid for role, process in running.items()} | {"Postgres": postgres}
        yield System(
            f"http://127.0.0.1:{web_port}",
            url,
            "SELECT count(*) FROM jobs WHERE status = 'completed'",
            lambda: Counter({role: _family_s(pid) for role, pid in pids.items()}),  # pyright: ignore[reportArgumentType]
            lambda: _memory_mb([each for pid in pids.values() for each in _family(pid)]),
        )


def _reference_python() -> str:
    """Return the interpreter of the environment that `uv` makes for the script."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "sync", "-q", "--system-certs", "--script", REFERENCE], check=True)
    find = [uv, "python", "find", "--script", REFERENCE]
    return subprocess.check_output(find, text=True).strip()


@contextmanager
def _process(
    command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "reference.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _family(pid: int) -> list[int]:
    """Return a process and its running descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _family_s(pid: int) -> float:
    used = [cpu_time(each) for each in _family(pid)]
    return sum(each.own_s + each.ended_children_s for each in used)


def _memory_mb(pids: list[int]) -> float:
    return sum(resident_mb(pid) for pid in pids)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
