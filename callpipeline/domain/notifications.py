"""Notifications: events, severities, and the rules that route them to channels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo


class Severity(StrEnum):
    """Urgency of a notification."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return the rank, from 1 (info) to 4 (critical)."""
        return list(Severity).index(self) + 1


class NotificationChannel(StrEnum):
    """A notification channel; audio channels are `domain.audio.Channel`."""

    EMAIL = "email"
    SLACK = "slack"
    WEBHOOK = "webhook"


class EventKind(StrEnum):
    """The kind of an event; `custom` events come from API clients."""

    CALL_FAILED = "call_failed"
    CALL_COMPLETED = "call_completed"
    ENGINE_DOWN = "engine_down"
    SENSOR_FAILING = "sensor_failing"
    INGESTION_QUIET = "ingestion_quiet"
    MENTIONS_UNJUDGED = "mentions_unjudged"
    CHECK_FAILED = "check_failed"
    CATALOG_REFUSED = "catalog_refused"
    RUN_FAILED = "run_failed"
    DAILY_DIGEST = "daily_digest"
    CONTENT_ALERT = "content_alert"
    WEEKLY_REPORT = "weekly_report"
    CUSTOM = "custom"

    @property
    def is_opt_in(self) -> bool:
        """Return true if it needs a rule to be sent: it occurs as often as calls."""
        return self is EventKind.CALL_COMPLETED


class AlertKind(StrEnum):
    """Subject of an alert rule, in completed calls.

    `spike` watches the mentions of a competitor, `sentiment` what customers say against it,
    `leaving` customers who say that they leave for it, `new_competitor` names never heard before.
    """

    SPIKE = "spike"
    SENTIMENT = "sentiment"
    LEAVING = "leaving"
    NEW_COMPETITOR = "new_competitor"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A condition on the calls of the last `days` days, today included, and whom to notify.

    `threshold` is in mentions per 100 completed calls: the rise over as many days before for
    `spike` and `sentiment`, the rate itself for the other kinds. Nothing is reported of fewer than
    `min_calls` completed calls. `competitor` None means any, no `channels` those of the routing.
    `rule_id` is None before the rule is stored.
    """

    kind: AlertKind
    threshold: float = 5.0
    days: int = 7
    min_calls: int = 30
    competitor: str | None = None
    channels: tuple[NotificationChannel, ...] = ()
    has_quotes: bool = False
    is_enabled: bool = True
    rule_id: int | None = None
    made_by: str | None = None
    made_at: datetime | None = None

    @property
    def repeats_after_days(self) -> int | None:
        """Return after how many days a finding is reported again; None is never."""
        return self.days if self.kind in (AlertKind.SPIKE, AlertKind.SENTIMENT) else None


WIRE_TYPES = {
    EventKind.CALL_FAILED: "job_failed",
    EventKind.CALL_COMPLETED: "job_completed",
    EventKind.DAILY_DIGEST: "custom",
    EventKind.CONTENT_ALERT: "custom",
    EventKind.WEEKLY_REPORT: "custom",
    EventKind.CUSTOM: "custom",
}
"""`type` in the existing webhook contract; all other kinds are `system_error`."""


def wire_type(kind: EventKind, metadata: Mapping[str, Any]) -> str:
    """Return the contract's `type` of an event; API clients may set their own."""
    return str(metadata.get("type") or WIRE_TYPES.get(kind, "system_error"))


@dataclass(frozen=True, slots=True)
class NotificationEvent:
    """An event to notify people of.

    Events with the same `group_key` are grouped; None is a group of its own. `subject` identifies
    the event where it must not be sent twice. `recovers` requests a message when the problem is
    over. `channels` overrides the routing rules.
    """

    kind: EventKind
    severity: Severity
    title: str
    message: str = ""
    group_key: str | None = None
    subject: str | None = None
    recovers: bool = False
    call_id: str | None = None
    run_id: str | None = None
    stage: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    channels: tuple[NotificationChannel, ...] | None = None


Rules = Mapping[EventKind, Collection[NotificationChannel]]


@dataclass(frozen=True, slots=True)
class Routing:
    """Rules that map event kinds to the configured channels."""

    configured: frozenset[NotificationChannel]
    rules: Rules = field(default_factory=dict[EventKind, Collection[NotificationChannel]])

    def channels(self, kind: EventKind) -> list[NotificationChannel]:
        """Return the channels of the kind's rule; without a rule, all configured ones."""
        wanted = self.rules.get(kind, () if kind.is_opt_in else self.configured)
        return sorted(set(wanted) & self.configured)

    @property
    def notifies_completed(self) -> bool:
        """Return true if some channel receives completed calls."""
        return bool(self.channels(EventKind.CALL_COMPLETED))


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours in which only critical events are sent; others wait until the end."""

    begin: time
    end: time
    zone: ZoneInfo

    def ends_at(self, at: datetime) -> datetime | None:
        """Return the end of the quiet hours that contain `at`; None outside them."""
        local = at.astimezone(self.zone)
        now, over_midnight = local.time(), self.begin > self.end
        is_inside = (
            now >= self.begin or now < self.end if over_midnight else self.begin <= now < self.end
        )
        if not is_inside:
            return None
        tomorrow = over_midnight and now >= self.begin
        day = local.date() + timedelta(days=1) if tomorrow else local.date()
        return datetime.combine(day, self.end, self.zone)


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """Timing of notifications: immediate, but at most one per group in `window_s`.

    Only `quote_channels` receive words of calls.
    """

    routing: Routing
    window_s: float = 600.0
    quiet: QuietHours | None = None
    digest_at: time | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    quote_channels: frozenset[NotificationChannel] = frozenset()

    def quiet_until(self, now: datetime) -> datetime | None:
        """Return the end of the current quiet hours; None outside them."""
        return self.quiet.ends_at(now) if self.quiet else None
