"""Turns at a service, counted over all runs by advisory locks of Postgres.

A lock belongs to a connection: whatever ends a run gives its turns back. Dagster's own pools count
steps, and a killed run keeps its slots there.
"""

import asyncio
import random
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg

from callpipeline.domain.call import Lane
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.database import Database

POLL_S = {Lane.LIVE: 0.05, Lane.BULK: 0.25}
"""How soon a waiting request looks for a free slot; the quicker one nearly always gets it."""
HAND_OVER_S = {Lane.LIVE: 0.0, Lane.BULK: 0.06}
"""After a turn of the same run ended: a backlog gives live calls the time to ask first."""
LONGEST_POLL_S = 0.5
POLL_GROWTH = 1.25
"""A request that waits for long looks less often, by so much each time."""

NAMESPACE = 7_216_000
"""Advisory locks are numbers that the whole database shares: ours begin here."""


class AdvisoryTurns:
    """At most `limit` requests at once to `service`, over all runs on the database.

    Runs of the bulk lane leave one of several slots to live ones. If the connection is lost, so
    are the turns it held: until they end, that many more may be let in.
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
        self._hand_over_s = HAND_OVER_S[lane]
        self._first_in_line = asyncio.Lock()
        self._freed = asyncio.Event()
        self._connection: psycopg.Connection | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises DatabaseUnavailable.

        Of all that wait here one asks Postgres, the one that came first.
        """
        async with self._first_in_line:
            poll_s = self._poll_s
            while (slot := await self._tried()) is None:
                await self._wait(poll_s * random.uniform(0.5, 1.5))
                poll_s = min(poll_s * POLL_GROWTH, LONGEST_POLL_S)
        try:
            yield
        finally:
            await asyncio.to_thread(self._let_go, slot)
            self._freed.set()

    async def _wait(self, poll_s: float) -> None:
        """Until it is time to look again, or a turn of this run has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(poll_s):
                await self._freed.wait()
            await asyncio.sleep(self._hand_over_s)
        self._freed.clear()

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._disconnect()

    async def _tried(self) -> int | None:
        """As `_try`; a slot that is taken while the request is called off is given back."""
        trying = asyncio.create_task(asyncio.to_thread(self._try))
        try:
            return await asyncio.shield(trying)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable):
                if (slot := await trying) is not None:
                    await asyncio.to_thread(self._let_go, slot)
            raise

    def _try(self) -> int | None:
        """A slot that nobody holds, taken; None where there is none."""
        with self._lock:
            # The connection may hold a lock twice, so its own slots are left out here.
            free = (slot for slot in self._slots if slot not in self._held)
            slot = next((slot for slot in free if self._ask("pg_try_advisory_lock", slot)), None)
            if slot is not None:
                self._held.add(slot)
            return slot

    def _let_go(self, slot: int) -> None:
        with self._lock:
            self._held.discard(slot)
            if self._connection:
                # A connection that is gone has given its locks back.
                with suppress(DatabaseUnavailable):
                    self._ask("pg_advisory_unlock", slot)

    def _ask(self, function: str, slot: int) -> bool:
        try:
            if self._connection is None:
                name = self._database.application_name
                self._connection = psycopg.connect(
                    self._database.url, autocommit=True, application_name=name
                )
            asked = f"SELECT {function}(%s, %s)".encode()
            row = self._connection.execute(asked, [self._space, slot]).fetchone()
        except psycopg.OperationalError as error:
            self._disconnect()
            kind = type(error).__name__
            raise DatabaseUnavailable(f"Postgres did not answer ({kind}).") from None
        return bool(row and row[0])

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
