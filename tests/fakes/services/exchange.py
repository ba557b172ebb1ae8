"""One request on its socket, and all that can be done to whoever waits for the answer."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.fakes.services.form import BodyReader, Malformed
from tests.fakes.services.records import Arrival

BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Reply:
    """A whole response, with its length."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(document: Any, status: int = 200, **headers: str) -> Reply:
    body = json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


class ClientGone(Exception):
    """The client has hung up."""


@dataclass
class Exchange:
    """What a fault or an answer may use: the request, its proper reply, and the bare socket.

    `again` says whether the connection may carry another request afterwards.
    """

    arrival: Arrival
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    proper: Callable[[], Awaitable[Reply]]
    """What the service would answer, after its delay."""
    elsewhere: str
    """The URL of another server on this machine, where nothing may ever arrive."""
    again: bool = True

    async def read_body(self, stop_after: int | None = None) -> None:
        """Read the body into the arrival, or only its first `stop_after` bytes or a few more."""
        if stop_after == 0:
            return
        form = BodyReader(self.arrival)
        async for piece in self._pieces(stop_after):
            form.feed(piece)
            if stop_after is not None and self.arrival.body_bytes >= stop_after:
                return
        form.finish()

    async def reply(self, reply: Reply) -> None:
        bodiless = reply.status == HTTPStatus.NO_CONTENT or reply.status < 200
        length = {} if bodiless else {"Content-Length": str(len(reply.body))}
        head = self._head(reply.status, {**reply.headers, **length})
        first = reply.body[:BLOCK_BYTES]
        # Counted first: who has the answer in hand may ask for the count at once.
        self.arrival.sent_bytes += len(first)
        await self.send_raw(head + first)
        await self.send(reply.body[BLOCK_BYTES:])

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of a response whose body follows by `send`; the connection ends with it."""
        self.again = False
        await self.send_raw(self._head(status, {"Connection": "close", **headers}))

    async def send(self, piece: bytes) -> None:
        """Returns when the kernel has the bytes; raises ClientGone where nobody takes them."""
        for at in range(0, len(piece), BLOCK_BYTES):
            block = piece[at : at + BLOCK_BYTES]
            await self.send_raw(block)
            self.arrival.sent_bytes += len(block)

    async def send_raw(self, piece: bytes) -> None:
        if self.writer.transport.is_closing():
            raise ClientGone
        self.writer.write(piece)
        await self.writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait; raises ClientGone as soon as the client hangs up."""
        try:
            await asyncio.wait_for(self.until_gone(), seconds)
        except TimeoutError:
            return
        raise ClientGone

    async def until_gone(self) -> None:
        """Wait for as long as the client does; what it still sends is thrown away."""
        while await self.reader.read(BLOCK_BYTES):
            pass

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.again = False
        bare: socket.socket = self.writer.get_extra_info("socket")
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Send FIN, and leave the other direction open."""
        self.again = False
        self.writer.write_eof()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.arrival.status = status
        reason = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _pieces(self, stop_after: int | None) -> AsyncIterator[bytes]:
        headers = self.arrival.headers
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
                raise ClientGone
            length -= len(piece)
            yield piece

    async def _chunk_length(self) -> int:
        line = await self.reader.readline()
        if not line:
            raise ClientGone
        try:
            return int(line.split(b";")[0], 16)
        except ValueError as error:
            raise Malformed("a chunk without its length") from error
