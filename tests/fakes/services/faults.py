"""Faults of services as named values, and the queue of planned faults of each service.

`TRANSIENT`, `REFUSALS` and the other tuples are meant for `pytest.mark.parametrize`.
"""

import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Literal

from tests.fakes.services.contract import detail
from tests.fakes.services.exchange import ClientDisconnected, Exchange, Reply
from tests.fakes.services.records import RecordedRequest

Act = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """Action that replaces the response to a request.

    `retried` says whether the contract requires a retry, None if it doesn't say. `after_bytes`
    triggers the fault after so much of the body (0: after the head), else after all of it.
    `port_fault` is a fault of the port: no request arrives.
    """

    name: str
    act: Act
    retried: bool | None = None
    after_bytes: int | None = None
    port_fault: Literal["refuse", "hang"] | None = None

    def __str__(self) -> str:
        return self.name

    def after(self, received_bytes: int) -> "Fault":
        """Return the same fault, triggered while the request is being sent."""
        name = f"{self.name}-after-{received_bytes}-bytes"
        return replace(self, name=name, after_bytes=received_bytes)


async def _proper(exchange: Exchange) -> None:
    await exchange.reply(await exchange.regular_reply())


NO_FAULT = Fault("fine", _proper)
"""No fault, to let requests succeed between failures."""


def status(code: int, *, retried: bool, suffix: str = "", **headers: str) -> Fault:
    """Return a fault that answers with an error in FastAPI's format."""

    async def act(exchange: Exchange) -> None:
        reply = detail(code, f"Planned error {code}")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await exchange.reply(replace(reply, headers={**reply.headers, **named}))

    return Fault(f"{code}{suffix}", act, retried)


def retry_after(code: int, seconds: float) -> Fault:
    return status(
        code, retried=True, suffix=f"-retry-after-{seconds:g}-s", Retry_After=f"{seconds:g}"
    )


def retry_at(code: int, moment: datetime) -> Fault:
    return status(code, retried=True, suffix="-retry-at", Retry_After=_http_date(moment))


def retry_in(code: int, seconds: float) -> Fault:
    """Return a fault with `Retry-After` as a date, so many seconds after the response."""

    async def act(exchange: Exchange) -> None:
        await retry_at(code, datetime.now(UTC) + timedelta(seconds=seconds)).act(exchange)

    return Fault(f"{code}-retry-at-in-{seconds:g}-s", act, retried=True)


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def fixed_reply(name: str, reply: Reply, retried: bool | None = None) -> Fault:
    """Return a fault that answers with a fixed response."""

    async def act(exchange: Exchange) -> None:
        await exchange.reply(reply)

    return Fault(name, act, retried)


async def _silent(exchange: Exchange) -> None:
    await exchange.until_gone()
    raise ClientDisconnected


async def _close(exchange: Exchange) -> None:
    exchange.keep_alive = False


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _not_http(exchange: Exchange) -> None:
    exchange.keep_alive = False
    await exchange.send_raw(b"SSH-2.0-OpenSSH_9.2\r\n")


