"""Each way in which a service fails, as a named value: statuses, connections, slow and broken ones.

`TRANSIENT`, `REFUSALS` and the other tuples at the end are made for `pytest.mark.parametrize`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Literal

from tests.fakes.services.contract import detail
from tests.fakes.services.exchange import ClientGone, Exchange, Reply

Act = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """What is done to a request instead of answering it.

    `retried` is the contract's word on another try, None where it says nothing. `after_bytes`
    strikes once so much of the body has come (0: at the head), else when all of it has. `door`
    is a fault of the port: no request arrives at all.
    """

    name: str
    act: Act
    retried: bool | None = None
    after_bytes: int | None = None
    door: Literal["refuse", "hang"] | None = None

    def __str__(self) -> str:
        return self.name

    def after(self, received_bytes: int) -> "Fault":
        """The same fault while the request is still being sent."""
        name = f"{self.name}-after-{received_bytes}-bytes"
        return replace(self, name=name, after_bytes=received_bytes)


async def _proper(exchange: Exchange) -> None:
    await exchange.reply(await exchange.proper())


FINE = Fault("fine", _proper)
"""No fault: to let requests pass between two that fail."""


def status(code: int, *, retried: bool, suffix: str = "", **headers: str) -> Fault:
    """An error as FastAPI writes it, at once and whole."""

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
    """`Retry-After` as a date, so many seconds after the answer by this machine's clock."""

    async def act(exchange: Exchange) -> None:
        await retry_at(code, datetime.now(UTC) + timedelta(seconds=seconds)).act(exchange)

    return Fault(f"{code}-retry-at-in-{seconds:g}-s", act, retried=True)


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def answering(name: str, reply: Reply, retried: bool | None = None) -> Fault:
    """A fixed response."""

    async def act(exchange: Exchange) -> None:
        await exchange.reply(reply)

    return Fault(name, act, retried)


async def _silent(exchange: Exchange) -> None:
    await exchange.until_gone()
    raise ClientGone


async def _close(exchange: Exchange) -> None:
    exchange.again = False


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _not_http(exchange: Exchange) -> None:
    exchange.again = False
    await exchange.send_raw(b"SSH-2.0-OpenSSH_9.2\r\n")


async def _half(exchange: Exchange, then: Callable[[Exchange], None] = lambda _: None) -> None:
    """The proper answer up to its middle, with the length of all of it."""
    reply = await exchange.proper()
    await exchange.start(
        reply.status, {**reply.headers, "Content-Length": str(max(2, len(reply.body)))}
    )
    await exchange.send(reply.body[: len(reply.body) // 2] or b" ")
    then(exchange)


async def _drip(exchange: Exchange, every_s: float) -> None:
    """The proper answer behind an hour of blanks, one byte at a time."""
    reply = await exchange.proper()
    length = int(3600 / every_s) + len(reply.body)
    await exchange.start(reply.status, {**reply.headers, "Content-Length": str(length)})
    while True:
        await exchange.send(b" ")
        await exchange.pause(every_s)


async def _drip_head(exchange: Exchange, every_s: float) -> None:
    """A response whose headers never end."""
    await exchange.send_raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await exchange.send_raw(b"x")
        await exchange.pause(every_s)


async def _early_413(exchange: Exchange) -> None:
    await exchange.start(413, {"Content-Length": "0"})
    exchange.half_close()
    await exchange.until_gone()


async def _redirect(exchange: Exchange, code: int) -> None:
    where = f"{exchange.elsewhere}{exchange.arrival.path}"
    await exchange.reply(Reply(code, b"", {"Location": where}))


def drip(every_s: float) -> Fault:
    return Fault(f"drip-every-{every_s:g}-s", partial(_drip, every_s=every_s), retried=True)


def drip_head(every_s: float) -> Fault:
    return Fault(f"drip-head-every-{every_s:g}-s", partial(_drip_head, every_s=every_s), True)


def redirect(code: int) -> Fault:
    """To `elsewhere`, where neither the token nor a recording may follow."""
    return Fault(f"redirect-{code}", partial(_redirect, code=code))


STATUS_408, STATUS_425, STATUS_429, STATUS_500, STATUS_502, STATUS_503, STATUS_504 = (
    status(code, retried=True) for code in (408, 425, 429, 500, 502, 503, 504)
)
STATUS_400, STATUS_401, STATUS_403, STATUS_404, STATUS_413, STATUS_422 = (
    status(code, retried=False) for code in (400, 401, 403, 404, 413, 422)
)
BACK_IN_7_S = retry_after(503, 7)
TOO_MANY_FOR_3_S = retry_after(429, 3)
TOO_MANY_UNTIL_A_DATE = retry_in(429, 30)
CONNECT_REFUSED = Fault("connect-refused", _close, retried=True, door="refuse")
CONNECT_HANGS = Fault("connect-hangs", _close, retried=True, door="hang")
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
"""Of the port; see FaultServer.plan for what differs."""
RETRIED_STATUSES = (
    *(STATUS_408, STATUS_425, STATUS_429, STATUS_500, STATUS_502, STATUS_503, STATUS_504),
    *(BACK_IN_7_S, TOO_MANY_FOR_3_S, TOO_MANY_UNTIL_A_DATE),
)
REFUSALS = (
    *(STATUS_400, STATUS_401, STATUS_403, STATUS_404, STATUS_413, STATUS_422),
    EARLY_413,
)
"""Other 4xx: one attempt; 401 besides means a new token where there is one."""
BROKEN = (CLOSED_BEFORE_ANSWER, RESET_BEFORE_ANSWER, RESET_MID_BODY, RESET_MID_UPLOAD)
BROKEN += (SHORT_BODY, NOT_HTTP)
"""The connection ends too early, or does not speak HTTP; no waiting."""
SLOW = (READ_TIMEOUT, DRIP, DRIP_HEAD)
"""Last as long as the client lets them: it needs short limits."""
REDIRECTS = tuple(redirect(code) for code in (301, 302, 303, 307, 308))
TRANSIENT = (*RETRIED_STATUSES, *BROKEN, *SLOW)
