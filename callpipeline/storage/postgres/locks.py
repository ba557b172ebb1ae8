"""Advisory locks: a semaphore across all runs, and one `callpipeline up` per database."""

import asyncio
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import LiteralString

import psycopg

from callpipeline.domain.calls.call import Lane
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.postgres.database import Database

POLL_S = {Lane.LIVE: 0.05, Lane.BULK: 0.25}
"""Interval at which a waiting request polls for a slot; the faster one nearly always gets it."""
HANDOVER_S = {Lane.LIVE: 0.0, Lane.BULK: 0.06}
"""Wait after a slot of the same run is released: bulk runs let live calls poll first."""
MAX_POLL_S = 0.5
POLL_GROWTH = 1.25
"""Factor by which the poll interval grows."""

NAMESPACE = 7_216_000
"""First number of the advisory locks, which all programs on the database share."""

LOCK = 7_216_002
"""Key of the advisory lock; 7 216 001 is the one of migrations."""
OPERATE = "CALLPIPELINE_DAGSTER_OPERATE"
"""Variable that makes a daemon hold the lock; below `callpipeline up`, that command holds it."""
CHECK_INTERVAL_S = 5.0
ACQUIRE_TIMEOUT_S = 2.0
"""Time for the server to close the connection of an operator that was just killed."""

