"""The server: its thread, its ports, and what a test says to it and asks it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.fakes.services.channels import Shelf
from tests.fakes.services.contract import World
from tests.fakes.services.conversation import Backstage, Conversation
from tests.fakes.services.faults import Fault
from tests.fakes.services.plans import Planned, Plans, Where
from tests.fakes.services.ports import Port
from tests.fakes.services.records import Arrival, Log
from tests.fakes.services.routes import PORTS, SERVICES, UNKNOWN, port_of
from tests.fakes.services.script import Script
from tests.fakes.services.tokens import Tokens


class FaultServer:
    """All services on 127.0.0.1, for as long as the `with` block lasts.

    Each answers properly, by `script`, until a fault is planned for it. Leaving the block raises
    what went wrong in a script. Nothing here sleeps unless a delay or a slow fault is asked for.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.tokens = Tokens()
        self.shelf = Shelf()
        self._log = Log()
        self._plans = Plans()
        self._bugs: list[Exception] = []
        self._ports: dict[str, Port] = {}
        self._conversations: dict[Conversation, asyncio.Task[None]] = {}
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault-server", daemon=True
        )
        self._backstage = Backstage(
            World(self.script, self.tokens, self.shelf), self._plans, self._log, self._bugs
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._bugs and error is None:
            raise self._bugs[0]

    def url(self, service: str) -> str:
        """The base URL, without a slash at its end; the OpenAI-compatible one ends in `/v1`."""
        port = port_of(service)
        return self._ports[port].url + ("/v1" if port == "openai" else "")

    def plan(
        self,
        service: str,
        *faults: Fault,
        times: int = 1,
        forever: bool = False,
        where: Where | None = None,
    ) -> None:
        """Spoil the next requests that `where` accepts: one fault each, in order.

        Each fault serves `times` requests; with `forever` the last one stays. CONNECT_HANGS and
        CONNECT_REFUSED change the port at once (`split` and `channel` have two, `speech` and
        `chat` share one) and hang up on connections that idle. A hung connect is counted, so it
        ends by itself after `times` (for clients that wait less than a second). A refused one
        leaves no trace: plan it `forever`, and `clear` it where it should end, as from the
        client's fake sleep.
        """
        if any(fault.door for fault in faults):
            self._shut(_known(service), faults, None if forever else times, where)
            return
        for fault in faults:
            stays = forever and fault is faults[-1]
            self._plans.add(_known(service), Planned(fault, None if stays else times, where))

    def clear(self, service: str) -> None:
        """Forget what is planned; the port listens again if it did not."""
        self._plans.clear(_known(service))
        self._wait(self._ports[port_of(service)].listen())

    def planned(self, service: str) -> int:
        """How many faults still wait for a request."""
        return self._plans.left(_known(service))

    def delay(self, service: str, seconds: float) -> None:
        """How long each proper answer takes."""
        self.script.delays_s[_known(service)] = seconds

    def expire_tokens(self) -> None:
        """Every token given out so far is answered with 401."""
        self.tokens.expire()

    def requests(self, service: str | None = None) -> list[Arrival]:
        """What has arrived, in order; with it what has not ended yet (see `settled`)."""
        return self._log.requests(service and _known(service))

    def attempts(self, service: str) -> int:
        """Requests, whatever became of them, and connects that hung."""
        return self._log.attempts(_known(service))

    def peak(self, service: str) -> int:
        """The most requests that were inside at once."""
        return self._log.peak(_known(service))

    def connections(self, service: str) -> int:
        """How many connections brought the requests."""
        return self._log.connections(_known(service))

    def stats(self) -> dict[str, dict[str, int]]:
        """Counts by service, as `GET /stats` has them."""
        return self._log.stats()

    def settled(self, timeout_s: float = 5.0) -> bool:
        """Wait until no request is inside: a client that hangs up is noticed a moment later.

        What is sent and has not arrived is not waited for: that is `wait_for_attempts`.
        """
        return self._log.wait_idle(timeout_s)

    def wait_for_attempts(self, service: str, number: int, timeout_s: float = 5.0) -> bool:
        """Wait until so many have come; False where they did not in time."""
        return self._log.wait_attempts(_known(service), number, timeout_s)

    def _shut(
        self, service: str, faults: tuple[Fault, ...], times: int | None, where: Where | None
    ) -> None:
        if len(faults) > 1 or where:
            raise ValueError("A fault of the port stands alone, and is for everybody.")
        [fault] = list(faults)
        port, hung = self._ports[port_of(service)], partial(self._log.hung, service)
        if fault.door == "hang":
            self._wait(self._change(service, partial(port.hang, times, hung)))
        elif times is None:
            self._wait(self._change(service, port.refuse))
        else:
            raise ValueError("Refused connects cannot be counted: plan them forever, and clear.")

    async def _change(self, service: str, how: Callable[[], Awaitable[None]]) -> None:
        await how()
        for conversation in list(self._conversations):
            if conversation.port == port_of(service):
                conversation.hang_up()

    async def _open(self) -> None:
        for name in PORTS:
            self._ports[name] = Port(partial(self._converse, name))
            await self._ports[name].listen()
        self._backstage.world.urls = {name: port.url for name, port in self._ports.items()}

    async def _converse(
        self, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        conversation = Conversation(port, next(self._numbers), self._backstage, reader, writer)
        task = asyncio.current_task()
        assert task
        self._conversations[conversation] = task
        try:
            await conversation.run()
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            del self._conversations[conversation]

    async def _close(self) -> None:
        for port in self._ports.values():
            await port.close()
        tasks = list(self._conversations.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()
        await asyncio.sleep(0)  # transports close one round after they were told to

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=30)


def _known(service: str) -> str:
    """The service, unless it is misspelt: what never gets a request would pass many a test."""
    if service not in (*SERVICES, UNKNOWN):
        raise ValueError(f"There is no service {service!r}, only {', '.join(SERVICES)}.")
    return service
