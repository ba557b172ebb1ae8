"""Connections: errors and reattempts when Postgres is unavailable."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import stamina
from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.postgres.database import TRANSACTION_ATTEMPTS, Database, DatabaseLimits
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.integration.databases import new_database
from tests.processes import is_alive, until


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


def test_random_reads_are_cheap_unless_the_operator_says_otherwise(postgres: str, template: str):
    def cost(url: str) -> str:
        with Database(url) as database, database.transaction() as connection:
            row = connection.execute("SHOW random_page_cost").fetchone()
        assert row
        return row["random_page_cost"]

    with new_database(postgres, template) as url:
        assert cost(url) == "1.1"
        name = url.rsplit("/", 1)[1]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" SET random_page_cost = 2'.encode())
        assert cost(url) == "2"


def test_a_failed_transaction_is_rolled_back(database: Database):
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO catalog_versions VALUES ('v', '{}')")
        raise ZeroDivisionError
    with database.transaction() as connection:
        assert connection.execute("SELECT * FROM catalog_versions").fetchall() == []


def test_the_search_path_is_our_schema(database: Database):
    with database.transaction() as connection:
        row = connection.execute("SHOW search_path").fetchone()
    assert row == {"search_path": "callpipeline"}


def test_a_terminated_connection_is_reported_and_replaced(database: Database, database_url: str):
    with pytest.raises(DatabaseUnavailable), database.transaction() as connection:  # noqa: PT012
        terminate(connection, database_url)
        connection.execute("SELECT 1")
    until(lambda: answers(database), "a new connection is opened")


def terminate(connection: Connection[DictRow], database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])


class Work:
    """Inserts a row; the first attempts lose their connection before the commit."""

    def __init__(self, database_url: str, *, losses: int = 0, statement: str = "SELECT 1") -> None:
        self.database_url, self.losses, self.statement = database_url, losses, statement
        self.attempts = 0

    def __call__(self, connection: Connection[DictRow]) -> str:
        self.attempts += 1
        connection.execute("INSERT INTO runs (run_id) VALUES (gen_random_uuid())")
        if self.attempts <= self.losses:
            terminate(connection, self.database_url)
        connection.execute(self.statement.encode())
        return "done"


def stored(database: Database) -> int:
    with database.transaction() as connection:
        return len(connection.execute("SELECT * FROM runs").fetchall())


@pytest.fixture
def no_retry_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.mark.usefixtures("no_retry_waits")
@pytest.mark.parametrize("losses", [0, 1, TRANSACTION_ATTEMPTS - 1])
def test_a_lost_transaction_is_retried_and_stored_once(
    database: Database, database_url: str, losses: int
):
    work = Work(database_url, losses=losses)
    assert database.with_retry(work) == "done"
    assert (work.attempts, stored(database)) == (losses + 1, 1)


@pytest.mark.usefixtures("no_retry_waits")
def test_reattempts_of_a_lost_transaction_end(database: Database, database_url: str):
    work = Work(database_url, losses=100)
    with pytest.raises(DatabaseUnavailable, match="AdminShutdown"):
        database.with_retry(work)
    assert (work.attempts, stored(database)) == (TRANSACTION_ATTEMPTS, 0)


@pytest.mark.usefixtures("no_retry_waits")
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO runs (run_id) VALUES ('a'), ('a')", psycopg.errors.UniqueViolation),
        ("INSERT INTO runs (run_id) VALUES (NULL)", psycopg.errors.NotNullViolation),
        ("SELECT nothing", psycopg.errors.UndefinedColumn),
    ],
)
def test_statement_errors_are_not_retried(
    database: Database, database_url: str, statement: str, error: type[Exception]
):
    work = Work(database_url, statement=statement)
    with pytest.raises(error):
        database.with_retry(work)
    assert (work.attempts, stored(database)) == (1, 0)


@pytest.mark.usefixtures("no_retry_waits")
def test_a_read_only_server_after_a_failover_is_unavailable(database: Database, database_url: str):
    work = Work(database_url, statement="SET TRANSACTION READ ONLY; DELETE FROM runs")
    with pytest.raises(DatabaseUnavailable):
        database.with_retry(work)
    assert work.attempts == TRANSACTION_ATTEMPTS


@pytest.mark.usefixtures("no_retry_waits")
def test_a_transaction_that_timed_out_idle_is_retried(database: Database):
    attempts: list[int] = []

    def work(connection: Connection[DictRow]) -> None:
        attempts.append(1)
        connection.execute("INSERT INTO runs (run_id) VALUES ('a')")
        if len(attempts) == 1:
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
            server = connection.info.backend_pid
            until(lambda: not is_alive(server), "Postgres has ended the session")
        connection.execute("SELECT 1")

    database.with_retry(work)
    assert (len(attempts), stored(database)) == (2, 1)


@pytest.mark.usefixtures("no_retry_waits")
def test_a_value_too_large_for_an_index_is_not_retried(database: Database, database_url: str):
    """An OperationalError in Postgres, like a full disk."""
    long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n"
    work = Work(database_url, statement=f"INSERT INTO runs (run_id) {long}")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        database.with_retry(work)
    assert work.attempts == 1


def test_a_pool_timeout_is_not_retried(database_url: str):
    unreachable = database_url.replace("127.0.0.1", "127.0.0.2")
    with Database(unreachable, limits=DatabaseLimits(0.1)) as database:
        work = Work(database_url)
        with pytest.raises(DatabaseUnavailable, match="PoolTimeout"):
            database.with_retry(work)
        assert work.attempts == 0


def test_errors_contain_neither_rows_nor_the_password(database_url: str):
    url = database_url.replace("callpipeline:", "callpipeline:hunter2")
    with (
        Database(url, limits=DatabaseLimits(0.5)) as wrong,
        pytest.raises(DatabaseUnavailable) as raised,
    ):
        answer(wrong)
    assert "hunter2" not in str(raised.value)


def is_another(folder: Path, server: dict[str, int]) -> bool:
    try:
        return json.loads((folder / "server.json").read_text())["pid"] != server["pid"]
    except FileNotFoundError:
        return False


def test_a_killed_server_restarts_on_the_same_port(tmp_path: Path):
    with EmbeddedPostgres(tmp_path, durable=False).running() as url:
        server = json.loads((tmp_path / "server.json").read_text())
        with Database(url, limits=DatabaseLimits(0.5)) as database:
            assert answer(database) == 1
            os.kill(server["pid"], signal.SIGKILL)
            until(lambda: is_another(tmp_path, server), "another server runs", within_s=20)
            until(lambda: answers(database), "the pool reconnects", within_s=20)
        assert json.loads((tmp_path / "server.json").read_text())["port"] == server["port"]
