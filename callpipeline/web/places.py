"""How much a server does at once, how many may wait, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

Answer = TypeVar("Answer")

RETRY_AFTER_S = 5


class Places:
    """So many requests at work, and so many more that wait; all others are sent away at once."""

    def __init__(self, at_once: int, waiting: int, *, status: int = 503) -> None:
        self._most = at_once + waiting
        self._turns = asyncio.Semaphore(at_once)
        self._status = status
        self.taken = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place, held from before the body is read. Raises HTTPException when none is free."""
        if self.taken >= self._most:
            raise HTTPException(
                self._status,
                f"{self._most} requests are at work or wait already: try again.",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def turn(self) -> asyncio.Semaphore:
        """Entered by who is to work now."""
        return self._turns


async def while_asked(
    request: Request, work: Coroutine[Any, Any, Answer], within_s: float
) -> Answer:
    """The work's outcome; it is given up where the client leaves, or it takes too long.

    Raises ClientDisconnect, or HTTPException (504). The body must have been read.
    """
    working = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_left(request))
    try:
        done, _ = await asyncio.wait(
            {working, left}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        left.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
    if working in done:
        return working.result()
    if left in done:
        raise ClientDisconnect
    raise HTTPException(504, f"It took longer than {within_s:g} s, which is the limit here.")


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
