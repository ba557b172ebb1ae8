"""Services of `callpipeline up` killed while calls are under way: the calls end all the same."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callpipeline.storage.embedded import EmbeddedPostgres
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
"""As many as keep a run busy for some seconds."""
SERVICES = {"code-server": "api grpc", "daemon": "dagster._daemon", "webserver": "webserver"}
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
    """The states of the calls put under a name; `status` would take a second to tell them."""
    with psycopg.connect(url) as connection:
        asked = "SELECT state FROM callpipeline.calls WHERE key LIKE %s"
        return [state for (state,) in connection.execute(asked, [f"{name}-%"])]


def put_under_way(up: Up, url: str, name: str) -> None:
    for number in range(CALLS):
        recording(up.home / "recordings", f"{name}-{number}", "never again with virgin media")
    until(lambda: "PROCESSING" in states(url, name), "calls are under way", 90, every_s=0.1)


def until_all_are_completed(url: str, name: str) -> None:
    done = ["COMPLETED"] * CALLS
    until(lambda: states(url, name) == done, f"{name}: all calls", WITHIN_S, every_s=0.2)


def pid_of(up: Up, service: str) -> int:
    """The process of a service; 0 while there is none."""
    of_service = (line for line in processes_of(up.home) if SERVICES[service] in line)
    return next((int(line.split()[0]) for line in of_service), 0)


def kill(up: Up, service: str, *, with_all_it_started: bool = False) -> int:
    """Kill a service without a warning; returns which process it was."""
    killed = pid_of(up, service)
    assert killed > 0  # to kill 0 is to kill oneself
    (os.killpg if with_all_it_started else os.kill)(killed, signal.SIGKILL)
    until(lambda: not is_alive(killed), "it is dead")
    return killed


def until_started_again(up: Up, service: str, killed: int) -> None:
    until(lambda: pid_of(up, service) not in (0, killed), f"{service} runs", 20, every_s=0.1)


def test_a_second_home_on_the_same_database_is_refused(up: Up, url: str, tmp_path: Path) -> None:
    second = subprocess.run(
        [*CALLPIPELINE, "up", "--port", "0"],
        cwd=ROOT,
        env=environment(tmp_path / "data") | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"process {up.process.pid} on {socket.gethostname()}" in second.stderr


def test_calls_end_though_every_service_was_killed(up: Up, url: str) -> None:
    """A run's process is a child of the code server, and goes on without it."""
    put_under_way(up, url, "alone")
    killed = {service: kill(up, service) for service in SERVICES}
    for service, pid in killed.items():
        until_started_again(up, service, pid)
    until_all_are_completed(url, "alone")


def test_calls_end_though_the_code_server_was_killed_with_its_runs(up: Up, url: str) -> None:
    """What kills a service may kill all that it started: the calls go to another run."""
    put_under_way(up, url, "together")
    killed = kill(up, "code-server", with_all_it_started=True)
    until_started_again(up, "code-server", killed)
    until_all_are_completed(url, "together")
    assert up.graphql("{ version }")["version"]


def test_a_service_that_dies_all_the_time_ends_it_all(up: Up) -> None:
    """Last, since it takes the installation down; the webserver has died once before."""
    for _ in range(4):
        until(lambda: pid_of(up, "webserver") > 0, "it runs", 30, every_s=0.1)
        kill(up, "webserver")
    assert up.process.wait(40) == 1
    assert up.process.stdout
    said = up.process.stdout.read()
    assert "webserver died (killed by SIGKILL); it is started again at once." in said
    assert "webserver died (killed by SIGKILL); it is started again in 5 s." in said
    assert "error: webserver died 5 times within 10 minutes (killed by SIGKILL):" in said
    assert [service for service in SERVICES if pid_of(up, service)] == []
