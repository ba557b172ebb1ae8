"""Looks at the calls that open pages show, once a second for all of them, and tells who shows what.

While no page is open, nothing is asked of the database.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from fastapi import HTTPException

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.reading.following import FollowedCall, Glimpse
from callpipeline.web.live.listener import Listener, Wish
from callpipeline.web.live.pieces import Pieces

EVERY_S = 1.0
NEWEST = 12
"""Calls on the home page."""
AGAIN = 5
"""Places in the queue and estimates change by themselves: read anew every so many looks."""
MOST_LISTENERS = 500
MOST_CALLS = 10_000
"""That all pages together show; what is beyond that is told of by asking."""

log = logging.getLogger("uvicorn.callpipeline")


class Looked(Protocol):
    """The part of storage that is looked at."""

    def look(self, call_ids: Collection[str], *, newest: int) -> list[Glimpse]: ...

    def calls(self, call_ids: Collection[str]) -> list[FollowedCall]: ...


class Watch:
    """One for the whole app, on its loop."""

    def __init__(
        self,
        looked: Looked,
        made: Callable[[FollowedCall], Pieces],
        *,
        every_s: float = EVERY_S,
        most: int = MOST_LISTENERS,
    ) -> None:
        self._looked = looked
        self._made = made
        self._every_s = every_s
        self._most = most
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._marks: dict[str, str] = {}
        self._seen: dict[str, Pieces] = {}
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """How many pages are open."""
        return len(self._listeners)

    def refuse_beyond_limits(self) -> None:
        """Raises HTTPException (503) where no page more is told: it is to ask again by itself."""
        shown = sum(len(each.call_ids) for each in self._listeners)
        if self._is_closed or len(self._listeners) >= self._most or shown >= MOST_CALLS:
            raise HTTPException(
                503, "Too many pages listen already: ask again.", {"Retry-After": "30"}
            )

    @contextmanager
    def listening(self, wish: Wish) -> Iterator[Listener]:
        """A page that is open meanwhile."""
        listener = Listener(wish)
        self._listeners.add(listener)
        if self._is_closed:
            listener.close()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Let every stream end: a server that stops waits for the answers under way."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()
        if self._looking is not None:
            self._looking.cancel()

    async def _look_on(self) -> None:
        count = 0
        while self._listeners:
            try:
                await self._look(again=count % AGAIN == 0)
            except DatabaseUnavailable:
                pass  # it is asked again in a moment
            except Exception as error:
                # A page that cannot be made must not keep the others from being told for ever.
                log.error("fault: %s in looking at calls", type(error).__name__)
            count += 1
            await asyncio.sleep(self._every_s)
        self._marks, self._seen = {}, {}

    async def _look(self, *, again: bool) -> None:
        # Whoever comes while the database answers waits for the next look: what was read before a
        # page was made must not be told to it.
        asking = list(self._listeners)
        wanted = frozenset[str]().union(*(listener.call_ids for listener in asking))
        glimpses = await asyncio.to_thread(self._looked.look, wanted, newest=NEWEST)
        changed = [g for g in glimpses if self._is_changed(g, again=again)]
        made = await asyncio.to_thread(self._make, [glimpse.call_id for glimpse in changed])
        known = {glimpse.call_id for glimpse in glimpses}
        self._seen = {i: p for i, p in (self._seen | made).items() if i in known}
        self._marks = {glimpse.call_id: glimpse.mark for glimpse in glimpses}
        newest = [glimpse.call_id for glimpse in glimpses if glimpse.is_new]
        for listener in asking:
            listener.show(self._seen, newest)

    def _is_changed(self, glimpse: Glimpse, *, again: bool) -> bool:
        is_other = self._marks.get(glimpse.call_id) != glimpse.mark
        return is_other or (again and glimpse.is_open)

    def _make(self, call_ids: Sequence[str]) -> dict[str, Pieces]:
        return {call.row.call_id: self._made(call) for call in self._looked.calls(call_ids)}
