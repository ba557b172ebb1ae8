"""What people are told: events, how grave they are, and the rules that say where each goes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """1 for info to 4 for critical."""
        return list(Severity).index(self) + 1


class NotificationChannel(StrEnum):
    """A way to people. Not a channel of audio, which is `domain.audio.Channel`."""

    EMAIL = "email"
    SLACK = "slack"
    WEBHOOK = "webhook"


class EventKind(StrEnum):
    """What happened. `custom` is what somebody else wants to be told."""

    CALL_FAILED = "call_failed"
    CALL_COMPLETED = "call_completed"
    ENGINE_DOWN = "engine_down"
    SENSOR_FAILING = "sensor_failing"
    INGESTION_QUIET = "ingestion_quiet"
    MENTIONS_UNJUDGED = "mentions_unjudged"
    CHECK_FAILED = "check_failed"
    RUN_FAILED = "run_failed"
    DAILY_DIGEST = "daily_digest"
    CUSTOM = "custom"

    @property
    def is_asked_for(self) -> bool:
        """Whether it goes nowhere unless a rule says so: it is as frequent as calls are."""
        return self is EventKind.CALL_COMPLETED


WIRE_TYPES = {
    EventKind.CALL_FAILED: "job_failed",
    EventKind.CALL_COMPLETED: "job_completed",
    EventKind.DAILY_DIGEST: "custom",
    EventKind.CUSTOM: "custom",
}
"""`type` of the notifications that the old system's receivers know; all others: system_error."""


def wire_type(kind: EventKind, metadata: Mapping[str, Any]) -> str:
    """The `type` by which receivers know an event; what was asked for through the API keeps its."""
    return str(metadata.get("type") or WIRE_TYPES.get(kind, "system_error"))


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event to be told. Events of one `group_key` are told together; None is a group of its own.

    `subject` names what happened where it must not be told twice. With `recovers`, people are told
    when it is over. `channels` overrides the rules.
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
    metadata: Mapping[str, Any] = field(default_factory=dict)
    channels: tuple[NotificationChannel, ...] | None = None


Rules = Mapping[EventKind, Collection[NotificationChannel]]


@dataclass(frozen=True, slots=True)
class Routing:
    """Which event goes to which of the channels that are set up."""

    configured: frozenset[NotificationChannel]
    rules: Rules = field(default_factory=dict)

    def channels(self, kind: EventKind) -> list[NotificationChannel]:
        """Those of its rule; without one, all that are set up."""
        asked = self.rules.get(kind, () if kind.is_asked_for else self.configured)
        return sorted(set(asked) & self.configured)

    @property
    def tells_completed(self) -> bool:
        """Whether anybody wants to hear of calls that went well."""
        return bool(self.channels(EventKind.CALL_COMPLETED))


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours in which only what is critical is told; the rest waits for their end."""

    begin: time
    end: time
    zone: ZoneInfo

    def ends_at(self, at: datetime) -> datetime | None:
        """When the quiet hours end that `at` lies in; None outside of them."""
        here = at.astimezone(self.zone)
        now, over_midnight = here.time(), self.begin > self.end
        is_inside = (
            now >= self.begin or now < self.end if over_midnight else self.begin <= now < self.end
        )
        if not is_inside:
            return None
        tomorrow = over_midnight and now >= self.begin
        day = here.date() + timedelta(days=1) if tomorrow else here.date()
        return datetime.combine(day, self.end, self.zone)


@dataclass(frozen=True, slots=True)
class Policy:
    """When people are told: at once, but of one group once in `window_s` seconds."""

    routing: Routing
    window_s: float = 600.0
    quiet: QuietHours | None = None
    digest_at: time | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def held_until(self, now: datetime) -> datetime | None:
        """Until when only what is critical is told; None where all is."""
        return self.quiet.ends_at(now) if self.quiet else None
