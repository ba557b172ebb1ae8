"""Recorded requests with their connection, form and files, and counts of concurrent ones."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RecordedUpload:
    """File of a form. Its bytes are hashed; `content` only holds short JSON."""

    field: str
    name: str
    content_type: str
    size_bytes: int = 0
    sha256: str = ""
    content: bytes = b""


@dataclass
class RecordedRequest:
    """Request. `body_bytes` and `sent_bytes` grow until it ends, when `ended_s` is set.

    Times are `time.monotonic()`. `in_flight` counts the concurrent requests of its service when it
    arrived, including itself. `fault` is the name of the fault applied to it. `body_read` is false
    if the client disconnected, or the fault was triggered, before the end of the body.
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
    files: list[RecordedUpload] = field(default_factory=list)
    json: Any = None
    body_bytes: int = 0
    body_read: bool = False
    malformed: str | None = None
    fault: str | None = None
    status: int | None = None
    sent_bytes: int = 0

    @property
    def form(self) -> dict[str, str]:
        """Return the fields by name; of a repeated field only the last (`values` returns all)."""
        return dict(self.fields)

    def values(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name == name]

    @property
    def file(self) -> RecordedUpload:
        """Return the only file."""
        [file] = self.files
        return file

    @property
    def token(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None


class RequestLog:
    """Thread-safe log of all requests, written by the server and read by the test."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[RecordedRequest] = []
        self._inside: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._hung: Counter[str] = Counter()

    def enter(self, request: RecordedRequest) -> None:
        with self._changed:
            self._requests.append(request)
            self._inside[request.service] += 1
            request.in_flight = self._inside[request.service]
            self._peaks[request.service] = max(self._peaks[request.service], request.in_flight)
            self._changed.notify_all()

    def leave(self, request: RecordedRequest) -> None:
        with self._changed:
            request.ended_s = time.monotonic()
            self._inside[request.service] -= 1
            self._changed.notify_all()

    def hung(self, service: str) -> None:
        """Count a client with a hanging connection."""
        with self._changed:
            self._hung[service] += 1
            self._changed.notify_all()

    def requests(self, service: str | None = None) -> list[RecordedRequest]:
        with self._changed:
            return [a for a in self._requests if service in (None, a.service)]

    def attempts(self, service: str) -> int:
        """Count the requests and the hanging connections."""
        return len(self.requests(service)) + self._hung[service]

    def peak(self, service: str) -> int:
        return self._peaks[service]

    def connections(self, service: str) -> int:
        return len({request.connection for request in self.requests(service)})

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until all requests have ended; the server detects a disconnect with a delay."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._inside.values()), timeout_s)

    def wait_attempts(self, service: str, number: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.attempts(service) >= number, timeout_s)

    def stats(self) -> dict[str, dict[str, int]]:
        """Return counts by service."""
        names = sorted({request.service for request in self.requests()} | set(self._hung))
        return {name: self._stats_of(name) for name in names}

    def _stats_of(self, service: str) -> dict[str, int]:
        requests = self.requests(service)
        return {
            "requests": len(requests),
            "attempts": self.attempts(service),
            "faults": sum(request.fault is not None for request in requests),
            "refused": sum((request.status or 0) >= 400 for request in requests),
            "peak": self.peak(service),
            "connections": self.connections(service),
            "received_bytes": sum(request.body_bytes for request in requests),
            "sent_bytes": sum(request.sent_bytes for request in requests),
        }
