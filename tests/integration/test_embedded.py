"""The embedded Postgres: shared, stopped when unused, restarted after a kill."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.embedded_server import binaries_of
from callpipeline.storage.postgres.migrations import migrate
from tests.processes import is_alive, parent, until

USER = """
import sys
from pathlib import Path
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False).running() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_user(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that uses the server until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout
    return user.stdout.readline().strip()


def server_of(folder: Path) -> int:
    return json.loads((folder / "server.json").read_text())["pid"]


def embedded(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, durable=False)


def write(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [text])


def stored(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY 1")]


@pytest.fixture(scope="module")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cluster that has a row; a copy is faster than a new cluster."""
    folder = tmp_path_factory.mktemp("template") / "postgres"
    with embedded(folder).running() as url:
        write(url, "first")
        server = server_of(folder)
    until(lambda: not is_alive(server), "the first server has stopped")
    until(lambda: not (folder / "server.json").exists(), "its server file is deleted")
    return folder


@pytest.fixture
def folder(template_folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "postgres"
    subprocess.run(["cp", "-a", str(template_folder), str(copy)], check=True)
    return copy


@pytest.mark.parametrize("major", [16, 18])
def test_every_major_version_starts_and_migrates(tmp_path: Path, major: int):
    assert (binaries_of(major) / "postgres").exists()
    with EmbeddedPostgres(tmp_path / "new", major=major, durable=False).running() as url:
        assert migrate(url) == "0052"
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    assert row
    assert row[0].startswith(f"{major}.")


def test_data_survives_a_restart(folder: Path):
    with embedded(folder).running() as url:
        write(url, "second")
    with embedded(folder).running() as url:
        assert stored(url) == ["first", "second"]


def test_users_share_one_server_until_the_last_one_leaves(folder: Path):
    with embedded(folder).running() as url:
        server = server_of(folder)
        with a_user(folder) as other:
            assert url_of(other) == url
            assert server_of(folder) == server
        assert stored(url) == ["first"]
    until(lambda: not is_alive(server), "the unused server stops")


def test_concurrent_users_start_one_server(folder: Path):
    with a_user(folder) as one, a_user(folder) as other, a_user(folder) as third:
        assert url_of(one) == url_of(other) == url_of(third) != ""


def test_the_server_stops_when_its_last_user_is_killed(folder: Path):
    with a_user(folder) as user:
        url_of(user)
        server = server_of(folder)
        supervisor = parent(server)
        os.kill(user.pid, signal.SIGKILL)
        until(lambda: not is_alive(server), "the server of a killed user stops")
        until(lambda: not is_alive(supervisor), "and its supervisor")
    assert not (folder / "server.json").exists()


def test_the_server_stops_with_a_killed_supervisor_without_data_loss(folder: Path):
    with embedded(folder).running() as url:
        write(url, "before the kill")
        server = server_of(folder)
        os.kill(parent(server), signal.SIGKILL)
        until(lambda: not is_alive(server), "the server stops with its supervisor")
        with embedded(folder).running() as new_url:
            assert stored(new_url) == ["before the kill", "first"]


def test_a_user_right_after_a_killed_supervisor_gets_a_server(folder: Path):
    """The old server may still be shutting down while the new one starts."""
    with embedded(folder).running() as url, psycopg.connect(url):
        os.kill(parent(server_of(folder)), signal.SIGKILL)
        with embedded(folder).running() as new_url:
            until(lambda: accepts_connections(new_url), "the new server accepts connections")


def test_a_server_without_a_supervisor_is_not_used(folder: Path):
    """It is about to shut down; one with a slow supervisor continues."""
    with embedded(folder).running() as url:
        supervisor = parent(server_of(folder))
        os.kill(supervisor, signal.SIGSTOP)
        with embedded(folder).running() as same:
            assert same == url, "a slow supervisor is no reason for a new server"
        os.kill(supervisor, signal.SIGCONT)
        assert embedded(folder)._server_url() == url
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not is_alive(supervisor), "the supervisor is dead")
        assert embedded(folder)._server_url() is None
        with embedded(folder).running() as new_url:
            assert accepts_connections(new_url)


def test_a_server_that_is_being_restarted_is_waited_for(folder: Path):
    """A second supervisor would hide the server from others until the first one ends."""
    with embedded(folder).running():
        server = server_of(folder)
        supervisor = parent(server)
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        until(lambda: not is_alive(server), "the server is dead")
        with ThreadPoolExecutor(1) as pool:
            url = pool.submit(lambda: use(folder))
            until(lambda: is_locked(folder / "start.lock"), "another user looks for the server")
            time.sleep(0.5)
            assert supervisors_of(folder) == [supervisor]
            os.kill(supervisor, signal.SIGCONT)
            assert accepts_connections(url.result())
        assert parent(server_of(folder)) == supervisor


def use(folder: Path) -> str:
    with embedded(folder).running() as url:
        return url


def is_locked(lock: Path) -> bool:
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def supervisors_of(folder: Path) -> list[int]:
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            words = file.read_text().split("\0")
            if "callpipeline.storage.postgres.embedded_server" in words and str(folder) in words:
                found.append(int(file.parent.name))
    return found


def accepts_connections(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=30).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_killed_server_recovers_all_commits(folder: Path):
    with EmbeddedPostgres(folder).running() as url:
        write(url, "before the kill")
        server = server_of(folder)
        os.kill(server, signal.SIGKILL)
        until(lambda: not is_alive(server), "the server is dead")
        with EmbeddedPostgres(folder).running() as new_url:
            assert stored(new_url) == ["before the kill", "first"]


def test_a_stale_postmaster_pid_does_not_prevent_a_start(folder: Path):
    """In containers process ids repeat: another process may have the id in postmaster.pid."""
    pid_file = folder / "cluster-18" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1700000000\n5432\n\n127.0.0.1\n")
    with embedded(folder).running() as url:
        assert stored(url) == ["first"]


def test_an_incomplete_cluster_is_created_again(tmp_path: Path):
    incomplete = tmp_path / "postgres" / "cluster-18.unfinished"
    incomplete.mkdir(parents=True)
    (incomplete / "PG_VERSION").write_text("18\n")
    with embedded(tmp_path / "postgres").running() as url:
        write(url, "new")
    assert not incomplete.exists()


def test_a_stale_server_file_is_ignored(folder: Path):
    (folder / "server.json").write_text('{"port": 1, "pid": 999999}')
    with embedded(folder).running() as url:
        assert stored(url) == ["first"]


def test_a_start_error_contains_the_end_of_the_log(folder: Path):
    (folder / "cluster-18" / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(DatabaseUnavailable, match=r"incompatible.*DATABASE_URL"),
        embedded(folder).running(),
    ):
        pass


def test_connections_need_the_password(folder: Path):
    with embedded(folder).running() as url:
        password = (folder / "password").read_text()
        assert password in url
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(password, "guess"))
        assert (folder / "password").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")
def test_postgres_does_not_run_as_root(folder: Path):
    with embedded(folder).running():
        assert Path(f"/proc/{server_of(folder)}/uid_map").read_text().split() == ["65534", "0", "1"]
