"""Circuit breaker of a service: while it is down, no request is sent and no call loses an attempt.

Closed, it lets every request pass. Open, it lets none pass until the next probe is due: then one
request goes out, over all runs, and the other requests of the run wait for its result.

A failure that a recording may have caused opens the breaker only if several calls meet it in a row.
A failure that no recording can cause opens it at once, and then only a successful probe closes it:
a response to an earlier request may arrive late.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from callpipeline.domain.egress import Outage
from callpipeline.engines.ports import current_call_id
from callpipeline.errors import ServiceUnavailable

MIN_PROBE_INTERVAL_S = 15.0
MAX_PROBE_INTERVAL_S = 300.0
"""The interval between probes doubles from the first to the second."""
MAX_RETRY_AFTER_S = 6 * 3600.0
"""A service that requests a longer wait is probed after this time all the same."""
FAILURE_THRESHOLD = 5
"""Consecutive failures of different calls that open the breaker."""
SUSPECT_DELAY_S = 30.0
"""Extra wait of a call whose probe failed, behind other calls: its recording may be the cause."""


class OutageStore(Protocol):
    """Store of service outages, shared by all runs. Blocking; raises DatabaseUnavailable."""

    def find(self, service: str) -> Outage | None:
        """Return the outage of a service; None if it is available."""
        ...

    def begin(self, service: str, reason: str, attempts: int, retry_after_s: float) -> None:
        """Record that a service is unavailable, or still is."""
        ...

    def acquire_probe(self, service: str, retry_after_s: float) -> bool:
        """Return whether the caller may probe now; for others the next is in `retry_after_s`."""
        ...

    def end(self, service: str) -> None:
        """Record that a service is available again, and make the calls that wait for it due."""
        ...


class InMemoryOutages:
    """Store that shares nothing: each breaker only has its own outage."""

    def find(self, service: str) -> Outage | None:
        return None

    def begin(self, service: str, reason: str, attempts: int, retry_after_s: float) -> None:
        return

    def acquire_probe(self, service: str, retry_after_s: float) -> bool:
        return True

    def end(self, service: str) -> None:
        return


class CircuitBreaker:
    """Breaker of one service in one run and one event loop; `clock` returns seconds."""

    def __init__(
        self, service: str, outages: OutageStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._outages = outages
        self._clock = clock
        self._failed_calls: set[object] = set()
        self._answered_at: dict[object, float] = {}
        self._outage: Outage | None = None
        self._is_confirmed = False
        self._probe_due = 0.0
        self._is_loaded = False
        # Not a future: a cancelled waiter would cancel it for all other waiters.
        self._probe_done: asyncio.Event | None = None
        self._admission = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._outage is not None

    async def admit(self) -> bool:
        """Wait until a request may be sent; return whether it is the probe.

        Raises ServiceUnavailable.
        """
        while True:
            async with self._admission:
                await self._load()
                if self._outage is None:
                    return False
                if self._probe_done is None:
                    return await self._acquire_probe(self._outage)
                probe_done = self._probe_done
            await probe_done.wait()

    def other_calls_answered_since(self, at: float) -> bool:
        """Return whether requests of other calls succeeded since a time of the clock."""
        own = current_call_id()
        return any(call != own and when >= at for call, when in self._answered_at.items())

    async def succeeded(self, *, is_probe: bool = False) -> None:
        """Record a successful request."""
        self._failed_calls.clear()
        self._remember_answer()
        if self._outage is not None and (is_probe or not self._is_confirmed):
            self._outage = None
            await asyncio.to_thread(self._outages.end, self._service)
        self._finish_probe()

    async def failed(
        self, reason: str, *, is_outage: bool, is_probe: bool, retry_after_s: float | None = None
    ) -> None:
        """Record a request that failed for good. Raises ServiceUnavailable during an outage.

        `is_outage`: no recording can be the cause. `retry_after_s`: the wait that the service
        requested.
        """
        self._failed_calls.add(current_call_id() or object())
        if self._outage is None and not is_outage:
            self._is_loaded = False  # another run may have recorded an outage since
            await self._load()
        if self._outage is not None and not is_probe:
            raise self._unavailable(self._outage.reason, max(self._probe_due - self._clock(), 1.0))
        if not (is_outage or is_probe or len(self._failed_calls) >= FAILURE_THRESHOLD):
            return
        attempts = self._outage.attempts + 1 if self._outage else 0
        requested_s = min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        wait_s = max(requested_s, _probe_interval_s(attempts))
        self._open(Outage(reason, attempts, wait_s), is_confirmed=is_outage)
        try:
            await asyncio.to_thread(self._outages.begin, self._service, reason, attempts, wait_s)
        finally:
            self._finish_probe()
        raise self._unavailable(reason, wait_s if is_outage else wait_s + SUSPECT_DELAY_S)

    def release(self, *, is_probe: bool) -> None:
        """End a request that says nothing about the service: another one may probe."""
        if is_probe:
            self._finish_probe()

    async def _load(self) -> None:
        """Load an outage that other runs recorded, once."""
        if self._is_loaded:
            return
        outage = await asyncio.to_thread(self._outages.find, self._service)
        self._is_loaded = True
        if outage:
            self._open(outage)

    async def _acquire_probe(self, outage: Outage) -> bool:
        left_s = self._probe_due - self._clock()
        if left_s > 0:
            raise self._unavailable(outage.reason, left_s)
        retry_after_s = _probe_interval_s(outage.attempts + 1)
        if await asyncio.to_thread(self._outages.acquire_probe, self._service, retry_after_s):
            self._probe_done = asyncio.Event()
            return True
        current = await asyncio.to_thread(self._outages.find, self._service)
        if current is None:  # another run found that the service is available again
            self._outage = None
            return False
        self._open(current)
        raise self._unavailable(current.reason, current.retry_after_s)

    def _open(self, outage: Outage, *, is_confirmed: bool = True) -> None:
        self._outage, self._is_loaded, self._is_confirmed = outage, True, is_confirmed
        self._probe_due = self._clock() + outage.retry_after_s

    def _unavailable(self, reason: str, retry_after_s: float) -> ServiceUnavailable:
        return ServiceUnavailable(reason, retry_after_s, self._service)

    def _remember_answer(self) -> None:
        """Keep the time of the last response of two calls: one of them is another call."""
        call = current_call_id()
        self._answered_at.pop(call, None)
        self._answered_at[call] = self._clock()
        if len(self._answered_at) > 2:
            del self._answered_at[next(iter(self._answered_at))]

    def _finish_probe(self) -> None:
        if self._probe_done:
            self._probe_done.set()
        self._probe_done = None


def _probe_interval_s(attempts: int) -> float:
    return min(MIN_PROBE_INTERVAL_S * 2**attempts, MAX_PROBE_INTERVAL_S)
