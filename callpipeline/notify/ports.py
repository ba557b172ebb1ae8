"""The port to notification channels, and the message that crosses it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from callpipeline.domain.notifications import EventKind, NotificationChannel, Severity

MAX_ERROR_CHARS = 500
COLOURS = {
    Severity.INFO: "#17a2b8",
    Severity.WARNING: "#ffc107",
    Severity.ERROR: "#dc3545",
    Severity.CRITICAL: "#721c24",
}


@dataclass(frozen=True, slots=True)
class CallLink:
    """A call that a message is about: its ID, the name of its recording and its page."""

    call_id: str
    filename: str
    link: str


@dataclass(frozen=True, slots=True)
class NotificationMessage:
    """One message about one or many events; its ID stays the same across delivery attempts.

    `context` is one or two lines: how often, since when, and what to do. `calls` holds the first
    of `call_count`. `first_receipt` and `first_id` identify the first message of the thread, and
    are None for that one. `is_news` marks a message worth showing outside its thread. Times are
    timezone-aware.
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
    calls: tuple[CallLink, ...] = ()
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
        """Return the page of the call, or of the first of several."""
        return self.calls[0].link if self.calls else None

    def to_contract(self) -> dict[str, Any]:
        """Return the JSON document of the existing webhook contract.

        Fields that the contract lacks go into `metadata`.
        """
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


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """A receiver's acceptance of a message: a short `code` and the full `answer`.

    `remote_id` is the receiver's own ID of the message, which threads refer to. `is_partial` is
    set when some of several recipients were refused.
    """

    code: str
    answer: str
    remote_id: str | None = None
    is_partial: bool = False


class Notifier(Protocol):
    """Delivers messages to one channel."""

    @property
    def channel(self) -> NotificationChannel: ...

    @property
    def destination(self) -> str:
        """Describe where messages go, without secrets."""
        ...

    @property
    def destination_hash(self) -> str:
        """Return a hash of the destination; it changes when the destination does."""
        ...

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        """Deliver the message once.

        Raises DeliveryRefused, or ReceiverGone if the receiver wants no more messages.
        """
        ...


def truncate(text: str, limit: int) -> str:
    """Cut the text to at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def single_line(text: str) -> str:
    """Replace line breaks and control characters with spaces, to protect headers and terminals."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())


def hash_address(address: str) -> str:
    """Return an identifier of the address that doesn't reveal it."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]
