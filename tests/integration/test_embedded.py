"""The embedded Postgres: shared, stopped when unused, and not to be killed for good."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.embedded_server import binaries_of
from callpipeline.storage.migrations import migrate
from tests.processes import is_alive, parent, until

USER = """
import sys
from pathlib import Path
from callpipeline.storage.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False).running() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_user(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its input ends."""
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
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [text])


def kept(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM kept ORDER BY 1")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cluster in which a row is kept; a copy is made faster than a new one."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    with embedded(folder).running() as url:
        write(url, "made")
        server = server_of(folder)
    until(lambda: not is_alive(server), "the first server is gone")
    until(lambda: not (folder / "server.json").exists(), "its announcement is gone")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "postgres"
    subprocess.run(["cp", "-a", str(made), str(copy)], check=True)
    return copy


@pytest.mark.parametrize("major", [16, 18])
def test_each_major_version_starts_from_nothing_and_takes_the_schema(tmp_path: Path, major: int):
    assert (binaries_of(major) / "postgres").exists()
    with EmbeddedPostgres(tmp_path / "new", major=major, durable=False).running() as url:
        assert migrate(url) == "0015"
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    assert row
    assert row[0].startswith(f"{major}.")


def test_what_was_written_is_there_at_the_next_start(folder: Path):
    with embedded(folder).running() as url:
        write(url, "second")
    with embedded(folder).running() as url:
        assert kept(url) == ["made", "second"]


def test_users_share_one_server_which_stays_until_the_last_leaves(folder: Path):
    with embedded(folder).running() as url:
        server = server_of(folder)
        with a_user(folder) as other:
            assert url_of(other) == url
            assert server_of(folder) == server
        assert kept(url) == ["made"]
    until(lambda: not is_alive(server), "the server stops when nobody uses it")


def test_users_that_begin_at_once_start_one_server(folder: Path):
    with a_user(folder) as one, a_user(folder) as other, a_user(folder) as third:
        assert url_of(one) == url_of(other) == url_of(third) != ""


def test_the_server_stops_when_its_last_user_is_killed(folder: Path):
    with a_user(folder) as user:
        url_of(user)
        server = server_of(folder)
        supervisor = parent(server)
        os.kill(user.pid, signal.SIGKILL)
        until(lambda: not is_alive(server), "the server of a killed user stops")
        until(lambda: not is_alive(supervisor), "and so does its supervisor")
    assert not (folder / "server.json").exists()


def test_a_killed_supervisor_takes_its_server_along_and_the_next_user_finds_all_data(folder: Path):
    with embedded(folder).running() as url:
        write(url, "before the kill")
        server = server_of(folder)
        os.kill(parent(server), signal.SIGKILL)
        until(lambda: not is_alive(server), "the server follows its supervisor")
        with embedded(folder).running() as new_url:
            assert kept(new_url) == ["before the kill", "made"]


def test_a_user_that_comes_right_after_the_kill_of_a_supervisor_is_served(folder: Path):
    """The old server may still be shutting down while the new one starts."""
    with embedded(folder).running() as url, psycopg.connect(url):
        os.kill(parent(server_of(folder)), signal.SIGKILL)
        with embedded(folder).running() as new_url:
            until(lambda: _answers(new_url), "the server that was promised answers")


def test_a_server_that_answers_without_a_supervisor_is_not_handed_out(folder: Path):
    """It shuts down in a moment; one whose supervisor is only slow goes on."""
    with embedded(folder).running() as url:
        supervisor = parent(server_of(folder))
        os.kill(supervisor, signal.SIGSTOP)
        with embedded(folder).running() as same:
            assert same == url, "one that is slow is there all the same"
        os.kill(supervisor, signal.SIGCONT)
        assert embedded(folder)._answering_url() == url
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not is_alive(supervisor), "the supervisor is gone")
        assert embedded(folder)._answering_url() is None
        with embedded(folder).running() as new_url:
            assert _answers(new_url)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_killed_server_recovers_with_all_that_was_committed(folder: Path):
    with EmbeddedPostgres(folder).running() as url:
        write(url, "before the kill")
        server = server_of(folder)
        os.kill(server, signal.SIGKILL)
        until(lambda: not is_alive(server), "the server is dead")
        with EmbeddedPostgres(folder).running() as new_url:
            assert kept(new_url) == ["before the kill", "made"]


def test_a_machine_that_lost_its_power_starts_again_whoever_has_the_old_process_id(folder: Path):
    """In containers process ids repeat: the id in a stale postmaster.pid is somebody else's."""
    pid_file = folder / "cluster-18" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1700000000\n5432\n\n127.0.0.1\n")
    with embedded(folder).running() as url:
        assert kept(url) == ["made"]


def test_a_cluster_that_was_left_half_made_is_made_anew(tmp_path: Path):
    half_made = tmp_path / "postgres" / "cluster-18.unfinished"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with embedded(tmp_path / "postgres").running() as url:
        write(url, "new")
    assert not half_made.exists()


def test_an_announcement_of_a_server_that_is_gone_is_not_believed(folder: Path):
    (folder / "server.json").write_text('{"port": 1, "pid": 999999}')
    with embedded(folder).running() as url:
        assert kept(url) == ["made"]


def test_a_server_that_cannot_start_says_its_last_words(folder: Path):
    (folder / "cluster-18" / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(DatabaseUnavailable, match=r"incompatible.*DATABASE_URL"),
        embedded(folder).running(),
    ):
        pass


def test_strangers_do_not_get_in(folder: Path):
    with embedded(folder).running() as url:
        password = (folder / "password").read_text()
        assert password in url
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(password, "guess"))
        assert (folder / "password").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_postgres_does_not_run_as_root(folder: Path):
    with embedded(folder).running():
        assert Path(f"/proc/{server_of(folder)}/uid_map").read_text().split() == ["65534", "0", "1"]
