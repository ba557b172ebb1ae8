"""Composition of notification messages and their links, as pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.filters import MomentId
from callpipeline.domain.notifications import EventKind, Severity, wire_type
from callpipeline.notify.ports import (
    MAX_ERROR_CHARS,
    CallLink,
    NotificationMessage,
    single_line,
    truncate,
)
from callpipeline.storage.ports.notifications import NotificationContent, OutboxEvent

MAX_ALERTS = 10
MAX_QUOTE = 300
ABOUT_CONTENT = (EventKind.CONTENT_ALERT, EventKind.WEEKLY_REPORT)
CALL_VERBS = {EventKind.CALL_FAILED: "failed", EventKind.CALL_COMPLETED: "completed"}


@dataclass(frozen=True, slots=True)
class Links:
    """Builds links from the base URLs of the web app and of Dagster's UI."""

    app_url: str
    dagster_url: str

    def call(self, call_id: str) -> str:
        """Return the URL of the call's page."""
        return f"{self.app_url}/calls/{call_id}"

    def partition(self, call_id: str, stage: str | None) -> str:
        """Return the URL of the call's partition of the asset at which it failed."""
        asset = "channel_audio" if stage in (None, "run") else stage
        return f"{self.dagster_url}/assets/{asset}?view=partitions&partition={call_id}"

    def page(self, path: str) -> str:
        """Return the URL of a page of the web app."""
        return f"{self.app_url}{path}"

    def run(self, run_id: str) -> str:
        return f"{self.dagster_url}/runs/{run_id}"


def compose(
    content: NotificationContent, links: Links, zone: ZoneInfo, quotes: Sequence[str] = ()
) -> NotificationMessage:
    """Compose the message of a notification; its first most severe event is the lead.

    `quotes` are words of calls, which the channel may receive.
    """
    lead = max(content.events, key=lambda event: event.severity.rank)
    calls = _calls(content, links)
    is_recovery = content.part == "recovery"
    return NotificationMessage(
        notification_id=content.notification_id,
        thread_id=str(content.incident_id),
        kind=lead.kind,
        type=wire_type(lead.kind, lead.metadata),
        severity=Severity.INFO if is_recovery else content.severity,
        title=single_line(_title(content, lead)),
        message="" if is_recovery else _message(content, lead, links, quotes),
        context=tuple(_context(content, lead, zone)),
        at=content.created_at.astimezone(zone),
        calls=calls,
        call_count=_call_count(content),
        stage=content.stage,
        error_class=lead.error_class,
        error_message=None if is_recovery else _error(lead),
        stack_trace=lead.metadata.get("stack_trace"),
        run_id=lead.run_id,
        run_link=links.run(lead.run_id) if lead.run_id else None,
        is_recovery=is_recovery,
        first_receipt=content.first_receipt,
        first_id=content.first_id,
        is_news=content.part != "update" or content.severity is Severity.CRITICAL,
        metadata=_metadata(content, lead, links),
    )


def quoted_moments(content: NotificationContent) -> list[MomentId]:
    """Return the moments whose words the message may quote, oldest event first."""
    alerts = (each for each in content.events if each.kind in ABOUT_CONTENT)
    found = (moment for event in alerts for moment in event.metadata["moments"])
    return [MomentId.parse(each) for each in dict.fromkeys(found)]


def _message(
    content: NotificationContent, lead: OutboxEvent, links: Links, quotes: Sequence[str]
) -> str:
    """Return the text of a message; one about content has each finding, its page, and quotes."""
    if lead.kind not in ABOUT_CONTENT:
        return lead.message
    several = len(content.events) > 1
    parts = [
        "\n".join(
            [
                *([f"{single_line(event.title)}."] if several else []),
                event.message,
                links.page(event.metadata["path"]),
            ]
        )
        for event in content.events[:MAX_ALERTS]
    ]
    if content.count > MAX_ALERTS:
        parts.append(f"And {content.count - MAX_ALERTS:,} more.")
    if quotes:
        parts.append("\n".join(f"“{truncate(single_line(each), MAX_QUOTE)}”" for each in quotes))
    return "\n\n".join(parts)


def _error(event: OutboxEvent) -> str | None:
    return truncate(event.error_message, MAX_ERROR_CHARS) if event.error_message else None


def _calls(content: NotificationContent, links: Links) -> tuple[CallLink, ...]:
    """Return each call once, with the file name of its recording."""
    seen = {event.call_id: event for event in content.events if event.call_id}
    return tuple(
        CallLink(call_id, single_line(PurePosixPath(event.key or "").name), links.call(call_id))
        for call_id, event in seen.items()
    )


