"""What a notification says of its events: pure, so that the same events give the same words."""

from datetime import datetime
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from callpipeline.domain.notification import EventKind, Severity, wire_type
from callpipeline.notify.message import LONGEST_ERROR, CallLine, Message, one_line, shortened
from callpipeline.pipeline.links import Links
from callpipeline.storage.messages import Content, Told

OF_CALLS = {EventKind.CALL_FAILED: "failed", EventKind.CALL_COMPLETED: "completed"}


def compose(content: Content, links: Links, zone: ZoneInfo) -> Message:
    """The message of a notification, led by the first of its gravest events."""
    lead = max(content.events, key=lambda event: event.severity.rank)
    calls = _calls(content, links)
    is_recovery = content.part == "recovery"
    return Message(
        notification_id=content.notification_id,
        thread_id=str(content.incident_id),
        kind=lead.kind,
        type=wire_type(lead.kind, lead.metadata),
        severity=Severity.INFO if is_recovery else content.severity,
        title=one_line(_title(content, lead)),
        message="" if is_recovery else lead.message,
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


def _error(event: Told) -> str | None:
    return shortened(event.error_message, LONGEST_ERROR) if event.error_message else None


def _calls(content: Content, links: Links) -> tuple[CallLine, ...]:
    """Each call once; a recording is told by the last part of its name."""
    seen = {event.call_id: event for event in content.events if event.call_id}
    return tuple(
        CallLine(call_id, one_line(PurePosixPath(event.key or "").name), links.call(call_id))
        for call_id, event in seen.items()
    )


def _call_count(content: Content) -> int:
    """Of the calls; where there are more events than were read, each is taken for a call."""
    shown = len({event.call_id for event in content.events if event.call_id})
    return shown if content.count == len(content.events) or not shown else content.count


def _title(content: Content, lead: Told) -> str:
    if content.part == "recovery":
        return lead.metadata.get("over") or f"{content.stage} works again"
    if lead.kind in OF_CALLS:
        return _title_of_calls(content, lead)
    times = sum(event.kind is lead.kind for event in content.events)
    return f"{lead.title} ({times} times)" if times > 1 else lead.title


def _title_of_calls(content: Content, lead: Told) -> str:
    done, count = OF_CALLS[lead.kind], _call_count(content)
    more = " more" if content.part == "update" and content.calls_in_all > count else ""
    who = f"{count:,}{more} calls" if count != 1 else ("One more call" if more else "A call")
    where = f" at {lead.stage} ({lead.error_class})" if lead.stage else ""
    return f"{who} {done}{where}"


def _context(content: Content, lead: Told, zone: ZoneInfo) -> list[str]:
    """One line on when, and one on what to do."""
    is_over = content.part == "recovery"
    began = content.opened_at if is_over else content.events[0].occurred_at
    lines = [_since(content, began, zone), _what_to_do(content, lead)]
    return [line for line in lines if line]


def _since(content: Content, began: datetime, zone: ZoneInfo) -> str:
    start, last = _clock(began, zone), _clock(content.last_at, zone)
    if content.part == "recovery":
        over = content.passed_at or content.created_at
        return f"It began at {start} and was over by {_clock(over, zone)}."
    passed = f" It was over by {_clock(content.passed_at, zone)}." if content.passed_at else ""
    if content.count == 1:
        return f"At {start}.{passed}"
    in_all = f", {content.events_in_all:,} in all" if content.part == "update" else ""
    return f"{content.count:,} since {start}, the last at {last}{in_all}.{passed}"


def _what_to_do(content: Content, lead: Told) -> str:
    again = f"`callpipeline retry --failed --class {lead.error_class}`"
    if content.part == "recovery" and content.stage:
        left = content.calls_still_failed
        if not left:
            return "None of its calls is FAILED any more."
        who = "One of its calls is" if left == 1 else f"{left:,} of its calls are"
        return f"{who} still FAILED: {again} tries again."
    if content.part == "recovery" or lead.kind is not EventKind.CALL_FAILED:
        return "" if content.part == "recovery" else str(lead.metadata.get("advice", ""))
    if content.recovers:
        return f"They were tried again and ended. When the cause is gone: {again}."
    if content.count == 1 and lead.call_id:
        return f"`callpipeline show {lead.call_id}` tells what is known of it."
    return f"{again} tries them again, once what is wrong with them is mended."


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _metadata(content: Content, lead: Told, links: Links) -> dict[str, object]:
    """What our webhook tells beyond the contract: all calls and events, and where to look."""
    own = {name: value for name, value in lead.metadata.items() if name not in _OURS}
    told: dict[str, object] = {
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
    return own | {name: value for name, value in told.items() if value not in (None, [])}


_OURS = frozenset({"over", "advice", "type", "stack_trace"})
