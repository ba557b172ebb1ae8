"""Port that can listen, refuse connections, or leave them hanging."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

HOST = "127.0.0.1"
SYN_SENT = "02"
CONNECTIONS = Path("/proc/net/tcp")
SEND_BUFFER_BYTES = 1 << 16
"""Small, so that the bytes sent are close to the bytes that the client read."""

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Port:
    """Port of the server, with a number that stays reserved while it doesn't listen.

    Call its methods on the server's event loop.
    """

    def __init__(self, converse: OnConnection) -> None:
        self._converse = converse
        self._server: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._watch: asyncio.Task[None] | None = None
        # Bound but never listening, so that no other process gets the number.
        self._holder = _bound(0)
        self.number: int = self._holder.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.number}"

    async def listen(self) -> None:
        """Accept connections, unless it already does."""
        if self._server:
            return
        await self.refuse()
        listening = _bound(self.number)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._server = await asyncio.start_server(self._converse, sock=listening, backlog=1024)

    async def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._watch:
            self._watch.cancel()
        if self._server:
            self._server.close()
        for filler in self._full:
            filler.close()
        self._server, self._full, self._watch = None, [], None

    async def hang(self, times: int | None, hung: Callable[[], None]) -> None:
        """Leave new connections hanging by filling the accept queue; call `hung` for each.

        The port listens again after `times` connections (None: never). The last one then connects
        after a second, when its kernel retries, so clients need a timeout below that.
        """
        await self.refuse()
        listening = _bound(self.number)
        listening.listen(0)
        self._full = [listening]
        own = set()
        while await self._fill():
            own.add(self._full[-1].getsockname()[1])
        self._watch = asyncio.get_running_loop().create_task(self._count_hung(times, hung))

    async def close(self) -> None:
        await self.refuse()
        self._holder.close()

    async def _fill(self) -> bool:
        """Fill one more slot of the queue; return False if there is none."""
        filler = socket.socket()
        filler.setblocking(False)
        try:
            connecting = asyncio.get_running_loop().sock_connect(filler, (HOST, self.number))
            await asyncio.wait_for(connecting, 0.02)
        except TimeoutError:
            if not _is_connected(filler):  # else this process was slow, and not the queue full
                filler.close()
                return False
        self._full.append(filler)
        return True

    async def _count_hung(self, times: int | None, hung: Callable[[], None]) -> None:
        """Count the waiting clients."""
        seen: set[str] = set()
        while True:
            waiting = self._waiting()
            for _ in waiting - seen:
                hung()
            seen |= waiting
            if times is not None and len(seen) >= times:
                self._watch = None
                await self.listen()
                return
            await asyncio.sleep(0.005)

    def _waiting(self) -> set[str]:
        """Return the local addresses of the sockets that are connecting to this port."""
        here = f"0100007F:{self.number:04X}"
        with contextlib.suppress(OSError):
            rows = [line.split() for line in CONNECTIONS.read_text().splitlines()]
            return {row[1] for row in rows if row[2] == here and row[3] == SYN_SENT}
        return set()


def _is_connected(filler: socket.socket) -> bool:
    try:
        filler.getpeername()
    except OSError:
        return False
    return True


def _bound(number: int) -> socket.socket:
    # With an explicit protocol: only then does asyncio turn off Nagle's delay (40 ms a response).
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, number))
    bound.setblocking(False)
    return bound
