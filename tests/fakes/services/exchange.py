"""Request on its socket, and all ways to respond to it."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.fakes.services.form import BodyReader, Malformed
from tests.fakes.services.records import RecordedRequest

BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Reply:
    """Complete response, sent with its length."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(document: Any, status: int = 200, **headers: str) -> Reply:
    body = json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


class ClientDisconnected(Exception):
    """The client closed the connection."""


@dataclass
class Exchange:
    """Request, its regular response, and the socket, as used by faults and responses.

    `keep_alive`: the connection may carry another request afterwards.
    """

    request: RecordedRequest
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    regular_reply: Callable[[], Awaitable[Reply]]
    """Returns the regular response, after the scripted delay."""
    elsewhere: str
    """URL of another server on this machine, which must get no requests."""
    keep_alive: bool = True

    async def read_body(self, stop_after: int | None = None) -> None:
        """Read the body into the request, or only its first `stop_after` bytes or a few more."""
        if stop_after == 0:
            return
        form = BodyReader(self.request)
        async for piece in self._pieces(stop_after):
            form.feed(piece)
            if stop_after is not None and self.request.body_bytes >= stop_after:
                return
        form.finish()

    async def reply(self, reply: Reply) -> None:
        bodiless = reply.status == HTTPStatus.NO_CONTENT or reply.status < 200
        length = {} if bodiless else {"Content-Length": str(len(reply.body))}
        head = self._head(reply.status, {**reply.headers, **length})
        first = reply.body[:BLOCK_BYTES]
        # Counted first: the client may query the count as soon as it has the response.
        self.request.sent_bytes += len(first)
        await self.send_raw(head + first)
        await self.send(reply.body[BLOCK_BYTES:])

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response; its body follows by `send`, and ends the connection."""
        self.keep_alive = False
        await self.send_raw(self._head(status, {"Connection": "close", **headers}))

    async def send(self, piece: bytes) -> None:
        """Send bytes to the kernel. Raises ClientDisconnected."""
        for at in range(0, len(piece), BLOCK_BYTES):
            block = piece[at : at + BLOCK_BYTES]
            await self.send_raw(block)
            self.request.sent_bytes += len(block)

    async def send_raw(self, piece: bytes) -> None:
        if self.writer.transport.is_closing():
            raise ClientDisconnected
        self.writer.write(piece)
        await self.writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait. Raises ClientDisconnected as soon as the client closes the connection."""
        try:
            await asyncio.wait_for(self.until_gone(), seconds)
        except TimeoutError:
            return
        raise ClientDisconnected

    async def until_gone(self) -> None:
        """Wait until the client closes the connection, discarding what it sends."""
        while await self.reader.read(BLOCK_BYTES):
            pass

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.keep_alive = False
        raw_socket: socket.socket = self.writer.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Send FIN, and keep the other direction open."""
        self.keep_alive = False
        self.writer.write_eof()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.request.status = status
        reason = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _pieces(self, stop_after: int | None) -> AsyncIterator[bytes]:
        headers = self.request.headers
        if headers.get("expect", "").lower() == "100-continue":
            await self.send_raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while length := await self._chunk_length():
                async for piece in self._exactly(length):
                    yield piece
                await self.reader.readexactly(2)
            while (await self.reader.readline()).strip():
                pass  # trailers
        else:
            length = int(headers.get("content-length", "0"))
            most = length if stop_after is None else min(length, stop_after)
            async for piece in self._exactly(most):
                yield piece

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        while length > 0:
            piece = await self.reader.read(min(length, BLOCK_BYTES))
            if not piece:
                raise ClientDisconnected
            length -= len(piece)
            yield piece

    async def _chunk_length(self) -> int:
        line = await self.reader.readline()
        if not line:
            raise ClientDisconnected
        try:
            return int(line.split(b";")[0], 16)
        except ValueError as error:
            raise Malformed("a chunk without its length") from error
