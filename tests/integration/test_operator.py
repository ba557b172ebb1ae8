"""One operator a database, whatever happens to its connection."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.operator import LOCK, Operator, sole_operator_of
from tests.processes import until

HOLD = """
import sys
from callpipeline.storage.operator import sole_operator_of
with sole_operator_of(sys.argv[1]):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(database_url: str):
    """Another process that operates the database."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "holds\n"
    with process:
        yield process
        process.kill()


def cut_connections(database_url: str) -> None:
    """Ends the connection that holds the lock, as a restart of Postgres would."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = %s"
        assert connection.execute(held, [LOCK]).fetchall() == [(True,)]


def is_held(database_url: str) -> bool:
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = "SELECT 1 FROM pg_locks WHERE objid = %s AND granted"
        return connection.execute(held, [LOCK]).fetchone() is not None


def is_refused(operator: Operator) -> bool:
    try:
        operator.check()
    except SettingsInvalid:
        return True
    return False


def test_a_second_operator_is_told_who_is_the_first(
    database_url: str, other: subprocess.Popen[str]
):
    told = rf"process {other.pid} on {socket.gethostname()}.*DATABASE_URL"
    with pytest.raises(SettingsInvalid, match=told), sole_operator_of(database_url):
        pass


def test_an_operator_that_was_killed_makes_room_at_once(
    database_url: str, other: subprocess.Popen[str]
):
    other.kill()
    with sole_operator_of(database_url) as operator:
        operator.check()


def test_an_operator_that_ended_makes_room(database_url: str):
    for _ in range(2):
        with sole_operator_of(database_url):
            assert is_held(database_url)
    until(lambda: not is_held(database_url), "the lock is given back")


def test_databases_of_one_server_have_an_operator_each(database_url: str, postgres: str):
    with sole_operator_of(database_url), sole_operator_of(postgres):
        pass


def test_a_lost_connection_is_made_again(database_url: str):
    with sole_operator_of(database_url, look_s=0.05) as operator:
        cut_connections(database_url)
        until(lambda: is_held(database_url), "the lock is held again")
        operator.check()
        with pytest.raises(SettingsInvalid, match=f"process {os.getpid()}"):
            Operator(database_url).take()


def test_who_lost_the_database_to_another_is_told_so(database_url: str):
    with ExitStack() as stack:
        operator = stack.enter_context(sole_operator_of(database_url, look_s=1.0))
        cut_connections(database_url)
        stack.enter_context(sole_operator_of(database_url))
        until(lambda: is_refused(operator), "the first one notices", within_s=5)
        with pytest.raises(SettingsInvalid, match=r"took this database over .* stops"):
            operator.check()


def test_a_database_that_is_away_is_told():
    with pytest.raises(DatabaseUnavailable):
        Operator("postgresql://nobody@127.0.0.1:9/gone").take()
