"""Connections: what is raised when Postgres goes away, and that they come back."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.embedded_server import become_unprivileged, binaries_of
from tests.processes import is_alive, parent, until


def answer(database: Database) -> object:
    with database.transaction() as connection:
        row = connection.execute("SELECT 1 AS one").fetchone()
    return row and row["one"]


def answers(database: Database) -> bool:
    try:
        return answer(database) == 1
    except DatabaseUnavailable:
        return False


def test_what_is_written_in_a_transaction_that_fails_is_not_there(database: Database):
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO catalog_versions VALUES ('v', '{}')")
        raise ZeroDivisionError
    with database.transaction() as connection:
        assert connection.execute("SELECT * FROM catalog_versions").fetchall() == []


def test_queries_are_found_in_our_schema_only(database: Database):
    with database.transaction() as connection:
        row = connection.execute("SHOW search_path").fetchone()
    assert row == {"search_path": "callpipeline"}


def test_a_connection_that_is_cut_is_told_and_the_next_one_works(
    database: Database, database_url: str
):
    with pytest.raises(DatabaseUnavailable), database.transaction() as connection:  # noqa: PT012
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")
    until(lambda: answers(database), "a new connection is made")


def test_an_error_tells_neither_rows_nor_the_password(database_url: str):
    url = database_url.replace("callpipeline:", "callpipeline:hunter2")
    with Database(url, patience_s=0.5) as wrong, pytest.raises(DatabaseUnavailable) as raised:
        answer(wrong)
    assert "hunter2" not in str(raised.value)


@contextmanager
def served_again(folder: Path, port: int) -> Iterator[None]:
    """The cluster in `folder` on a given port, as an operator restarts Postgres."""
    command = [binaries_of(18) / "postgres", "-D", folder / "cluster-18", "-p", str(port)]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    with (folder / "postgres.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, *options],
            stdout=log,
            stderr=log,
            preexec_fn=become_unprivileged,  # noqa: PLW1509 - it only changes its user
        )
    try:
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def test_postgres_may_be_killed_and_started_again_under_an_open_pool(tmp_path: Path):
    with EmbeddedPostgres(tmp_path, durable=False).running() as url:
        server = json.loads((tmp_path / "server.json").read_text())
        supervisor = parent(server["pid"])
        with Database(url, patience_s=0.5) as database:
            assert answer(database) == 1
            os.kill(server["pid"], signal.SIGKILL)
            until(lambda: not is_alive(supervisor), "Postgres is dead and buried")
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    answer(database)
            with served_again(tmp_path, server["port"]):
                until(lambda: answers(database), "the pool connects again", within_s=20)
