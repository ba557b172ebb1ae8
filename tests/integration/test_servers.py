"""Commands that run one service each: what they refuse, wait for and print; and their end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from callpipeline.cli.installation import guardian
from callpipeline.engines.processes import available_cpus
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.postgres.locks import hold_operator_lock
from callpipeline.storage.postgres.migrations import wait_until_available
from tests.integration.command_line import Installation
from tests.integration.databases import execute_sql, new_database
from tests.integration.test_operator_lock import is_held, terminate_connections
from tests.processes import free_port, is_alive, until


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    with new_database(postgres) as url:
        yield url


def refused(home: Path, url: str | None, *command: str, **environment: str) -> str:
    """Return what a command prints that exits with 1."""
    return Installation(home, url).run(*command, exit_code=1, **environment).stderr


def test_a_service_needs_a_shared_database(tmp_path: Path):
    for command in ("code-server", "daemon", "ui", "web"):
        assert "Set DATABASE_URL" in refused(tmp_path / "data", None, command)
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_service_refuses_a_database_that_is_not_migrated(tmp_path: Path, empty_url: str):
    said = refused(tmp_path / "data", empty_url, "code-server")
    assert "at schema version none" in said and "run `callpipeline migrate`" in said
    done = Installation(tmp_path / "data", empty_url).run("migrate")
    assert "schema version" in done.stdout
    tables = execute_sql(empty_url, "SELECT to_regclass('public.runs'), to_regclass('calls')")
    assert None not in tables[0]
    assert execute_sql(empty_url, "SELECT count(*) FROM catalog_versions") == [(1,)]


def test_a_newer_schema_is_used_only_if_it_supports_this_version(tmp_path: Path, database_url: str):
    execute_sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    installation = Installation(tmp_path / "data", database_url)
    assert "database: ok" in installation.run("health", "database").stdout
    installation.run("status")
    execute_sql(database_url, "UPDATE compatibility SET oldest_schema = '9998'")
    said = installation.run("health", "database", exit_code=1).stderr
    assert "newer callpipeline" in said and "9999" in said and "Upgrade callpipeline" in said
    for command in ("status", "migrate", "daemon"):
        assert "Upgrade callpipeline" in installation.run(command, exit_code=1).stderr


def test_a_database_of_another_encoding_is_refused(tmp_path: Path, postgres: str):
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            said = refused(tmp_path / "data", postgres.rsplit("/", 1)[0] + "/latin", "migrate")
        finally:
            connection.execute("DROP DATABASE latin WITH (FORCE)")
    assert "encoded in LATIN1" in said and "ENCODING 'UTF8'" in said


def test_a_database_that_is_away_is_waited_for_with_backoff():
    waits: list[float] = []
    said: list[str] = []
    answers = iter(["refused", "refused", "starting up", *["starting up"] * 5, None])

    def attempt() -> str:
        if problem := next(answers):
            raise DatabaseUnavailable(f"Postgres did not respond: {problem}.")
        return "ready"

    assert wait_until_available(attempt, said.append, sleep=waits.append) == "ready"
    assert waits == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert [line.split(":")[1].split(".")[0].strip() for line in said] == ["refused", "starting up"]


def test_a_service_waits_for_its_database_until_it_is_stopped(tmp_path: Path):
    address = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    process = start(tmp_path, "code-server", DATABASE_URL=address)
    until(lambda: "Trying again" in output(tmp_path), "it says that it waits", 30)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert "Traceback" not in output(tmp_path)


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("code-server", "CODE_PORT"),
        ("ui", "PORT"),
        ("web", "WEB_PORT"),
        ("engines serve", "SERVE_PORT"),
    ],
)
def test_a_taken_port_is_refused(tmp_path: Path, database_url: str, command: str, setting: str):
    with socket.socket() as other:
        # As a gRPC server listens: it would share the port with another one.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = {f"CALLPIPELINE_{setting}": str(other.getsockname()[1])}
        said = refused(tmp_path / "data", database_url, *command.split(), **taken)
    assert "can't be used (Address already in use)" in said and f"CALLPIPELINE_{setting}" in said


def test_a_worker_needs_the_launcher_that_sends_it_runs(tmp_path: Path, database_url: str):
    said = refused(tmp_path / "data", database_url, "worker")
    assert "CALLPIPELINE_RUN_LAUNCHER=celery" in said


def test_a_second_daemon_on_a_database_is_refused(tmp_path: Path, database_url: str):
    first = start(tmp_path, "daemon", DATABASE_URL=database_url)
    try:
        until(lambda: is_held(database_url), "the first one has the lock", 120)
        said = refused(tmp_path / "other", database_url, "daemon")
        assert "already running on this database (process" in said and "Traceback" not in said
        assert first.poll() is None
    finally:
        first.terminate()
        first.wait(120)
    until(lambda: not is_held(database_url), "the lock is released", 60)


def test_a_daemon_that_lost_the_database_to_another_one_stops(tmp_path: Path, database_url: str):
    daemon = start(tmp_path, "daemon", DATABASE_URL=database_url)
    with ExitStack() as stack:
        stack.callback(daemon.kill)
        until(lambda: is_held(database_url), "it has the lock", 120)

        def is_taken_over() -> bool:
            """Take the lock, unless the daemon reconnects before that."""
            terminate_connections(database_url)
            with suppress(SettingsInvalid):
                stack.enter_context(hold_operator_lock(database_url))
                return True
            return False

        until(is_taken_over, "another one has the lock", 60)
        daemon.wait(120)
    assert "took over this database" in output(tmp_path)


def test_a_worker_of_kubernetes_has_a_command_of_its_own(tmp_path: Path, database_url: str):
    assert "launcher for Kubernetes" in refused(tmp_path / "data", database_url, "execute", "x")
    assert "Set DATABASE_URL" in refused(tmp_path / "data", None, "execute", "-m", "dagster", "api")


def test_a_ui_on_the_network_needs_the_key_of_the_web_app(tmp_path: Path, database_url: str):
    said = refused(tmp_path / "data", database_url, "ui", CALLPIPELINE_UI_HOST="0.0.0.0")
    assert "CALLPIPELINE_WEB_KEY" in said


def test_env_prints_what_dagsters_commands_need(tmp_path: Path, database_url: str):
    home = tmp_path / "with 'quotes'"
    installation = Installation(home, database_url)
    address = {"CALLPIPELINE_CODE_SERVER": "code-server:4266"}
    printed = installation.run("env", exit_code=0, **address).stdout
    shell = f"{printed}\nprintenv DAGSTER_HOME CALLPIPELINE_DATABASE_URL"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True, env={})
    assert done.stdout.splitlines() == [str(home / "dagster"), database_url]
    assert installation.json("env")["DAGSTER_HOME"] == str(home / "dagster")
    assert (home / "dagster" / "dagster.yaml").exists()
    workspace = json.loads((home / "dagster" / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["grpc_server"]["host"] == "127.0.0.1"  # of the last command


def test_health_of_services_that_do_not_run(tmp_path: Path, database_url: str):
    ports = {name: str(free_port()) for name in ("CODE_PORT", "PORT", "WEB_PORT", "SERVE_PORT")}
    environment = {f"CALLPIPELINE_{name}": port for name, port in ports.items()}
    installation = Installation(tmp_path / "data", database_url)
    for service in ("code-server", "ui", "web", "engines"):
        said = installation.run("health", service, exit_code=1, **environment).stderr
        assert re.search(rf"{service}: no answer (at|on)", said), said
    assert "has not started" in installation.run("health", "daemon", exit_code=1).stderr
    said = installation.run("health", "worker", exit_code=1).stderr
    assert "CALLPIPELINE_CELERY_BROKER is not set" in said
    away = {"CALLPIPELINE_CELERY_BROKER": f"redis://127.0.0.1:{free_port()}/0"}
    said = installation.run("health", "worker", exit_code=1, **away).stderr
    assert "the broker did not respond" in said
    assert "not one of" in installation.run("health", "printer", exit_code=2).stderr
    assert "database: ok" in installation.run("health", "database").stdout


# Process groups

GROUP = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
code = '''
import os, signal, sys, time
from pathlib import Path
def stop(*_):
    time.sleep(0.5)
    Path(sys.argv[1], "handed-back").write_text("yes")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
Path(sys.argv[1], "run").write_text(str(os.getpid()))
time.sleep(600)
'''
subprocess.Popen([sys.executable, "-c", code, str(folder)])
def end(*_):
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
while not (folder / "run").exists():
    time.sleep(0.01)
(folder / "ready").write_text("yes")
if len(sys.argv) > 2:
    sys.exit(int(sys.argv[2]))
time.sleep(600)
"""


