"""Connections: what is raised when Postgres goes away, and that they come back."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import stamina
from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.database import TRIES, Database
from callpipeline.storage.embedded import EmbeddedPostgres
from tests.processes import until


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


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
        cut(connection, database_url)
        connection.execute("SELECT 1")
    until(lambda: answers(database), "a new connection is made")


def cut(connection: Connection[DictRow], database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])


class Work:
    """Stores a row, and meets what it is told to before it has committed, try by try."""

    def __init__(self, database_url: str, *, cuts: int = 0, statement: str = "SELECT 1") -> None:
        self.database_url, self.cuts, self.statement = database_url, cuts, statement
        self.tries = 0

    def __call__(self, connection: Connection[DictRow]) -> str:
        self.tries += 1
        connection.execute("INSERT INTO runs (run_id) VALUES (gen_random_uuid())")
        if self.tries <= self.cuts:
            cut(connection, self.database_url)
        connection.execute(self.statement.encode())
        return "done"


def stored(database: Database) -> int:
    with database.transaction() as connection:
        return len(connection.execute("SELECT * FROM runs").fetchall())


@pytest.fixture
def without_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.mark.usefixtures("without_waits")
@pytest.mark.parametrize("cuts", [0, 1, TRIES - 1])
def test_a_transaction_that_is_cut_is_made_again_and_stored_once(
    database: Database, database_url: str, cuts: int
):
    work = Work(database_url, cuts=cuts)
    assert database.patiently(work) == "done"
    assert (work.tries, stored(database)) == (cuts + 1, 1)


@pytest.mark.usefixtures("without_waits")
def test_a_transaction_that_is_cut_every_time_is_given_up(database: Database, database_url: str):
    work = Work(database_url, cuts=100)
    with pytest.raises(DatabaseUnavailable, match="AdminShutdown"):
        database.patiently(work)
    assert (work.tries, stored(database)) == (TRIES, 0)


@pytest.mark.usefixtures("without_waits")
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO runs (run_id) VALUES ('a'), ('a')", psycopg.errors.UniqueViolation),
        ("INSERT INTO runs (run_id) VALUES (NULL)", psycopg.errors.NotNullViolation),
        ("SELECT nothing", psycopg.errors.UndefinedColumn),
    ],
)
def test_what_is_wrong_with_a_statement_is_not_tried_again(
    database: Database, database_url: str, statement: str, error: type[Exception]
):
    work = Work(database_url, statement=statement)
    with pytest.raises(error):
        database.patiently(work)
    assert (work.tries, stored(database)) == (1, 0)


@pytest.mark.usefixtures("without_waits")
def test_a_server_that_may_only_be_read_after_a_failover_is_away(
    database: Database, database_url: str
):
    work = Work(database_url, statement="SET TRANSACTION READ ONLY; DELETE FROM runs")
    with pytest.raises(DatabaseUnavailable):
        database.patiently(work)
    assert work.tries == TRIES


@pytest.mark.usefixtures("without_waits")
def test_a_transaction_that_the_server_ended_for_idling_is_made_again(database: Database):
    tries: list[int] = []

    def work(connection: Connection[DictRow]) -> None:
        tries.append(1)
        connection.execute("INSERT INTO runs (run_id) VALUES ('a')")
        if len(tries) == 1:
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
            time.sleep(0.1)
        connection.execute("SELECT 1")

    database.patiently(work)
    assert (len(tries), stored(database)) == (2, 1)


@pytest.mark.usefixtures("without_waits")
def test_what_is_too_large_for_the_database_is_not_tried_again(
    database: Database, database_url: str
):
    """Postgres counts it among its own troubles, beside a disk that is full."""
    long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n"
    work = Work(database_url, statement=f"INSERT INTO runs (run_id) {long}")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        database.patiently(work)
    assert work.tries == 1


def test_without_a_server_the_patience_of_the_pool_is_enough(database_url: str):
    nowhere = database_url.replace("127.0.0.1", "127.0.0.2")
    with Database(nowhere, patience_s=0.1) as database:
        work = Work(database_url)
        with pytest.raises(DatabaseUnavailable, match="PoolTimeout"):
            database.patiently(work)
        assert work.tries == 0


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
