"""One `callpipeline up` a database, told by an advisory lock that it holds while it works.

Two of them would look for recordings in two different folders, and each would process calls whose
recordings only the other one can read. Nothing worse: a second daemon is harmless to the calls
themselves, since sensors put waiting calls into batches with SKIP LOCKED, Dagster starts one run
for each run key, and a run claims only what still waits. So the moments after a lost connection,
in which nobody holds the lock, need no other guard.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid

LOCK = 7_216_002
"""Key of the advisory lock; 7 216 001 is that of migrations."""
LOOK_S = 5.0
PATIENCE_S = 2.0
"""For the connection of an operator that was killed just now: the server drops it at once."""

_TRY: LiteralString = "SELECT pg_try_advisory_lock(%s)"
_ASK_WHO: LiteralString = """
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted
      AND l.classid = 0 AND l.objid = %s AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_NOTICE_DEATH: LiteralString = """
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET idle_session_timeout = 0
"""
"""The server then drops the lock half a minute after this machine lost its power."""


class Operator:
    """This process as the one operator of a database, as long as `check` does not raise.

    The lock needs a connection to Postgres itself, or to a pooler in session mode.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._taken_by: str | None = None
        self._ended = threading.Event()

    def take(self) -> None:
        """Become it. Raises SettingsInvalid naming the one there is, and DatabaseUnavailable."""
        deadline = time.monotonic() + PATIENCE_S
        try:
            while other := self._hold():
                if time.monotonic() > deadline:
                    raise SettingsInvalid(
                        f"callpipeline works on this database already ({other}). Stop it first, "
                        "or give this one a database of its own with DATABASE_URL."
                    )
                time.sleep(0.1)
        except psycopg.Error as error:
            said = type(error).__name__
            raise DatabaseUnavailable(f"Postgres did not answer ({said}).") from None

    def check(self) -> None:
        """Raises SettingsInvalid when another one came while the connection was lost."""
        if self._taken_by:
            raise SettingsInvalid(
                f"Another callpipeline ({self._taken_by}) took this database over while the "
                "connection to it was lost. Only one of them may work on it: this one stops."
            )

    def watch(self, every_s: float) -> None:
        """Look after the connection, and take the lock again where it was lost, until the end."""
        while not self._ended.wait(every_s) and not self._taken_by:
            try:
                self._taken_by = self._hold()
            except psycopg.Error:
                # Postgres is away, so for now nobody can hold the lock.
                self._disconnect()
        if self._ended.is_set():  # a connection may have been made since `end` closed the last
            self._disconnect()

    def end(self) -> None:
        self._ended.set()
        self._disconnect()

    def _hold(self) -> str | None:
        """Hold the lock still, or again; who has it otherwise."""
        if self._connection:
            self._connection.execute("SELECT 1")
            return None
        self._connection = _connect(self._url)
        if self._connection.execute(_TRY, [LOCK]).fetchone() == (True,):
            return None
        who = self._connection.execute(_ASK_WHO, [LOCK]).fetchone()
        self._disconnect()
        return who[0] if who and who[0] else "another process"

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


@contextmanager
def sole_operator_of(url: str, *, look_s: float = LOOK_S) -> Iterator[Operator]:
    """This process as the one operator of a database, while open. Raises SettingsInvalid."""
    operator = Operator(url)
    operator.take()
    thread = threading.Thread(target=operator.watch, args=[look_s], name="operator", daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        operator.end()
        thread.join(timeout=1)


def _connect(url: str) -> psycopg.Connection:
    """A connection that is found dead within 20 s, named so that a refused one can tell of us."""
    connection = psycopg.connect(
        url,
        autocommit=True,
        application_name=f"process {os.getpid()} on {socket.gethostname()}"[:63],
        connect_timeout=10,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
        tcp_user_timeout=20_000,
    )
    try:
        connection.execute(_NOTICE_DEATH)
    except psycopg.Error:
        connection.close()
        raise
    return connection
