"""Messages of the outbox as values: what they say, who delivers them, and what came of a try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callpipeline.domain.notification import EventKind, NotificationChannel, Severity
from callpipeline.storage.database import Row


@dataclass(frozen=True, slots=True)
class Lease:
    """A message that this process delivers; `tries` counts from when it was last asked for."""

    notification_id: str
    attempts: int
    tries: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event as a message tells it; `key` is that of the call's recording."""

    event_id: str
    kind: EventKind
    severity: Severity
    title: str
    message: str
    call_id: str | None
    key: str | None
    run_id: str | None
    stage: str | None
    error_class: str | None
    error_message: str | None
    metadata: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. `events` are the first MOST_EVENTS of `count`, the last at `last_at`.

    `first_receipt` and `first_id` are those of the first message of its incident to its channel;
    None for that one itself. `passed_at` is when the incident was seen to be over.
    """

    notification_id: str
    channel: NotificationChannel
    part: str
    created_at: datetime
    incident_id: int
    kind: EventKind
    stage: str | None
    recovers: bool
    opened_at: datetime
    events: tuple[Told, ...]
    count: int
    last_at: datetime
    severity: Severity
    events_in_all: int
    calls_in_all: int
    calls_still_failed: int
    passed_at: datetime | None
    first_receipt: str | None
    first_id: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: an answer, and when it is tried again; None is never.

    `asked_until` is until when the receiver wants to be left alone.
    """

    lease: Lease
    at: datetime
    took_s: float
    accepted: bool
    code: str
    answer: str
    again_at: datetime | None = None
    asked_until: datetime | None = None
    receipt: str | None = None


def content_of(about: Row, events: Sequence[Row]) -> Content:
    """The content of a message, from the rows of `outbox/content` and `outbox/events`."""
    own = ("notification_id", "part", "created_at")
    of_incident = ("incident_id", "stage", "recovers", "opened_at")
    kept = (
        *own,
        *of_incident,
        "events_in_all",
        "calls_in_all",
        "calls_still_failed",
        "first_receipt",
        "first_id",
    )
    last = events[0] if events else {"events": 0, "last_at": about["last_event_at"], "rank": 1}
    return Content(
        **{name: about[name] for name in kept},
        channel=NotificationChannel(about["channel"]),
        kind=EventKind(about["kind"]),
        events=tuple(map(_told, events)),
        count=last["events"],
        last_at=last["last_at"],
        severity=list(Severity)[last["rank"] - 1],
        passed_at=about["cleared_at"],
    )


def _told(row: Row) -> Told:
    own: Row = {name: row[name] for name in Told.__dataclass_fields__}
    own |= {"kind": EventKind(row["kind"]), "severity": Severity(row["severity"])}
    return Told(**own)