async def _half(exchange: Exchange, then: Callable[[Exchange], None] = lambda _: None) -> None:
    """Send half of the regular response, with the length of the whole."""
    reply = await exchange.regular_reply()
    await exchange.start(
        reply.status, {**reply.headers, "Content-Length": str(max(2, len(reply.body)))}
    )
    await exchange.send(reply.body[: len(reply.body) // 2] or b" ")
    then(exchange)


async def _drip(exchange: Exchange, every_s: float) -> None:
    """Send the regular response after an hour of spaces, one byte at a time."""
    reply = await exchange.regular_reply()
    length = int(3600 / every_s) + len(reply.body)
    await exchange.start(reply.status, {**reply.headers, "Content-Length": str(length)})
    while True:
        await exchange.send(b" ")
        await exchange.pause(every_s)


async def _drip_head(exchange: Exchange, every_s: float) -> None:
    """Send a response with endless headers."""
    await exchange.send_raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await exchange.send_raw(b"x")
        await exchange.pause(every_s)


async def _early_413(exchange: Exchange) -> None:
    await exchange.start(413, {"Content-Length": "0"})
    exchange.half_close()
    await exchange.until_gone()


async def _redirect(exchange: Exchange, code: int) -> None:
    where = f"{exchange.elsewhere}{exchange.request.path}"
    await exchange.reply(Reply(code, b"", {"Location": where}))


def drip(every_s: float) -> Fault:
    return Fault(f"drip-every-{every_s:g}-s", partial(_drip, every_s=every_s), retried=True)


def drip_head(every_s: float) -> Fault:
    return Fault(f"drip-head-every-{every_s:g}-s", partial(_drip_head, every_s=every_s), True)


def redirect(code: int) -> Fault:
    """Return a redirect to `elsewhere`, which must get neither the token nor a recording."""
    return Fault(f"redirect-{code}", partial(_redirect, code=code))


STATUS_408, STATUS_425, STATUS_429, STATUS_500, STATUS_502, STATUS_503, STATUS_504 = (
    status(code, retried=True) for code in (408, 425, 429, 500, 502, 503, 504)
)
STATUS_400, STATUS_401, STATUS_403, STATUS_404, STATUS_413, STATUS_422 = (
    status(code, retried=False) for code in (400, 401, 403, 404, 413, 422)
)
UNAVAILABLE_FOR_7_S = retry_after(503, 7)
TOO_MANY_FOR_3_S = retry_after(429, 3)
TOO_MANY_UNTIL_A_DATE = retry_in(429, 30)
CONNECT_REFUSED = Fault("connect-refused", _close, retried=True, port_fault="refuse")
CONNECT_HANGS = Fault("connect-hangs", _close, retried=True, port_fault="hang")
READ_TIMEOUT = Fault("read-timeout", _silent, retried=True)
CLOSED_BEFORE_ANSWER = Fault("closed-before-answer", _close, retried=True)
RESET_BEFORE_ANSWER = Fault("reset-before-answer", _reset, retried=True)
RESET_MID_BODY = Fault("reset-mid-body", partial(_half, then=Exchange.reset), retried=True)
RESET_MID_UPLOAD = replace(RESET_BEFORE_ANSWER, name="reset-mid-upload", after_bytes=100)
SHORT_BODY = Fault("short-body", _half, retried=True)
NOT_HTTP = Fault("not-http", _not_http, retried=True)
DRIP = drip(0.05)
DRIP_HEAD = drip_head(0.05)
EARLY_413 = Fault("413-before-the-body-is-read", _early_413, retried=False, after_bytes=0)
REDIRECT = redirect(302)

CONNECTIONS = (CONNECT_REFUSED, CONNECT_HANGS)
"""Faults of the port; `FaultServer.plan` describes their differences."""
RETRIED_STATUSES = (
    *(STATUS_408, STATUS_425, STATUS_429, STATUS_500, STATUS_502, STATUS_503, STATUS_504),
    *(UNAVAILABLE_FOR_7_S, TOO_MANY_FOR_3_S, TOO_MANY_UNTIL_A_DATE),
)
REFUSALS = (
    *(STATUS_400, STATUS_401, STATUS_403, STATUS_404, STATUS_413, STATUS_422),
    EARLY_413,
)
"""Other 4xx: no retry; a 401 renews the token if there is one."""
BROKEN = (CLOSED_BEFORE_ANSWER, RESET_BEFORE_ANSWER, RESET_MID_BODY, RESET_MID_UPLOAD)
BROKEN += (SHORT_BODY, NOT_HTTP)
"""The connection ends too early, or does not speak HTTP; without delay."""
SLOW = (READ_TIMEOUT, DRIP, DRIP_HEAD)
"""Last until the client's timeout, which should be short."""
REDIRECTS = tuple(redirect(code) for code in (301, 302, 303, 307, 308))
TRANSIENT = (*RETRIED_STATUSES, *BROKEN, *SLOW)


RequestFilter = Callable[[RecordedRequest], bool]


@dataclass
class PlannedFault:
    """Fault for the next `left` requests (None: for all) that match `where`."""

    fault: Fault
    left: int | None
    where: RequestFilter | None


class FaultPlans:
    """Thread-safe queues of faults, filled by the test and consumed by the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: defaultdict[str, list[PlannedFault]] = defaultdict(list)

    def add(self, service: str, planned: PlannedFault) -> None:
        with self._lock:
            self._planned[service].append(planned)

    def clear(self, service: str) -> None:
        with self._lock:
            self._planned[service].clear()

    def left(self, service: str) -> int:
        """Count the faults that are still planned; one for all requests counts once."""
        with self._lock:
            return sum(1 if p.left is None else p.left for p in self._planned[service])

    def take_at_head(self, request: RecordedRequest) -> Fault | None:
        """Take the fault of a request after its head.

        A fault with `where` that triggers after the body is left to `take_after_body`, when the
        form is available.
        """
        return self._take(request, lambda p: p.where is None or p.fault.after_bytes is not None)

    def take_after_body(self, request: RecordedRequest) -> Fault | None:
        return self._take(request, lambda p: p.where is not None and p.fault.after_bytes is None)

    def _take(self, request: RecordedRequest, due: Callable[[PlannedFault], bool]) -> Fault | None:
        with self._lock:
            queue = self._planned[request.service]
            for planned in queue:
                if due(planned) and (planned.where is None or planned.where(request)):
                    if planned.left is not None:
                        planned.left -= 1
                        if not planned.left:
                            queue.remove(planned)
                    return planned.fault
        return None


def for_competitor(competitor: str) -> RequestFilter:
    """Match requests with the competitor in the form field `context`."""
    return lambda request: request.form.get("context") == competitor


def for_file(name: str) -> RequestFilter:
    """Match requests that upload a file of this name."""
    return lambda request: any(file.name == name for file in request.files)


def for_path(path: str) -> RequestFilter:
    return lambda request: request.path == path
