"""What happens on one connection: requests are read, recorded, spoilt or answered, in turn."""

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from tests.fakes.services.contract import World, detail
from tests.fakes.services.exchange import ClientGone, Exchange, Reply, json_reply
from tests.fakes.services.faults import FINE, Fault
from tests.fakes.services.form import Malformed
from tests.fakes.services.plans import Plans
from tests.fakes.services.records import Arrival, Log
from tests.fakes.services.routes import Route, route_of

REQUEST_LINE = re.compile(r"([A-Z]+) (/[^ ?]*)(?:\?([^ ]*))? HTTP/1\.[01]")
STATS = "/stats"
GONE = (ClientGone, ConnectionError, asyncio.IncompleteReadError)


@dataclass
class Backstage:
    """What all connections share."""

    world: World
    plans: Plans
    log: Log
    bugs: list[Exception]


class Conversation:
    """One connection. `idle` while no request is on it; then the server may hang up."""

    def __init__(
        self,
        port: str,
        number: int,
        backstage: Backstage,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.port, self.number, self.idle = port, number, True
        self.ends = False
        """Set where this is to be the last request of the connection."""
        self._backstage, self._reader, self._writer = backstage, reader, writer
        # So that `drain` waits until the kernel has all: what is sent is counted by that.
        writer.transport.set_write_buffer_limits(0)

    async def run(self) -> None:
        try:
            while await self._turn():
                self.idle = True
        except GONE:
            pass
        except Exception as bug:
            self._backstage.bugs.append(bug)
        finally:
            self._writer.transport.abort()

    def hang_up(self) -> None:
        self.ends = True
        if self.idle:
            self._writer.transport.abort()

    async def _turn(self) -> bool:
        """One request; whether another may follow on the connection."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.idle = False
        arrival, route = self._read_head(head.decode("latin-1"))
        if arrival.path == STATS:
            await self._exchange(arrival, route).reply(json_reply(self._backstage.log.stats()))
            return True
        self._backstage.log.enter(arrival)
        try:
            exchange = self._exchange(arrival, route)
            await self._handle(exchange)
        finally:
            self._backstage.log.leave(arrival)
        wants_end = arrival.headers.get("connection", "").lower() == "close"
        return exchange.again and not wants_end and not self.ends

    def _read_head(self, head: str) -> tuple[Arrival, Route]:
        first, *lines = head.rstrip("\r\n").split("\r\n")
        found = REQUEST_LINE.fullmatch(first)
        if not found:
            raise Malformed("a request line that is not HTTP/1.1")
        method, path, query = found.groups("")
        split = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in split}
        route = route_of(self.port, method, path)
        return Arrival(route.service, method, unquote(path), headers, self.number, query), route

    def _exchange(self, arrival: Arrival, route: Route) -> Exchange:
        proper = partial(self._proper, route, arrival)
        elsewhere = self._backstage.world.urls["elsewhere"]
        return Exchange(arrival, self._reader, self._writer, proper, elsewhere)

    async def _proper(self, route: Route, arrival: Arrival) -> Reply:
        delay_s = self._backstage.world.script.delays_s.get(route.service, 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)
        return route.answer(self._backstage.world, arrival)

    async def _handle(self, exchange: Exchange) -> None:
        arrival, plans = exchange.arrival, self._backstage.plans
        fault = plans.take_at_head(arrival)
        arrival.fault = fault and fault.name
        try:
            await exchange.read_body(fault.after_bytes if fault else None)
        except Malformed as problem:
            # Recorded and refused, planned fault or not: the client is what is wrong here.
            arrival.malformed, exchange.again = str(problem), False
            await exchange.reply(detail(400, str(problem)))
            return
        if fault and fault.after_bytes is not None and not arrival.body_read:
            exchange.again = False
        await self._act(exchange, fault or plans.take_after_body(arrival) or FINE)

    async def _act(self, exchange: Exchange, fault: Fault) -> None:
        exchange.arrival.fault = None if fault is FINE else fault.name
        try:
            await fault.act(exchange)
        except GONE:
            raise
        except Exception:
            # A script with a bug is no fault to be tested: it is raised when the server stops.
            exchange.again = False
            await exchange.reply(detail(500, "the script of the test failed"))
            raise
