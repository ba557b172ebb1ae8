"""Outbox events, the notifications made of them, and their deliveries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from callpipeline.domain.notifications import (
    AlertRule,
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Severity,
)


@dataclass(frozen=True, slots=True)
class DeliveryLease:
    """A notification leased for delivery; `tries` counts attempts since it was last requested."""

    notification_id: str
    attempts: int
    tries: int


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event of a notification; `key` is the object key of the call's recording."""

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
class NotificationContent:
    """The events and context of one notification.

    `events` are the oldest of `count`, the newest happened at `last_at`. `first_receipt` and
    `first_id` identify the first notification of the same incident on this channel, None for the
    first one itself. `passed_at` is the time at which the incident was found to be over.
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
    events: tuple[OutboxEvent, ...]
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
class DeliveryOutcome:
    """The result of one delivery attempt; without `retry_at` there is no further attempt.

    `asked_until` is the end of the pause that the receiver requested.
    """

    lease: DeliveryLease
    at: datetime
    took_s: float
    accepted: bool
    code: str
    answer: str
    retry_at: datetime | None = None
    asked_until: datetime | None = None
    receipt: str | None = None


class OutboxStore(Protocol):
    """The outbox: events in, notifications out."""

    def add(self, occurrence: NotificationEvent, at: datetime | None = None) -> str | None:
        """Add an event and return its id; None if its subject is already recorded."""
        ...

    def report(self, occurrence: NotificationEvent, at: datetime | None = None) -> bool:
        """Add an event unless its group is open; return whether it was added."""
        ...

    def open_groups(self, kind: EventKind) -> set[str]: ...

    def clear(self, group_keys: Collection[str], now: datetime) -> None: ...

    def create_notifications(
        self, policy: NotificationPolicy, now: datetime, working: Collection[NotificationChannel]
    ) -> None: ...

    def lease(self, channel: NotificationChannel, now: datetime) -> DeliveryLease | None: ...

    def content(self, notification_id: str) -> NotificationContent: ...

    def record(self, outcome: DeliveryOutcome) -> None: ...

    def retry_now(self, channel: NotificationChannel, now: datetime) -> None: ...

    def unsubscribe(
        self, channel: NotificationChannel, address: str, answer: str, now: datetime
    ) -> None: ...

    def unsubscribed(self) -> Mapping[NotificationChannel, Mapping[str, Any]]: ...


class AlertRuleStore(Protocol):
    """Rules of alerts on what is said in calls."""

    def due(self, now: datetime, every_s: float) -> Sequence[AlertRule]:
        """Take the rules to check now: each once in `every_s` seconds, by one process."""
        ...

    def report(self, rule: AlertRule, found: NotificationEvent, now: datetime) -> bool:
        """Add what a rule found to the outbox, unless its subject was reported lately."""
        ...


class NotificationLog(Protocol):
    """Notifications that were created, with their state."""

    def of_event(self, event_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the notifications of an event: `channel`, `state`, and the last `answer`."""
        ...