_TRY_LOCK: LiteralString = "SELECT pg_try_advisory_lock(%s)"
_LOCK_HOLDER: LiteralString = """
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted
      AND l.classid = 0 AND l.objid = %s AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_DETECT_DEAD_CLIENT: LiteralString = """
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET idle_session_timeout = 0
"""
"""Makes the server release the lock half a minute after this machine loses power."""


class AdvisorySemaphore:
    """Semaphore with `limit` slots for requests to `service`, across all runs on the database.

    Runs in the bulk lane leave one of several slots to live runs. When the connection is lost, its
    slots are released although their requests still run, so the limit may be exceeded for a time.
    """

    def __init__(
        self,
        database: Database,
        service: str,
        limit: int,
        lane: Lane = Lane.LIVE,
    ) -> None:
        self._database = database
        self._space = NAMESPACE + zlib.crc32(service.encode()) % 100_000
        self._slots = range(1 if lane is Lane.BULK and limit > 1 else 0, limit)
        self._poll_s = POLL_S[lane]
        self._held: set[int] = set()
        self._lock = threading.Lock()
        self._handover_s = HANDOVER_S[lane]
        self._queue = asyncio.Lock()
        self._freed = asyncio.Event()
        self._connection: psycopg.Connection | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises DatabaseUnavailable.

        Requests wait in order of arrival; only the first one polls Postgres.
        """
        async with self._queue:
            poll_s = self._poll_s
            while (slot := await self._try_acquire()) is None:
                await self._wait(poll_s * random.uniform(0.5, 1.5))
                poll_s = min(poll_s * POLL_GROWTH, MAX_POLL_S)
        try:
            yield
        finally:
            await asyncio.to_thread(self._release_slot, slot)
            self._freed.set()

    async def _wait(self, poll_s: float) -> None:
        """Wait until the next poll, or until a slot of this run is released."""
        with suppress(TimeoutError):
            async with asyncio.timeout(poll_s):
                await self._freed.wait()
            await asyncio.sleep(self._handover_s)
        self._freed.clear()

    def close(self) -> None:
        """Release all slots."""
        with self._lock:
            self._disconnect()

    async def _try_acquire(self) -> int | None:
        """Try to acquire a slot; release it if the request is cancelled meanwhile."""
        acquiring = asyncio.create_task(asyncio.to_thread(self._acquire_slot))
        try:
            return await asyncio.shield(acquiring)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable):
                if (slot := await acquiring) is not None:
                    await asyncio.to_thread(self._release_slot, slot)
            raise

    def _acquire_slot(self) -> int | None:
        """Acquire a free slot; return None if there is none."""
        with self._lock:
            # Without its own slots: a connection may acquire the same lock several times.
            free = (slot for slot in self._slots if slot not in self._held)
            slot = next((slot for slot in free if self._call("pg_try_advisory_lock", slot)), None)
            if slot is not None:
                self._held.add(slot)
            return slot

    def _release_slot(self, slot: int) -> None:
        with self._lock:
            self._held.discard(slot)
            if self._connection:
                # A lost connection has released its locks already.
                with suppress(DatabaseUnavailable):
                    self._call("pg_advisory_unlock", slot)

    def _call(self, function: str, slot: int) -> bool:
        try:
            if self._connection is None:
                name = self._database.application_name
                self._connection = psycopg.connect(
                    self._database.url, autocommit=True, application_name=name
                )
            statement = f"SELECT {function}(%s, %s)".encode()
            row = self._connection.execute(statement, [self._space, slot]).fetchone()
        except psycopg.OperationalError as error:
            self._disconnect()
            kind = type(error).__name__
            raise DatabaseUnavailable(f"Postgres did not respond ({kind}).") from None
        return bool(row and row[0])

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class OperatorLock:
    """Lock of the single operator of a database. Needs a direct or session-pooled connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._lost_to: str | None = None
        self._ended = threading.Event()

    def acquire(self) -> None:
        """Acquire the lock. Raises SettingsInvalid with its holder, or DatabaseUnavailable."""
        deadline = time.monotonic() + ACQUIRE_TIMEOUT_S
        try:
            while other := self._acquire():
                if time.monotonic() > deadline:
                    raise SettingsInvalid(
                        f"callpipeline is already running on this database ({other}). Stop it "
                        "first, or set DATABASE_URL to another database."
                    )
                time.sleep(0.1)
        except psycopg.Error as error:
            kind = type(error).__name__
            raise DatabaseUnavailable(f"Postgres did not respond ({kind}).") from None

    def check(self) -> None:
        """Raise SettingsInvalid if another process got the lock after a lost connection."""
        if self._lost_to:
            raise SettingsInvalid(
                f"Another callpipeline ({self._lost_to}) took over this database while the "
                "connection to it was lost. Only one may run on it, so this one stops."
            )

    def watch(self, every_s: float) -> None:
        """Check the connection until `release`; acquire the lock again if it was lost."""
        while not self._ended.wait(every_s) and not self._lost_to:
            try:
                self._lost_to = self._acquire()
            except psycopg.Error:
                # Postgres is unavailable, so no other process can hold the lock either.
                self._disconnect()
        if self._ended.is_set():  # it may have reconnected after `release` disconnected
            self._disconnect()

    def release(self) -> None:
        self._ended.set()
        self._disconnect()

    def _acquire(self) -> str | None:
        """Keep or acquire the lock; return its holder if that is another process."""
        if self._connection:
            self._connection.execute("SELECT 1")
            return None
        self._connection = _connect(self._url)
        if self._connection.execute(_TRY_LOCK, [LOCK]).fetchone() == (True,):
            return None
        holder = self._connection.execute(_LOCK_HOLDER, [LOCK]).fetchone()
        self._disconnect()
        return holder[0] if holder and holder[0] else "another process"

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


@contextmanager
def hold_operator_lock(
    url: str, *, check_every_s: float = CHECK_INTERVAL_S
) -> Iterator[OperatorLock]:
    """Hold the operator lock of a database. Raises SettingsInvalid or DatabaseUnavailable."""
    operator = OperatorLock(url)
    operator.acquire()
    thread = threading.Thread(
        target=operator.watch, args=[check_every_s], name="operator", daemon=True
    )
    thread.start()
    try:
        yield operator
    finally:
        operator.release()
        thread.join(timeout=1)


def _connect(url: str) -> psycopg.Connection:
    """Connect under the name of the process, with keepalives that detect a dead peer in 20 s."""
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
        connection.execute(_DETECT_DEAD_CLIENT)
    except psycopg.Error:
        connection.close()
        raise
    return connection
