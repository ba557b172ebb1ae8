"""The operator lock: one operator per database, also after a lost connection."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

import psycopg
import pytest

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.postgres.locks import LOCK, OperatorLock, hold_operator_lock
from tests.processes import until

HOLD = """
import sys
from callpipeline.storage.postgres.locks import hold_operator_lock
with hold_operator_lock(sys.argv[1]):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(database_url: str):
    """Start another process that holds the lock."""
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


def terminate_connections(database_url: str) -> None:
    """Terminate the connection that holds the lock, like a restart of Postgres."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = %s"
        assert connection.execute(held, [LOCK]).fetchall() == [(True,)]


def is_held(database_url: str) -> bool:
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = "SELECT 1 FROM pg_locks WHERE objid = %s AND granted"
        return connection.execute(held, [LOCK]).fetchone() is not None


def is_refused(operator: OperatorLock) -> bool:
    try:
        operator.check()
    except SettingsInvalid:
        return True
    return False


def test_a_second_operator_is_refused_with_the_name_of_the_first(
    database_url: str, other: subprocess.Popen[str]
):
    holder = rf"process {other.pid} on {socket.gethostname()}.*DATABASE_URL"
    with pytest.raises(SettingsInvalid, match=holder), hold_operator_lock(database_url):
        pass


def test_a_killed_operator_releases_the_lock_at_once(
    database_url: str, other: subprocess.Popen[str]
):
    other.kill()
    with hold_operator_lock(database_url) as operator:
        operator.check()


def test_an_operator_that_ended_releases_the_lock(database_url: str):
    for _ in range(2):
        with hold_operator_lock(database_url):
            assert is_held(database_url)
    until(lambda: not is_held(database_url), "the lock is released")


def test_each_database_of_a_server_has_its_own_lock(database_url: str, postgres: str):
    with hold_operator_lock(database_url), hold_operator_lock(postgres):
        pass


def test_a_lost_connection_is_restored(database_url: str):
    with hold_operator_lock(database_url, check_every_s=0.05) as operator:
        terminate_connections(database_url)
        until(lambda: is_held(database_url), "the lock is acquired again")
        operator.check()
        with pytest.raises(SettingsInvalid, match=f"process {os.getpid()}"):
            OperatorLock(database_url).acquire()


def test_an_operator_that_lost_the_lock_stops(database_url: str):
    with ExitStack() as stack:
        operator = stack.enter_context(hold_operator_lock(database_url, check_every_s=1.0))

        def is_taken_over() -> bool:
            """Take the lock, unless the first one reconnects before that."""
            terminate_connections(database_url)
            with suppress(SettingsInvalid):
                stack.enter_context(hold_operator_lock(database_url, check_every_s=3600))
                return True
            return False

        until(is_taken_over, "another one has the lock")
        until(lambda: is_refused(operator), "the first one notices")
        with pytest.raises(SettingsInvalid, match=r"took over this database .* stops"):
            operator.check()


def test_an_unavailable_database_is_reported():
    with pytest.raises(DatabaseUnavailable):
        OperatorLock("postgresql://nobody@127.0.0.1:9/gone").acquire()
