"""Connections to allowed IP addresses only, with a deadline.

A host name is resolved once. A second lookup when connecting could return an address that was
never checked (DNS rebinding).
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpcore

from callpipeline.domain.egress import EgressPolicy, HttpAddress
from callpipeline.errors import DownloadFailed, DownloadRefused

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the IP addresses of a host. Raises OSError."""


class DeadlineExceeded(Exception):
    """The total time limit of a download has passed."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time of `clock`, in seconds, after which every wait ends."""

    at: float
    clock: Callable[[], float]

    def remaining_s(self, max_s: float | None) -> float:
        """Return the remaining time, at most `max_s`. Raises DeadlineExceeded."""
        remaining_s = self.at - self.clock()
        if remaining_s <= 0:
            raise DeadlineExceeded
        return remaining_s if max_s is None else min(remaining_s, max_s)


def resolve_host(host: str, port: int) -> list[str]:
    """Resolve a host name by DNS and the hosts file."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def resolve_allowed(address: HttpAddress, policy: EgressPolicy, resolve: Resolver) -> list[str]:
    """Return the IP addresses of a host. Raises DownloadRefused if any of them is not allowed."""
    literal = address.ip
    try:
        resolved = [str(literal)] if literal else list(resolve(address.host, address.port))
    except (OSError, UnicodeError):
        resolved = []
    if not resolved:
        raise DownloadFailed(
            "The host name of the announced recording could not be resolved: check the name, and "
            "the DNS settings of this machine."
        )
    if not all(policy.allows(address.host, ip_address(each)) for each in resolved):
        raise DownloadRefused(
            "The announced URL points to this machine or a private network, from which recordings "
            "are not downloaded. To allow it, the operator can add its host to "
            "CALLPIPELINE_FETCH_ALLOW."
        )
    return resolved


class PinnedBackend(httpcore.NetworkBackend):
    """Network backend that connects to one of `addresses`, whatever the host name."""

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
                    address, port, timeout=self._deadline.remaining_s(timeout)
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure or httpcore.ConnectError("no address")

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise NotImplementedError


class _DeadlineStream(httpcore.NetworkStream):
    """Network stream with a deadline, against peers that send a byte now and then."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.remaining_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.remaining_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        remaining_s = self._deadline.remaining_s(timeout)  # for the whole handshake
        encrypted = self._stream.start_tls(ssl_context, server_hostname, remaining_s)
        return _DeadlineStream(encrypted, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
