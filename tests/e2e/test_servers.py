"""The services as commands of their own, on a shared database: a call gets through them all."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from callpipeline.storage.postgres.migrations import migrate
from tests.e2e.installation import CALLPIPELINE, ROOT, command, environment, recording
from tests.integration.databases import new_database
from tests.processes import free_port, until

pytestmark = pytest.mark.slow

SERVICES = ("code-server", "daemon", "ui", "web")


@pytest.fixture
def variables(postgres: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    ports = {name: str(free_port()) for name in ("CODE_PORT", "PORT", "WEB_PORT")}
    settings = ports | {"LOG_FORMAT": "json"}
    with new_database(postgres) as url:
        named = {f"CALLPIPELINE_{name}": value for name, value in settings.items()}
        yield named | {"DATABASE_URL": url}


@contextmanager
def running(home: Path, name: str, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (home.parent / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*CALLPIPELINE, name],
            cwd=ROOT,
            env=environment(home) | variables,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    # uvicorn ends by the signal that stopped it; no service has to be killed.
    assert code in (0, 128 + signal.SIGTERM), (name, code, _log(home, name))


def _log(home: Path, name: str) -> str:
    return (home.parent / f"{name}.log").read_text()[-2000:]


def is_healthy(home: Path, name: str, variables: dict[str, str]) -> bool:
    return command(home, "health", name, settings=variables).returncode == 0


def test_a_call_gets_through_services_of_their_own(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    home = tmp_path / "data"
    migrate(variables["DATABASE_URL"], "0001")
    migrated = command(home, "migrate", settings=variables)
    assert migrated.returncode == 0, migrated.stderr
    (home / "recordings").mkdir(exist_ok=True)
    with ExitStack() as stack:
        for name in SERVICES:
            process = stack.enter_context(running(home, name, variables))
            until(
                lambda n=name, p=process: p.poll() is not None or is_healthy(home, n, variables),
                f"{name} is healthy",
                120,
                every_s=1,
            )
            assert process.poll() is None, (tmp_path / f"{name}.log").read_text()[-3000:]
        recording(home / "recordings", "call-1", "I will move to Vodafone")
        web = f"http://127.0.0.1:{variables['CALLPIPELINE_WEB_PORT']}"

        def completed() -> bool:
            listed = httpx.get(f"{web}/jobs", timeout=60).json()["jobs"]
            return [job["status"].upper() for job in listed] == ["COMPLETED"]

        until(completed, "the call is completed", 120, every_s=1)
        assert httpx.get(f"{web}/dagster/server_info", timeout=60).status_code == 200
        _check_dagsters_own_commands(home, variables)
    for name in SERVICES:
        lines = (tmp_path / f"{name}.log").read_text().splitlines()
        # Notes are printed before a service starts.
        others = [line for line in lines if not line.startswith(("{", "note: "))]
        assert lines and not others, (name, others[:3])
    assert "process_waiting_calls" in (tmp_path / "code-server.log").read_text()


def _check_dagsters_own_commands(home: Path, variables: dict[str, str]) -> None:
    shell = 'eval "$("$@" env)" && dagster instance info'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *CALLPIPELINE],
        cwd=ROOT,
        env=environment(home) | variables | {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "schedule_storage" in done.stdout
