"""Fault server: its thread, its ports, and the interface for tests."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.fakes.services.connection import (
    PORTS,
    SERVICES,
    UNKNOWN,
    ClientConnection,
    ServerState,
    port_of,
)
from tests.fakes.services.contract import ServiceState
from tests.fakes.services.faults import Fault, FaultPlans, PlannedFault, RequestFilter
from tests.fakes.services.ports import Port
from tests.fakes.services.records import RecordedRequest, RequestLog
from tests.fakes.services.script import ChannelFiles, Script, Tokens


class FaultServer:
    """All services on 127.0.0.1, for the duration of the `with` block.

    Each responds by `script` until a fault is planned for it. Leaving the block raises errors of
    the script. The server only sleeps for delays and slow faults.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.tokens = Tokens()
        self.channel_files = ChannelFiles()
        self._log = RequestLog()
        self._plans = FaultPlans()
        self._bugs: list[Exception] = []
        self._ports: dict[str, Port] = {}
        self._connections: dict[ClientConnection, asyncio.Task[None]] = {}
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault-server", daemon=True
        )
        services = ServiceState(self.script, self.tokens, self.channel_files)
        self._state = ServerState(services, self._plans, self._log, self._bugs)

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
        """Return the base URL, without trailing slash; the OpenAI-compatible one ends in `/v1`."""
        port = port_of(service)
        return self._ports[port].url + ("/v1" if port == "openai" else "")

    def plan(
        self,
        service: str,
        *faults: Fault,
        times: int = 1,
        forever: bool = False,
        where: RequestFilter | None = None,
    ) -> None:
        """Apply faults to the next requests that match `where`, in order.

        Each fault applies to `times` requests; with `forever` the last one stays. CONNECT_HANGS and
        CONNECT_REFUSED change the port at once (`split` and `channel` have two, `speech` and
        `chat` share one) and close idle connections. Hanging connections are counted, so that fault
        ends after `times` (for clients with a timeout under a second). Refused ones can't be
        counted: plan them `forever`, and `clear` them, for example in the client's fake sleep.
        """
        if any(fault.port_fault for fault in faults):
            self._shut(_checked(service), faults, None if forever else times, where)
            return
        for fault in faults:
            stays = forever and fault is faults[-1]
            self._plans.add(_checked(service), PlannedFault(fault, None if stays else times, where))

    def clear(self, service: str) -> None:
        """Remove the planned faults; the port listens again."""
        self._plans.clear(_checked(service))
        self._wait(self._ports[port_of(service)].listen())

    def planned(self, service: str) -> int:
        """Return the number of planned faults."""
        return self._plans.left(_checked(service))

    def delay(self, service: str, seconds: float) -> None:
        """Delay each regular response."""
        self.script.delays_s[_checked(service)] = seconds

    def expire_tokens(self) -> None:
        """Reject all tokens issued so far with 401."""
        self.tokens.expire()

    def requests(self, service: str | None = None) -> list[RecordedRequest]:
        """Return the requests in order, including unfinished ones (see `settled`)."""
        return self._log.requests(service and _checked(service))

    def attempts(self, service: str) -> int:
        """Return the number of requests and of hanging connections."""
        return self._log.attempts(_checked(service))

    def peak(self, service: str) -> int:
        """Return the highest number of concurrent requests."""
        return self._log.peak(_checked(service))

    def connections(self, service: str) -> int:
        """Return the number of connections used."""
        return self._log.connections(_checked(service))

    def stats(self) -> dict[str, dict[str, int]]:
        """Return counts by service, as `GET /stats` does."""
        return self._log.stats()

    def settled(self, timeout_s: float = 60.0) -> bool:
        """Wait until no request is in progress: a disconnect is detected with a delay.

        Requests that have not arrived yet are not waited for; see `wait_for_attempts`.
        """
        return self._log.wait_idle(timeout_s)

    def wait_for_attempts(self, service: str, number: int, timeout_s: float = 60.0) -> bool:
        """Wait for a number of attempts; return False after the timeout."""
        return self._log.wait_attempts(_checked(service), number, timeout_s)

    def _shut(
        self,
        service: str,
        faults: tuple[Fault, ...],
        times: int | None,
        where: RequestFilter | None,
    ) -> None:
        if len(faults) > 1 or where:
            raise ValueError(
                "A fault of the port must be the only one, and applies to all requests."
            )
        [fault] = list(faults)
        port, hung = self._ports[port_of(service)], partial(self._log.hung, service)
        if fault.port_fault == "hang":
            self._wait(self._change(service, partial(port.hang, times, hung)))
        elif times is None:
            self._wait(self._change(service, port.refuse))
        else:
            raise ValueError(
                "Refused connections can't be counted: plan them forever, and clear them."
            )

    async def _change(self, service: str, change: Callable[[], Awaitable[None]]) -> None:
        await change()
        for connection in list(self._connections):
            if connection.port == port_of(service):
                connection.hang_up()

    async def _open(self) -> None:
        for name in PORTS:
            self._ports[name] = Port(partial(self._serve, name))
            await self._ports[name].listen()
        self._state.services.urls = {name: port.url for name, port in self._ports.items()}

    async def _serve(
        self, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = ClientConnection(port, next(self._numbers), self._state, reader, writer)
        task = asyncio.current_task()
        assert task
        self._connections[connection] = task
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            del self._connections[connection]

    async def _close(self) -> None:
        for port in self._ports.values():
            await port.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()
        await asyncio.sleep(0)  # transports close in the next iteration of the loop

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=60)


def _checked(service: str) -> str:
    """Return the service. Raises ValueError for an unknown name, with which tests would pass."""
    if service not in (*SERVICES, UNKNOWN):
        raise ValueError(f"There is no service {service!r}, only {', '.join(SERVICES)}.")
    return service
