"""Limits of requests: size, speed, concurrency and rate."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from fastapi import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.http_server.responses import error_response

MAX_BODY_BYTES = 1_000_000
BODY_IDLE_S, BODY_WITHIN_S = 20.0, 120.0

Result = TypeVar("Result")

RETRY_AFTER_S = 5
MAX_CLIENTS = 10_000


class BodyLimit:
    """Respond 413 to a body that is too large, before reading it if Content-Length says so.

    The connection is closed, so that the rest isn't read either. `limits` are bytes by path
    prefix, of which the longest match applies; `default_bytes` is for all other paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Mapping[str, int] | None = None,
        default_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._app = app
        longest_first = sorted((limits or {}).items(), key=lambda rule: -len(rule[0]))
        self._rules = tuple(longest_first)
        self._default_bytes = default_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self.limit_for(scope["path"])
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            response = await error_response(Request(scope), _too_large(limit))
            await response(scope, receive, send)
            return
        await self._app(scope, _counting(receive, limit), send)

    def limit_for(self, path: str) -> int:
        """Return the limit in bytes. `/a` is a prefix of `/a/b`, but not of `/ab`."""
        for prefix, limit in self._rules:
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return limit
        return self._default_bytes


def _counting(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return counting


class BodyTimeout:
    """Respond 408 to a body that arrives too slowly, or not at all.

    Paths that begin with one of `streamed` are exempt: their routes have timeouts of their own.
    """

    def __init__(
        self,
        app: ASGIApp,
        streamed: Sequence[str] = (),
        *,
        idle_s: float = BODY_IDLE_S,
        within_s: float = BODY_WITHIN_S,
    ) -> None:
        self._app = app
        self._streamed = tuple(streamed)
        self._idle_s, self._within_s = idle_s, within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._streamed):
            await self._app(scope, receive, send)
            return
        now = asyncio.get_running_loop().time
        until, is_complete, has_responded = now() + self._within_s, False, False

        async def receive_in_time() -> Message:
            nonlocal is_complete
            if is_complete:  # the next message is the disconnect, which has no deadline
                return await receive()
            try:
                async with asyncio.timeout(min(self._idle_s, until - now())):
                    message = await receive()
            except TimeoutError:
                if has_responded:
                    return {"type": "http.disconnect"}
                raise _too_slow() from None
            is_complete = not message.get("more_body", False)
            return message

        async def record_response(message: Message) -> None:
            nonlocal has_responded
            has_responded = True
            await send(message)

        await self._app(scope, receive_in_time, record_response)


def _too_slow() -> HTTPException:
    detail = "The body of this request didn't arrive in time. Send it again."
    return HTTPException(408, detail, {"Connection": "close"})


def _too_large(limit: int) -> HTTPException:
    detail = f"The body of this request is too large; the limit is {limit:,} bytes."
    return HTTPException(413, detail, {"Connection": "close"})


class ConcurrencyLimiter:
    """Run up to `running` requests, let up to `waiting` more wait, and reject the rest."""

    def __init__(self, running: int, waiting: int, *, status: int = 503) -> None:
        self._limit = running + waiting
        self._semaphore = asyncio.Semaphore(running)
        self._status = status
        self.admitted = 0

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Hold a slot, from before the body is read. Raises HTTPException if none is free."""
        if self.admitted >= self._limit:
            raise HTTPException(
                self._status,
                f"Too many requests in progress (limit {self._limit}). Try again in a moment.",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    def run(self) -> asyncio.Semaphore:
        """Return the semaphore that an admitted request enters while it works."""
        return self._semaphore


class RateLimiter:
    """Token bucket for each client: `per_min` requests a minute; 0 is unlimited.

    Remembers `max_clients`, and forgets the least recently seen first.
    """

    def __init__(
        self,
        per_min: int,
        *,
        max_clients: int = MAX_CLIENTS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_min = per_min
        self._max_clients = max_clients
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, client: str) -> None:
        """Take a token. Raises HTTPException (429) if none is left."""
        if not self._per_min:
            return
        tokens = self._tokens(client)
        if tokens < 1:
            raise too_many_requests((1 - tokens) * 60 / self._per_min)
        self._store(client, tokens - 1)

    def refund(self, client: str) -> None:
        """Return a token, for a request that turned out not to count."""
        if self._per_min:
            self._store(client, min(self._per_min, self._tokens(client) + 1))

    def _tokens(self, client: str) -> float:
        tokens, at = self._buckets.get(client, (float(self._per_min), self._now()))
        return min(self._per_min, tokens + (self._now() - at) * self._per_min / 60)

    def _store(self, client: str, tokens: float) -> None:
        self._buckets[client] = (tokens, self._now())
        self._buckets.move_to_end(client)
        while len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)

    def __len__(self) -> int:
        return len(self._buckets)


class LoginLimiter:
    """Limit failed logins by name and address together, then by address, then by name.

    A name alone has the largest limit: otherwise anyone could lock its user out. Addresses from
    which the user has logged in before are exempt from it.
    """

    PER_ADDRESS, PER_NAME = 3, 10
    """Multiples of the limit of a name and an address together."""

    def __init__(self, per_min: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._pairs = RateLimiter(per_min, now=now)
        self._addresses = RateLimiter(per_min * self.PER_ADDRESS, now=now)
        self._names = RateLimiter(per_min * self.PER_NAME, now=now)
        self._known: OrderedDict[str, None] = OrderedDict()

    def acquire(self, name: str, address: str) -> None:
        """Count an attempt. Raises HTTPException (429) if none is left."""
        name = name.casefold()
        pair = f"{name}\0{address}"
        limits = [(self._pairs, pair), (self._addresses, address)]
        if pair not in self._known:
            limits.append((self._names, name))
        for number, (limiter, client) in enumerate(limits):
            try:
                limiter.acquire(client)
            except HTTPException:
                for taken, whose in limits[:number]:
                    taken.refund(whose)
                raise

    def succeeded(self, name: str, address: str) -> None:
        """Take back an attempt that succeeded, and remember the address."""
        name = name.casefold()
        pair = f"{name}\0{address}"
        self._pairs.refund(pair)
        self._addresses.refund(address)
        if pair not in self._known:
            self._names.refund(name)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > MAX_CLIENTS:
            self._known.popitem(last=False)


def too_many_requests(wait_s: float) -> HTTPException:
    """Return a 429 error with the seconds to wait."""
    seconds = max(1, math.ceil(wait_s))
    return HTTPException(
        429, f"Too many requests. Try again in {seconds} s.", {"Retry-After": str(seconds)}
    )


async def run_until_disconnect(
    request: Request, work: Coroutine[Any, Any, Result], within_s: float
) -> Result:
    """Return the work's result; cancel it if the client disconnects or time runs out.

    Raises ClientDisconnect, or HTTPException (504). The body must have been read.
    """
    working = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait(
            {working, disconnect}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        disconnect.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
    if working in done:
        return working.result()
    if disconnect in done:
        raise ClientDisconnect
    raise HTTPException(504, f"The request took longer than the limit of {within_s:g} s.")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