def _call_count(content: NotificationContent) -> int:
    """Return the number of calls; if not all events were read, each event counts as one call."""
    shown = len({event.call_id for event in content.events if event.call_id})
    return shown if content.count == len(content.events) or not shown else content.count


def _title(content: NotificationContent, lead: OutboxEvent) -> str:
    if content.part == "recovery":
        return lead.metadata.get("over") or f"{content.stage} works again"
    if lead.kind in CALL_VERBS:
        return _calls_title(content, lead)
    if lead.kind is EventKind.CONTENT_ALERT and content.count > 1:
        return f"{content.count:,} alerts: {lead.title}, …"
    times = sum(event.kind is lead.kind for event in content.events)
    return f"{lead.title} ({times} times)" if times > 1 else lead.title


def _calls_title(content: NotificationContent, lead: OutboxEvent) -> str:
    verb, count = CALL_VERBS[lead.kind], _call_count(content)
    more = " more" if content.part == "update" and content.calls_in_all > count else ""
    calls = f"{count:,}{more} calls" if count != 1 else ("One more call" if more else "A call")
    where = f" at {lead.stage} ({lead.error_class})" if lead.stage else ""
    return f"{calls} {verb}{where}"


def _context(content: NotificationContent, lead: OutboxEvent, zone: ZoneInfo) -> list[str]:
    """Return a line on when it happened, and one on what to do."""
    is_recovery = content.part == "recovery"
    began = content.opened_at if is_recovery else content.events[0].occurred_at
    lines = [_timing(content, began, zone), _advice(content, lead)]
    return [line for line in lines if line]


def _timing(content: NotificationContent, began: datetime, zone: ZoneInfo) -> str:
    start, last = _clock(began, zone), _clock(content.last_at, zone)
    if content.part == "recovery":
        resolved = content.passed_at or content.created_at
        return f"Started at {start}, resolved by {_clock(resolved, zone)}."
    passed = f" Resolved by {_clock(content.passed_at, zone)}." if content.passed_at else ""
    if content.count == 1:
        return f"At {start}.{passed}"
    total = f", {content.events_in_all:,} in total" if content.part == "update" else ""
    return f"{content.count:,} since {start}, the last at {last}{total}.{passed}"


def _advice(content: NotificationContent, lead: OutboxEvent) -> str:
    retry = f"`callpipeline retry --failed --class {lead.error_class}`"
    if content.part == "recovery" and content.stage:
        left = content.calls_still_failed
        if not left:
            return "No calls are failing any more."
        if left == 1:
            return f"One call is still FAILED: {retry} retries it."
        return f"{left:,} calls are still FAILED: {retry} retries them."
    if content.part == "recovery" or lead.kind is not EventKind.CALL_FAILED:
        return "" if content.part == "recovery" else str(lead.metadata.get("advice", ""))
    if content.recovers:
        return f"Automatic retries have ended. Once the cause is fixed: {retry}."
    if content.count == 1 and lead.call_id:
        return f"Details: `callpipeline show {lead.call_id}`."
    return f"{retry} retries them once the cause is fixed."


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _metadata(content: NotificationContent, lead: OutboxEvent, links: Links) -> dict[str, object]:
    """Return what the webhook contains beyond the contract: all calls, events, and links."""
    hidden = _ALERT_KEYS if lead.kind in ABOUT_CONTENT else _INTERNAL_KEYS
    own = {name: value for name, value in lead.metadata.items() if name not in hidden}
    fields: dict[str, object] = {
        "event": lead.kind.value,
        "part": content.part,
        "thread": content.incident_id,
        "count": content.count,
        "since": content.events[0].occurred_at.isoformat(),
        "until": content.last_at.isoformat(),
        "stage": content.stage,
        "error_class": lead.error_class,
        "run_id": lead.run_id,
        "run_url": links.run(lead.run_id) if lead.run_id else None,
        "event_ids": [event.event_id for event in content.events],
        "calls": [
            {"job_id": event.call_id, "url": links.call(event.call_id)}
            for event in content.events
            if event.call_id
        ],
    }
    return own | {name: value for name, value in fields.items() if value not in (None, [])}


_INTERNAL_KEYS = frozenset({"over", "advice", "type", "stack_trace"})
_ALERT_KEYS = _INTERNAL_KEYS | {"path", "moments"}
