"""Connections: what is raised when Postgres goes away, and that they come back."""

import json
import os
import signal
from pathlib import Path

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from tests.processes import until


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


def is_another(folder: Path, server: dict[str, int]) -> bool:
    try:
        return json.loads((folder / "server.json").read_text())["pid"] != server["pid"]
    except FileNotFoundError:
        return False


def test_a_killed_postgres_comes_back_where_its_users_look_for_it(tmp_path: Path):
    with EmbeddedPostgres(tmp_path, durable=False).running() as url:
        server = json.loads((tmp_path / "server.json").read_text())
        with Database(url, patience_s=0.5) as database:
            assert answer(database) == 1
            os.kill(server["pid"], signal.SIGKILL)
            until(lambda: is_another(tmp_path, server), "another server runs", within_s=20)
            until(lambda: answers(database), "the pool connects again", within_s=20)
        assert json.loads((tmp_path / "server.json").read_text())["port"] == server["port"]
