"""Dagster's own commands work in a checkout, without `callpipeline up` and its environment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from callpipeline.config import CHECKOUT
from tests.processes import free_port, is_alive, until

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
STATE = """{
  workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    ... on PythonError { message }
    ... on RepositoryLocation { repositories {
      assetNodes { id }
      sensors { name sensorState { ticks(limit: 1) { status skipReason } } }
    } }
  } } } }
}"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that Dagster reads in a checkout, and no `.env`."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
        (folder / name).symlink_to(CHECKOUT / name)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """No variable but PATH and HOME, and a data folder outside of the checkout."""
    data = tmp_path / "data"
    yield {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CALLPIPELINE_HOME": str(data)}
    until(lambda: not postgres_runs(data), "Postgres has stopped", 30)


def postgres_runs(data: Path) -> bool:
    try:
        return is_alive(json.loads((data / "postgres" / "server.json").read_text())["pid"])
    except FileNotFoundError:
        return False


@contextmanager
def started(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[str, Path]]:
    """Start a command with a UI; yields the UI's address and the log, and stops it by Ctrl-C."""
    port, log = free_port(), folder / f"{command[0]}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:], "-p", str(port)],
            cwd=folder,
            env=environment,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{url}/server_info", timeout=60).status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, f"{command} answers", 90, every_s=0.2)
        yield url, log
        interrupt(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C, which a terminal sends to all processes of the group; again if need be."""
    for _ in range(4):
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            continue
        return
    raise AssertionError("Ctrl-C does not stop it")


def locations(url: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{url}/graphql", json={"query": STATE}, timeout=60).json()
    return answer["data"]["workspaceOrError"]["locationEntries"]


def repository(url: str) -> dict[str, Any] | None:
    """The repository of the only code location; None while it loads."""
    entries = locations(url)
    assert [entry["name"] for entry in entries] in ([], ["callpipeline"])
    for entry in entries:
        if loaded := entry["locationOrLoadError"]:
            assert "message" not in loaded, loaded
            [one] = loaded["repositories"]
            return one
    return None


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    ran = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_definitions_are_valid(checkout: Path, environment: dict[str, str]):
    for target in (["-m", "callpipeline.definitions"], []):
        code, output = run(["dagster", "definitions", "validate", *target], checkout, environment)
        assert code == 0, output
        assert "All code locations passed validation." in output


def test_the_webserver_shows_the_workspace(checkout: Path, environment: dict[str, str]):
    with started(["dagster-webserver", "-w", "workspace.yaml"], checkout, environment) as (url, _):
        until(lambda: repository(url) is not None, "the location is loaded", 60, every_s=0.5)
        found = repository(url)
        assert found
        assert len(found["assetNodes"]) == 11


def test_dagster_dev_evaluates_the_sensors(checkout: Path, environment: dict[str, str]):
    with started(["dagster", "dev"], checkout, environment) as (url, _):

        def reason(sensor: str) -> str | None:
            sensors = (repository(url) or {"sensors": []})["sensors"]
            ticks = [s["sensorState"]["ticks"] for s in sensors if s["name"] == sensor]
            return ticks[0][0]["skipReason"] if ticks and ticks[0] else None

        until(lambda: reason("waiting_calls") == "No calls are waiting.", "a tick", 90, every_s=0.5)
        scanned = "0 new, all 0 objects scanned."
        until(lambda: reason("new_recordings") == scanned, "a scan", 90, every_s=0.5)
        code, output = run(["dagster", "dev", "-p", str(free_port())], checkout, environment)
        assert code == 1
        assert "error: callpipeline is already running on this database" in output
        assert "Traceback" not in output
        code, output = run(["dagster", "definitions", "validate"], checkout, environment)
        assert code == 0, "a command without a daemon may use the database too"
    assert not list(checkout.glob(".tmp_dagster_home_*"))
