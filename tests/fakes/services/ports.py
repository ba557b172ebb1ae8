"""A port that can listen, refuse, or leave clients hanging in their connect."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

HOST = "127.0.0.1"
SYN_SENT = "02"
CONNECTIONS = Path("/proc/net/tcp")
SEND_BUFFER_BYTES = 1 << 16
"""Small, so that what was sent is close to what the client took."""

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Port:
    """One address of the server. It keeps its number while nobody listens on it.

    Its methods belong to the server's loop.
    """

    def __init__(self, converse: OnConnection) -> None:
        self._converse = converse
        self._server: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._watch: asyncio.Task[None] | None = None
        # Bound and never listening: no other process gets the number meanwhile.
        self._holder = _bound(0)
        self.number: int = self._holder.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.number}"

    async def listen(self) -> None:
        """Take connections; one that does already is left alone, with those who wait there."""
        if self._server:
            return
        await self.refuse()
        listening = _bound(self.number)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._server = await asyncio.start_server(self._converse, sock=listening, backlog=1024)

    async def refuse(self) -> None:
        """Every connect is refused from now on; connections that stand are left alone."""
        if self._watch:
            self._watch.cancel()
        if self._server:
            self._server.close()
        for filler in self._full:
            filler.close()
        self._server, self._full, self._watch = None, [], None

    async def hang(self, times: int | None, hung: Callable[[], None]) -> None:
        """No connect is answered: the queue of those that wait to be taken is full.

        Each that waits is told to `hung`. Listens again as soon as so many `times` have been
        seen (never by itself where None): the last of them goes on waiting for a second, which
        is when its kernel asks anew, so clients need a limit below that.
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
        """Take one more place in the queue; False once there is none."""
        filler = socket.socket()
        filler.setblocking(False)
        try:
            connecting = asyncio.get_running_loop().sock_connect(filler, (HOST, self.number))
            await asyncio.wait_for(connecting, 0.02)
        except TimeoutError:
            filler.close()
            return False
        self._full.append(filler)
        return True

    async def _count_hung(self, times: int | None, hung: Callable[[], None]) -> None:
        """Notes each client that waits; a refused connect leaves no trace to be counted by."""
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
        """The local addresses of the sockets that have asked this port for a connection."""
        here = f"0100007F:{self.number:04X}"
        with contextlib.suppress(OSError):
            rows = [line.split() for line in CONNECTIONS.read_text().splitlines()]
            return {row[1] for row in rows if row[2] == here and row[3] == SYN_SENT}
        return set()


def _bound(number: int) -> socket.socket:
    # The protocol by its number: asyncio turns Nagle's delay (40 ms an answer) off only then.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, number))
    bound.setblocking(False)
    return bound
