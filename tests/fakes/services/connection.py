"""Connections and routes: requests are read, recorded, and answered or spoilt by a fault."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from tests.fakes.services import contract, openai
from tests.fakes.services.contract import ServiceState, detail
from tests.fakes.services.exchange import ClientDisconnected, Exchange, Reply, json_reply
from tests.fakes.services.faults import NO_FAULT, Fault, FaultPlans
from tests.fakes.services.form import Malformed
from tests.fakes.services.records import RecordedRequest, RequestLog

REQUEST_LINE = re.compile(r"([A-Z]+) (/[^ ?]*)(?:\?([^ ]*))? HTTP/1\.[01]")
STATS = "/stats"
DISCONNECTED = (ClientDisconnected, ConnectionError, asyncio.IncompleteReadError)

PORTS = ("auth", "split", "channel", "transcription", "sentiment", "openai", "elsewhere")
"""Each has its own URL; `split` also serves channel files, `openai` is two services."""
UNKNOWN = "unknown"
"""Service of requests without a route."""


@dataclass(frozen=True)
class Route:
    ports: tuple[str, ...]
    method: str
    path: re.Pattern[str]
    service: str
    answer: Callable[[ServiceState, RecordedRequest], Reply]


def _route(
    ports: str, asked: str, service: str, answer: Callable[[ServiceState, RecordedRequest], Reply]
) -> Route:
    method, path = asked.split()
    return Route(tuple(ports.split()), method, re.compile(path), service, answer)


def _nowhere(services: ServiceState, request: RecordedRequest) -> Reply:
    return detail(404, "Not Found")


def _elsewhere(services: ServiceState, request: RecordedRequest) -> Reply:
    return json_reply({})


ROUTES = (
    _route("auth", "POST /api/v1/login/access-token", "auth", contract.log_in),
    _route("split", "POST /split", "split", contract.split),
    _route("split channel", "GET /channels/.+", "channel", contract.channel_file),
    _route("transcription", "POST /api/v1/transcriptions/", "transcription", contract.transcribe),
    _route("sentiment", "POST /analyze/contextual/file", "sentiment", contract.judge),
    _route("openai", "POST /v1/audio/transcriptions", "speech", openai.transcribe),
    _route("openai", "POST /v1/chat/completions", "chat", openai.chat),
    _route("openai", "GET /v1/models", "models", openai.models),
)

SERVICES = (*dict.fromkeys(route.service for route in ROUTES), "elsewhere")
_ELSEWHERE = Route(("elsewhere",), "GET", re.compile(".*"), "elsewhere", _elsewhere)
_NOWHERE = Route(PORTS, "GET", re.compile(".*"), UNKNOWN, _nowhere)


def route_of(port: str, method: str, path: str) -> Route:
    """Return the route of a request; `elsewhere` accepts all, other unknown paths are `unknown`."""
    if port == "elsewhere":
        return _ELSEWHERE
    for route in ROUTES:
        if port in route.ports and method == route.method and route.path.fullmatch(path):
            return route
    return _NOWHERE


def port_of(service: str) -> str:
    """Return the port of a service."""
    if service in PORTS:
        return service
    return next(route.ports[-1] for route in ROUTES if route.service == service)


@dataclass
class ServerState:
    """State shared by all connections."""

    services: ServiceState
    plans: FaultPlans
    log: RequestLog
    bugs: list[Exception]


class ClientConnection:
    """Connection of a client; the server may close it while it is `idle`."""

    def __init__(
        self,
        port: str,
        number: int,
        state: ServerState,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.port, self.number, self.idle = port, number, True
        self.ends = False
        """Set if the connection should end with the current request."""
        self._state, self._reader, self._writer = state, reader, writer
        # `drain` must wait until the kernel has all bytes, by which they are counted.
        writer.transport.set_write_buffer_limits(0)

    async def run(self) -> None:
        try:
            while await self._turn():
                self.idle = True
        except DISCONNECTED:
            pass
        except Exception as bug:
            self._state.bugs.append(bug)
        finally:
            self._writer.transport.abort()

    def hang_up(self) -> None:
        self.ends = True
        if self.idle:
            self._writer.transport.abort()

    async def _turn(self) -> bool:
        """Handle one request; return whether another one may follow."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.idle = False
        request, route = self._read_head(head.decode("latin-1"))
        if request.path == STATS:
            await self._exchange(request, route).reply(json_reply(self._state.log.stats()))
            return True
        self._state.log.enter(request)
        try:
            exchange = self._exchange(request, route)
            await self._handle(exchange)
        finally:
            self._state.log.leave(request)
        wants_end = request.headers.get("connection", "").lower() == "close"
        return exchange.keep_alive and not wants_end and not self.ends

    def _read_head(self, head: str) -> tuple[RecordedRequest, Route]:
        first, *lines = head.rstrip("\r\n").split("\r\n")
        found = REQUEST_LINE.fullmatch(first)
        if not found:
            raise Malformed("a request line that is not HTTP/1.1")
        method, path, query = found.groups("")
        split = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in split}
        route = route_of(self.port, method, path)
        return RecordedRequest(
            route.service, method, unquote(path), headers, self.number, query
        ), route

    def _exchange(self, request: RecordedRequest, route: Route) -> Exchange:
        proper = partial(self._regular_reply, route, request)
        elsewhere = self._state.services.urls["elsewhere"]
        return Exchange(request, self._reader, self._writer, proper, elsewhere)

    async def _regular_reply(self, route: Route, request: RecordedRequest) -> Reply:
        delay_s = self._state.services.script.delays_s.get(route.service, 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)
        return route.answer(self._state.services, request)

    async def _handle(self, exchange: Exchange) -> None:
        request, plans = exchange.request, self._state.plans
        fault = plans.take_at_head(request)
        request.fault = fault and fault.name
        try:
            await exchange.read_body(fault.after_bytes if fault else None)
        except Malformed as problem:
            # Refused even if a fault is planned, since the client is wrong.
            request.malformed, exchange.keep_alive = str(problem), False
            await exchange.reply(detail(400, str(problem)))
            return
        if fault and fault.after_bytes is not None and not request.body_read:
            exchange.keep_alive = False
        await self._act(exchange, fault or plans.take_after_body(request) or NO_FAULT)

    async def _act(self, exchange: Exchange, fault: Fault) -> None:
        exchange.request.fault = None if fault is NO_FAULT else fault.name
        try:
            await fault.act(exchange)
        except DISCONNECTED:
            raise
        except Exception:
            # A bug in a script is not a fault to test: it is raised when the server stops.
            exchange.keep_alive = False
            await exchange.reply(detail(500, "the script of the test failed"))
            raise
