"""Services of `callpipeline up` are killed while calls are processed; all calls complete."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import (
    CALLPIPELINE,
    ROOT,
    Up,
    environment,
    processes_of,
    recording,
    start_up,
)
from tests.processes import is_alive, until

pytestmark = pytest.mark.slow

CALLS = 25
"""Enough to keep a run busy for some seconds."""
SERVICES = {"code-server": "api grpc", "daemon": "dagster._daemon", "webserver": "webserver"}
FORKSERVER = "multiprocessing.forkserver"
WITHIN_S = 120


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = start_up(tmp_path_factory.mktemp("dying") / "data")
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture(scope="module")
def url(up: Up) -> Iterator[str]:
    with EmbeddedPostgres(up.home / "postgres").running() as url:
        yield url


def states(url: str, name: str) -> list[str]:
    """Return the states of the calls of a name; the command `status` takes a second."""
    with psycopg.connect(url) as connection:
        query = "SELECT state FROM callpipeline.calls WHERE key LIKE %s"
        return [state for (state,) in connection.execute(query, [f"{name}-%"])]


def start_calls(up: Up, url: str, name: str) -> None:
    for number in range(CALLS):
        recording(up.home / "recordings", f"{name}-{number}", "never again with virgin media")
    begun = {"PROCESSING", "COMPLETED"}
    until(lambda: bool(begun & {*states(url, name)}), "calls are in progress", 90, every_s=0.1)


def until_all_are_completed(url: str, name: str) -> None:
    done = ["COMPLETED"] * CALLS
    until(lambda: states(url, name) == done, f"{name}: all calls", WITHIN_S, every_s=0.2)


def pid_of(up: Up, service: str) -> int:
    """Return the process ID of a service; 0 if it isn't running."""
    command = SERVICES.get(service, service)
    of_service = (line for line in processes_of(up.home) if command in line)
    return next((int(line.split()[0]) for line in of_service), 0)


def kill(up: Up, service: str, *, with_children: bool = False) -> int:
    """Kill a service with SIGKILL; return its process ID."""
    killed = pid_of(up, service)
    assert killed > 0  # kill(0) would kill this process
    (os.killpg if with_children else os.kill)(killed, signal.SIGKILL)
    until(lambda: not is_alive(killed), "it is dead")
    return killed


def until_restarted(up: Up, service: str, killed: int) -> None:
    until(lambda: pid_of(up, service) not in (0, killed), f"{service} runs", 20, every_s=0.1)


def test_a_second_home_on_the_same_database_is_refused(up: Up, url: str, tmp_path: Path) -> None:
    second = subprocess.run(
        [*CALLPIPELINE, "up", "--port", "0"],
        cwd=ROOT,
        env=environment(tmp_path / "data") | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert second.returncode == 1
    assert f"process {up.process.pid} on {socket.gethostname()}" in second.stderr


def test_calls_complete_although_every_service_was_killed(up: Up, url: str) -> None:
    """A run's process is a child of the code server, and continues without it."""
    start_calls(up, url, "alone")
    killed = {service: kill(up, service) for service in SERVICES}
    for service, pid in killed.items():
        until_restarted(up, service, pid)
    until_all_are_completed(url, "alone")


def test_calls_complete_although_the_code_server_was_killed_with_its_runs(up: Up, url: str) -> None:
    """Another run processes the calls."""
    start_calls(up, url, "together")
    killed = kill(up, "code-server", with_children=True)
    until_restarted(up, "code-server", killed)
    until_all_are_completed(url, "together")
    assert up.graphql("{ version }")["version"]


def test_calls_complete_although_the_process_that_forks_runs_was_killed(up: Up, url: str) -> None:
    """The code server starts another one for the next run."""
    start_calls(up, url, "forked")
    killed = kill(up, FORKSERVER)
    until_all_are_completed(url, "forked")
    start_calls(up, url, "afterwards")
    until_all_are_completed(url, "afterwards")
    assert pid_of(up, FORKSERVER) not in (0, killed)


def test_a_service_that_dies_repeatedly_stops_the_installation(up: Up) -> None:
    """Runs last, since it stops the installation; the webserver has died once before."""
    for _ in range(4):
        until(lambda: pid_of(up, "webserver") > 0, "it runs", 30, every_s=0.1)
        kill(up, "webserver")
    assert up.process.wait(300) == 1
    assert up.process.stdout
    output = up.process.stdout.read()
    assert "webserver died (killed by SIGKILL); restarting now." in output
    assert "webserver died (killed by SIGKILL); restarting in 5 s." in output
    assert "error: webserver died 5 times within 10 minutes (killed by SIGKILL):" in output
    assert [service for service in SERVICES if pid_of(up, service)] == []
