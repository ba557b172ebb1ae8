"""What came in: every request with its connection, form and files, and how many were inside."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Upload:
    """One file of a form. Its bytes are hashed as they come; `kept` holds only short JSON."""

    field: str
    name: str
    content_type: str
    size_bytes: int = 0
    sha256: str = ""
    kept: bytes = b""


@dataclass
class Arrival:
    """One request. `body_bytes` and `sent_bytes` grow while it lasts; `ended_s` is set after it.

    Times are `time.monotonic()`. `in_flight` counts the requests of its service that were inside
    when it came, itself included. `fault` names what was done to it, if anything. `body_read` is
    false where the client went away, or the fault struck, before the whole body had come.
    """

    service: str
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    connection: int
    query: str = ""
    arrived_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None
    in_flight: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[Upload] = field(default_factory=list)
    json: Any = None
    body_bytes: int = 0
    body_read: bool = False
    malformed: str | None = None
    fault: str | None = None
    status: int | None = None
    sent_bytes: int = 0

    @property
    def form(self) -> dict[str, str]:
        """The fields by name; the last of a name that stands twice (`values` has all)."""
        return dict(self.fields)

    def values(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name == name]

    @property
    def file(self) -> Upload:
        """The only file."""
        [file] = self.files
        return file

    @property
    def token(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None


class Log:
    """All arrivals, written by the server's thread and read by the test's."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrivals: list[Arrival] = []
        self._inside: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._hung: Counter[str] = Counter()

    def enter(self, arrival: Arrival) -> None:
        with self._changed:
            self._arrivals.append(arrival)
            self._inside[arrival.service] += 1
            arrival.in_flight = self._inside[arrival.service]
            self._peaks[arrival.service] = max(self._peaks[arrival.service], arrival.in_flight)
            self._changed.notify_all()

    def leave(self, arrival: Arrival) -> None:
        with self._changed:
            arrival.ended_s = time.monotonic()
            self._inside[arrival.service] -= 1
            self._changed.notify_all()

    def hung(self, service: str) -> None:
        """One more client waits for a connection that will not come."""
        with self._changed:
            self._hung[service] += 1
            self._changed.notify_all()

    def requests(self, service: str | None = None) -> list[Arrival]:
        with self._changed:
            return [a for a in self._arrivals if service in (None, a.service)]

    def attempts(self, service: str) -> int:
        """Requests, and connections that were tried in vain while nobody took them."""
        return len(self.requests(service)) + self._hung[service]

    def peak(self, service: str) -> int:
        return self._peaks[service]

    def connections(self, service: str) -> int:
        return len({arrival.connection for arrival in self.requests(service)})

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether every request has ended, for the server notices a client's leaving a bit late."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._inside.values()), timeout_s)

    def wait_attempts(self, service: str, number: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.attempts(service) >= number, timeout_s)

    def stats(self) -> dict[str, dict[str, int]]:
        """Counts by service, for whoever asks over HTTP."""
        names = sorted({arrival.service for arrival in self.requests()} | set(self._hung))
        return {name: self._stats_of(name) for name in names}

    def _stats_of(self, service: str) -> dict[str, int]:
        requests = self.requests(service)
        return {
            "requests": len(requests),
            "attempts": self.attempts(service),
            "faults": sum(arrival.fault is not None for arrival in requests),
            "refused": sum((arrival.status or 0) >= 400 for arrival in requests),
            "peak": self.peak(service),
            "connections": self.connections(service),
            "received_bytes": sum(arrival.body_bytes for arrival in requests),
            "sent_bytes": sum(arrival.sent_bytes for arrival in requests),
        }
