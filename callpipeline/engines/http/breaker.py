"""A circuit breaker for a service: while it is away, nobody asks it, and no call loses a try.

Closed, every request goes. Open, none does until its time; then one is let through to try, over
all runs, and the others of the same run wait for what comes of it.

What a recording may be the cause of opens it only where several calls meet it, with no answer in
between; what none can, at once. Opened so, it is closed by a try alone: an answer to what was asked
before may come late.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from callpipeline.domain.outage import Outage
from callpipeline.engines.asking import asking_call
from callpipeline.errors import EngineAway

FIRST_WAIT_S, LONGEST_WAIT_S = 15.0, 300.0
"""Between tries whether a service is back: the first wait, and up to which it doubles."""
LONGEST_ASKED_FOR_S = 6 * 3600.0
"""A service that asks for more than this is tried again all the same."""
MOST_IN_A_ROW = 5
"""Calls that failed one after the other, each of which may be the fault of its recording."""
BEHIND_S = 30.0
"""By so much a call whose try failed stands behind others: it may be what the service chokes on."""


class Outages(Protocol):
    """Which services are away, known to all runs. Blocking; raises DatabaseUnavailable."""

    def find(self, service: str) -> Outage | None:
        """What is known of it; None where it is not away."""
        ...

    def begin(self, service: str, reason: str, tries: int, again_s: float) -> None:
        """Note that it is away, or still away."""
        ...

    def take_try(self, service: str, again_s: float) -> bool:
        """Whether the caller is the one that tries now; for others it is due in `again_s`."""
        ...

    def end(self, service: str) -> None:
        """It is back: the calls that wait for it are due now."""
        ...


class OwnOutages:
    """Known to this process alone."""

    def find(self, service: str) -> Outage | None:
        return None

    def begin(self, service: str, reason: str, tries: int, again_s: float) -> None:
        return

    def take_try(self, service: str, again_s: float) -> bool:
        return True

    def end(self, service: str) -> None:
        return


class Breaker:
    """The breaker of one service in one run. For one event loop; `clock` gives seconds."""

    def __init__(
        self, service: str, outages: Outages, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._outages = outages
        self._clock = clock
        self._in_a_row: set[object] = set()
        self._answered: dict[object, float] = {}
        self._outage: Outage | None = None
        self._is_sure = False
        self._due = 0.0
        self._is_known = False
        # Not a future: who waits for one and is called off would call off all others with it.
        self._trying: asyncio.Event | None = None
        self._asking = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._outage is not None

    async def admit(self) -> bool:
        """Return when a request may go; true for the one that tries it. Raises EngineAway."""
        while True:
            async with self._asking:
                await self._look_up()
                if self._outage is None:
                    return False
                if self._trying is None:
                    return await self._take_try(self._outage)
                trying = self._trying
            await trying.wait()

    def answered_others_since(self, at: float) -> bool:
        """Whether requests of other calls were answered since then, by the clock."""
        me = asking_call()
        return any(call != me and when >= at for call, when in self._answered.items())

    async def succeeded(self, *, is_try: bool = False) -> None:
        """A request was answered as it should be."""
        self._in_a_row.clear()
        self._remember_answer()
        if self._outage is not None and (is_try or not self._is_sure):
            self._outage = None
            await asyncio.to_thread(self._outages.end, self._service)
        self._tried()

    async def failed(
        self, reason: str, *, is_away: bool, is_try: bool, again_s: float | None = None
    ) -> None:
        """A request failed for good. Raises EngineAway where it is the service that is away.

        `is_away` says that no recording can be the cause; `again_s` is what the service asked for.
        """
        self._in_a_row.add(asking_call() or object())
        if self._outage is None and not is_away:
            self._is_known = False  # another run may have found out since
            await self._look_up()
        if self._outage is not None and not is_try:
            raise self._away(self._outage.reason, max(self._due - self._clock(), 1.0))
        if not (is_away or is_try or len(self._in_a_row) >= MOST_IN_A_ROW):
            return
        tries = self._outage.tries + 1 if self._outage else 0
        asked_s = min(again_s or 0.0, LONGEST_ASKED_FOR_S)
        wait_s = max(asked_s, min(FIRST_WAIT_S * 2**tries, LONGEST_WAIT_S))
        self._open(Outage(reason, tries, wait_s), is_sure=is_away)
        try:
            await asyncio.to_thread(self._outages.begin, self._service, reason, tries, wait_s)
        finally:
            self._tried()
        raise self._away(reason, wait_s if is_away else wait_s + BEHIND_S)

    def let_go(self, *, is_try: bool) -> None:
        """A request ended that says nothing of the service: another may try."""
        if is_try:
            self._tried()

    async def _look_up(self) -> None:
        """What other runs found, once."""
        if self._is_known:
            return
        found = await asyncio.to_thread(self._outages.find, self._service)
        self._is_known = True
        if found:
            self._open(found)

    async def _take_try(self, outage: Outage) -> bool:
        left_s = self._due - self._clock()
        if left_s > 0:
            raise self._away(outage.reason, left_s)
        again_s = min(FIRST_WAIT_S * 2 ** (outage.tries + 1), LONGEST_WAIT_S)
        if await asyncio.to_thread(self._outages.take_try, self._service, again_s):
            self._trying = asyncio.Event()
            return True
        found = await asyncio.to_thread(self._outages.find, self._service)
        if found is None:  # another run has seen that it is back
            self._outage = None
            return False
        self._open(found)
        raise self._away(found.reason, found.again_s)

    def _open(self, outage: Outage, *, is_sure: bool = True) -> None:
        self._outage, self._is_known, self._is_sure = outage, True, is_sure
        self._due = self._clock() + outage.again_s

    def _away(self, reason: str, again_s: float) -> EngineAway:
        return EngineAway(reason, again_s, self._service)

    def _remember_answer(self) -> None:
        """When calls were answered last: two are enough to know of another one."""
        call = asking_call()
        self._answered.pop(call, None)
        self._answered[call] = self._clock()
        if len(self._answered) > 2:
            del self._answered[next(iter(self._answered))]

    def _tried(self) -> None:
        if self._trying:
            self._trying.set()
        self._trying = None
