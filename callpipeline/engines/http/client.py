"""The HTTP client of a run, and how long it waits for what."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from callpipeline.engines.http.breaker import Outages, OwnOutages
from callpipeline.engines.http.loop import LoopThread
from callpipeline.engines.http.service import Service

for _logger in ("httpx", "httpcore"):  # they log whole addresses, which may hold a token
    logging.getLogger(_logger).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds: to connect, between two bytes, and for a whole request with its answer.

    `answer_bytes` is the most that is read of an answer in JSON, `file_bytes` of a file.
    """

    connect_s: float = 10.0
    read_s: float = 600.0
    request_s: float = 1800.0
    answer_bytes: int = 64_000_000
    file_bytes: int = 2_000_000_000


@dataclass
class Http:
    """One pool of connections for all services of a run, on a loop of its own."""

    limits: Limits = field(default_factory=Limits)
    outages: Outages = field(default_factory=OwnOutages)
    loop: LoopThread = field(default_factory=LoopThread)
    clock: Callable[[], float] = time.monotonic
    _client: httpx.AsyncClient | None = None

    def service(self, name: str, base_url: str, **more: Any) -> Service:
        """A service at an address; see `Service` for what more can be said of it."""
        return Service(name, base_url, http=self, **more)

    @property
    def client(self) -> httpx.AsyncClient:
        """Only to be used on the loop."""
        if self._client is None:
            timeout = httpx.Timeout(self.limits.read_s, connect=self.limits.connect_s, pool=None)
            # How many requests go at once is bounded where they are made: by calls under way.
            pool = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._client = httpx.AsyncClient(
                timeout=timeout,
                limits=pool,
                follow_redirects=False,
                headers=HEADERS,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # takes none
            )
        return self._client

    def close(self) -> None:
        """Call off all requests and close the connections."""
        self.loop.close(self._close())

    async def _close(self) -> None:
        if self._client:
            await self._client.aclose()
            self._client = None


HEADERS = {"user-agent": "callpipeline", "accept-encoding": "gzip"}
