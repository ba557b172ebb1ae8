"""What a notification says, before it is dressed for a channel."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callpipeline.domain.notification import EventKind, Severity

LONGEST_ERROR = 500
COLOURS = {
    Severity.INFO: "#17a2b8",
    Severity.WARNING: "#ffc107",
    Severity.ERROR: "#dc3545",
    Severity.CRITICAL: "#721c24",
}


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call that a message is about, with the name of its recording and its page."""

    call_id: str
    filename: str
    link: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, of one or many events. Its id is the same at every try to deliver it.

    `context` are one or two lines on how often, since when, and what to do. `calls` are the first
    of `call_count`. `first_receipt` and `first_id` name the first message of the same thread, None
    for that one. `is_news` is what a person wants to see who looks no more into the thread. Times
    carry their zone.
    """

    notification_id: str
    thread_id: str
    kind: EventKind
    type: str
    severity: Severity
    title: str
    context: tuple[str, ...]
    at: datetime
    message: str = ""
    calls: tuple[CallLine, ...] = ()
    call_count: int = 0
    stage: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    is_recovery: bool = False
    is_news: bool = True
    first_receipt: str | None = None
    first_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def call_link(self) -> str | None:
        """The page of the call, where it is about one or begins with one."""
        return self.calls[0].link if self.calls else None

    def as_contract(self) -> dict[str, Any]:
        """The JSON document that receivers of the old system know; ours adds in `metadata`."""
        first = self.calls[0] if self.calls else None
        return {
            "type": self.type,
            "severity": self.severity.value,
            "title": self.title,
            "message": "\n".join(filter(None, (self.message, *self.context))),
            "job_id": first.call_id if first else self.metadata.get("job_id"),
            "job_filename": first.filename if first else self.metadata.get("job_filename"),
            "error_message": self.error_message,
            "stack_trace": self.stack_trace,
            "metadata": dict(self.metadata),
            "timestamp": self.at.isoformat(),
        }


def shortened(text: str, limit: int) -> str:
    """The text, cut so that it has `limit` characters at most."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str) -> str:
    """Without line ends and other characters that command a header or a terminal."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.split())


def hashed(address: str) -> str:
    """A name of an address that does not tell it."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]
