"""How long, and how slow, the head of a request may be: uvicorn itself waits for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WITHIN_S = 20.0
MOST_BYTES = 65_536
TOO_LONG = "The head of this request is too long."


class LimitedHeads(HttpToolsProtocol):
    """For uvicorn's `http`: closes a connection whose request does not begin, or never ends to.

    How many connections there are is not limited: who holds them all open would keep everybody
    else out.
    """

    def __init__(self, *how: Any, within_s: float = WITHIN_S, **more: Any) -> None:
        super().__init__(*how, **more)
        self._within_s = within_s
        self._is_in_head = True
        self._head_bytes = 0
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._wait()
        super().data_received(data)
        if self._due:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_BYTES and not self.transport.is_closing():
                self.send_400_response(TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head = True
        super().on_message_complete()

    def _wait(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(self._within_s, self.transport.close)

    def _wait_no_more(self) -> None:
        self._head_bytes = 0
        if self._due:
            self._due.cancel()
            self._due = None