def run_group(folder: Path, *arguments: str, grace_s: str = "60") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", GROUP, str(folder), *arguments]
    return subprocess.Popen(
        [sys.executable, guardian.__file__, grace_s, *command],
        # As a script starts a command in the background.
        preexec_fn=ignore_interrupts,  # noqa: PLW1509
    )


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_service_and_waits_for_its_runs(tmp_path: Path, kind: signal.Signals):
    group = run_group(tmp_path)
    until((tmp_path / "ready").exists, "the run has started", 30)
    group.send_signal(kind)
    assert group.wait(90) == 7
    assert (tmp_path / "handed-back").exists()
    assert not is_alive(int((tmp_path / "run").read_text()))


def test_runs_are_stopped_when_their_service_dies(tmp_path: Path):
    group = run_group(tmp_path, "3")
    assert group.wait(90) == 3
    assert (tmp_path / "handed-back").exists()


def test_runs_that_do_not_end_are_killed(tmp_path: Path):
    group = run_group(tmp_path, grace_s="0.01")
    until((tmp_path / "ready").exists, "the run has started", 30)
    run = int((tmp_path / "run").read_text())
    os.kill(run, signal.SIGSTOP)
    group.terminate()
    assert group.wait(90) in (7, 128 + signal.SIGKILL)
    assert not is_alive(run)


# Containers


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_cpu_quota_limits_the_processes(tmp_path: Path, files: dict[str, str], cpus: int | None):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == (cpus or len(os.sched_getaffinity(0)))


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    with (folder / "output").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", "from callpipeline.cli import app; app()", *command],
            env=os.environ | {"CALLPIPELINE_HOME": str(folder / "data")} | environment,
            stdout=log,
            stderr=log,
            preexec_fn=ignore_interrupts,  # noqa: PLW1509
        )


def output(folder: Path) -> str:
    return (folder / "output").read_text()
