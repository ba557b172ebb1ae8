"""HTTP connections of a run: one pool, on an event loop of its own.

Dagster writes events to Postgres on the event loop of the run. There, a connection would seem idle
while the loop is merely blocked; on its own loop it is read at once, whatever the run does.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx

from callpipeline.engines.http.breaker import InMemoryOutages, OutageStore

for _logger in ("httpx", "httpcore"):  # they log full URLs, which may hold a token
    logging.getLogger(_logger).setLevel(logging.WARNING)

Result = TypeVar("Result")

HEADERS = {"user-agent": "callpipeline", "accept-encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Timeouts of connecting, of reading a chunk, and of a whole request; sizes of responses.

    `answer_bytes` limits a JSON response, `file_bytes` a downloaded file.
    """

    connect_s: float = 10.0
    read_s: float = 600.0
    request_s: float = 1800.0
    answer_bytes: int = 64_000_000
    file_bytes: int = 2_000_000_000


class EventLoopThread:
    """Event loop on a thread that starts on first use; may be awaited from any loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop; cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._started()))

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what is running, run `last`, and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            if last:
                last.close()
            return
        asyncio.run_coroutine_threadsafe(_shut_down(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="http", daemon=True
                )
                self._thread.start()
            return self._loop


async def _shut_down(last: Coroutine[Any, Any, None] | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    if last:
        await last
    await asyncio.get_running_loop().shutdown_default_executor()


@dataclass
class HttpConnections:
    """Connections that all services of a run share."""

    limits: HttpLimits = field(default_factory=HttpLimits)
    outages: OutageStore = field(default_factory=InMemoryOutages)
    loop: EventLoopThread = field(default_factory=EventLoopThread)
    clock: Callable[[], float] = time.monotonic
    _client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """The httpx client; use it on the loop only."""
        if self._client is None:
            timeout = httpx.Timeout(self.limits.read_s, connect=self.limits.connect_s, pool=None)
            # Concurrent requests are limited where they are made, by the calls in progress.
            pool = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._client = httpx.AsyncClient(
                timeout=timeout,
                limits=pool,
                follow_redirects=False,
                headers=HEADERS,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # accepts none
            )
        return self._client

    def close(self) -> None:
        """Cancel all requests and close the connections."""
        self.loop.close(self._close())

    async def _close(self) -> None:
        if self._client:
            await self._client.aclose()
            self._client = None
