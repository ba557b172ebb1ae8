"""Connections to addresses that were checked, and to no others, until a deadline.

A name is resolved once. Whoever resolved it a second time to connect would ask a server that may
answer otherwise by then, with an address that was never checked.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpcore

from callpipeline.domain.reach import Reach
from callpipeline.domain.web_address import Address
from callpipeline.errors import DownloadFailed, DownloadRefused

Resolver = Callable[[str, int], Sequence[str]]
"""The addresses of IP that a host's name has, as text. Raises OSError."""


class OutOfTime(Exception):
    """The whole time that a download may take is over."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of `clock`, in seconds, after which nothing is waited for."""

    at: float
    clock: Callable[[], float]

    def left(self, most_s: float | None) -> float:
        """How long to wait for one thing at most. Raises OutOfTime."""
        left_s = self.at - self.clock()
        if left_s <= 0:
            raise OutOfTime
        return left_s if most_s is None else min(left_s, most_s)


def resolved(host: str, port: int) -> list[str]:
    """What DNS, and the machine's own list of hosts, say of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def checked(address: Address, reach: Reach, resolve: Resolver) -> list[str]:
    """Where a host is. Raises DownloadRefused where any of its addresses may not be asked."""
    literal = address.ip
    try:
        found = [str(literal)] if literal else list(resolve(address.host, address.port))
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise DownloadFailed(
            "The host of the announced recording is not known to DNS: if its name is right, look "
            "at the name service of this machine."
        )
    if not all(reach.allows(address.host, ip_address(each)) for each in found):
        raise DownloadRefused(
            "The announced address leads to this machine or a private network, from which no "
            "recording is fetched. If it is to be, let the operator name its host in "
            "CALLPIPELINE_FETCH_ALLOW, and try again."
        )
    return found


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to one of `addresses`, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in self._addresses:
            try:
                stream = self._sockets.connect_tcp(
                    address, port, timeout=self._deadline.left(timeout)
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _Timely(stream, self._deadline)
        raise failure or httpcore.ConnectError("no address")

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise NotImplementedError


class _Timely(httpcore.NetworkStream):
    """A connection on which a peer that sends a byte now and then gets no more than its time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left(timeout)  # of the handshake as a whole
        encrypted = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _Timely(encrypted, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
