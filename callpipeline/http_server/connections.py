"""Limits of connections: their number, and how long and how slow their headers may be."""

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536
HEADERS_WITHIN_S = 20.0
HEADERS_TOO_LONG = "The headers of this request are too long."

WANTED_FILES = 65_536
FILES_KEPT = 300
"""File descriptors for uploads, the database, recordings and logs; connections get the rest."""
LEAST_CONNECTIONS = 50


def raise_file_limit() -> None:
    """Let this process open as many files and connections as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit than it states
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def max_connections() -> int:
    """Return how many connections this process may hold open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if soft == resource.RLIM_INFINITY else min(soft, WANTED_FILES)
    return max(LEAST_CONNECTIONS, most - FILES_KEPT)


class HeaderLimit(HttpToolsProtocol):
    """Protocol for uvicorn's `http` option: limits how long and how slow headers may be.

    uvicorn itself waits indefinitely. At the limit of connections, a new one replaces another that
    is only held open: a client that holds many must not lock everyone else out.
    """

    def __init__(self, *args: Any, within_s: float = HEADERS_WITHIN_S, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._within_s = within_s
        self._is_in_headers = True
        self._header_bytes = 0
        self._timeout: asyncio.TimerHandle | None = None
        self.opened_at = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._start_timeout()
        _make_room(cast("list[HeaderLimit]", list(self.connections)), self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timeout()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_headers:
            self._start_timeout()
        super().data_received(data)
        if self._timeout:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response(HEADERS_TOO_LONG)

    @property
    def is_idle(self) -> bool:
        """Return whether no request is in progress: between requests, or before the first."""
        return self.cycle is None or (self.cycle.response_complete and self._is_in_headers)

    @property
    def is_receiving(self) -> bool:
        """Return whether the body of a request is still to come."""
        return self.cycle is not None and self.cycle.more_body

    @property
    def host(self) -> str:
        return self.client[0] if self.client else ""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_timeout()

    def on_headers_complete(self) -> None:
        self._is_in_headers = False
        self._cancel_timeout()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_headers = True
        super().on_message_complete()

    def _start_timeout(self) -> None:
        if self._timeout is None:
            self._timeout = self.loop.call_later(self._within_s, self.transport.close)

    def _cancel_timeout(self) -> None:
        self._header_bytes = 0
        if self._timeout:
            self._timeout.cancel()
            self._timeout = None


def _make_room(connections: Sequence[HeaderLimit], newest: HeaderLimit) -> None:
    """Close a connection if there are too many: one without a request, or else a slow sender.

    Among several, the oldest of the client that has most. If all are busy, the newest is closed.
    """
    if len(connections) <= max_connections():
        return
    counts = Counter(each.host for each in connections)
    for candidates in (
        [each for each in connections if each.is_idle and each is not newest],
        [each for each in connections if each.is_receiving],
    ):
        if candidates:
            most = max(counts[each.host] for each in candidates)
            mine = [each for each in candidates if counts[each.host] == most]
            min(mine, key=lambda each: each.opened_at).transport.abort()
            return
    newest.transport.abort()
