"""Messages composed of the events of a notification."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.notifications import EventKind, NotificationChannel, Severity
from callpipeline.pipeline.notifications.composing import Links, compose, quoted_moments
from callpipeline.storage.ports.notifications import NotificationContent, OutboxEvent

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LINKS = Links("https://a", "https://d")


def an_event(number: int = 0, **other: Any) -> OutboxEvent:
    defaults: dict[str, Any] = {
        "event_id": f"event-{number}",
        "kind": EventKind.CALL_FAILED,
        "severity": Severity.ERROR,
        "title": "",
        "message": "",
        "call_id": f"2026-03-02-{number:012x}",
        "key": f"day/call {number}.wav",
        "run_id": "run-1",
        "stage": "transcripts",
        "error_class": "EngineUnavailable",
        "error_message": "the recogniser is unavailable",
        "metadata": {},
        "occurred_at": AT + timedelta(seconds=number),
    }
    return OutboxEvent(**defaults | other)


def content(*events: OutboxEvent, **other: Any) -> NotificationContent:
    defaults: dict[str, Any] = {
        "notification_id": "n-1",
        "channel": NotificationChannel.SLACK,
        "part": "opening",
        "created_at": AT,
        "incident_id": 7,
        "kind": EventKind.CALL_FAILED,
        "stage": "transcripts",
        "recovers": True,
        "opened_at": AT,
        "events": events,
        "count": len(events),
        "last_at": events[-1].occurred_at,
        "severity": Severity.ERROR,
        "events_in_all": len(events),
        "calls_in_all": len(events),
        "calls_still_failed": len(events),
        "passed_at": None,
        "first_receipt": None,
        "first_id": None,
    }
    return NotificationContent(**defaults | other)


def composed(notification: NotificationContent) -> Any:
    return compose(notification, LINKS, ZoneInfo("Europe/Berlin"))


def test_a_message_about_one_call():
    message = composed(content(an_event()))
    assert message.title == "A call failed at transcripts (EngineUnavailable)"
    assert message.context[0] == "At 2026-03-02 10:30:00 CET."
    assert message.calls[0].filename == "call 0.wav"
    assert message.run_link == "https://d/runs/run-1"
    assert message.metadata["event_ids"] == ["event-0"]


@pytest.mark.parametrize("moments", [3, "x", ["no moment"], None, {"a": 1}])
def test_metadata_of_clients_is_theirs_also_where_alerts_use_the_name(moments: Any):
    own = {"moments": moments, "path": "/backup"}
    note = content(an_event(kind=EventKind.CUSTOM, metadata=own), kind=EventKind.CUSTOM)
    assert quoted_moments(note) == []
    message = composed(note)
    assert {name: message.metadata[name] for name in own} == own


def test_metadata_of_alerts_stays_here():
    moment = "2026-03-02-c36927c80d5a/right.0.5.EE"
    found = {"moments": [moment], "path": "/moments?moment=x"}
    alert = an_event(kind=EventKind.CONTENT_ALERT, metadata=found)
    note = content(alert, alert, kind=EventKind.CONTENT_ALERT)
    assert [str(each) for each in quoted_moments(note)] == [moment]
    message = composed(note)
    assert "https://a/moments?moment=x" in message.message
    assert not set(found) & set(message.metadata)


def test_a_message_about_many_calls_has_their_count_times_and_ids():
    message = composed(content(*map(an_event, range(3))))
    assert message.title == "3 calls failed at transcripts (EngineUnavailable)"
    assert message.context[0] == "3 since 2026-03-02 10:30:00 CET, the last at " + (
        "2026-03-02 10:30:02 CET."
    )
    assert [c["job_id"] for c in message.metadata["calls"]] == [c.call_id for c in message.calls]
    assert message.call_count == 3


def test_calls_beyond_those_read_are_counted():
    message = composed(content(*map(an_event, range(5)), count=70_000))
    assert message.title.startswith("70,000 calls failed")
    assert message.call_count == 70_000


def test_a_call_that_failed_twice_is_counted_once():
    message = composed(content(an_event(), replace(an_event(), event_id="again")))
    assert message.title.startswith("A call failed")
    assert len(message.calls) == 1
    assert message.metadata["event_ids"] == ["event-0", "again"]


def test_an_update_about_one_call():
    message = composed(
        content(an_event(9), part="update", events_in_all=10, calls_in_all=10, first_receipt="ts")
    )
    assert message.title.startswith("One more call failed")
    assert message.first_receipt == "ts"


@pytest.mark.parametrize(
    ("recovers", "advice"),
    [
        (True, "callpipeline retry --failed --class EngineUnavailable"),
        (False, "callpipeline show 2026-03-02-000000000000"),
    ],
)
def test_a_message_says_what_to_do(recovers: bool, advice: str):
    assert advice in composed(content(an_event(), recovers=recovers)).context[1]


def test_a_recovery_is_informational_and_counts_the_calls_still_failed():
    message = composed(content(*map(an_event, range(4)), part="recovery", calls_still_failed=3))
    assert (message.severity, message.is_recovery) == (Severity.INFO, True)
    assert message.title == "transcripts works again"
    assert message.context[1].startswith("3 calls are still FAILED")
    assert message.error_message is None


def test_a_long_error_is_truncated_to_500_characters():
    message = composed(content(an_event(error_message="e" * 700)))
    assert message.error_message is not None
    assert len(message.error_message) == 500


def test_a_title_is_one_line():
    event = an_event(title="a\r\nb\x1b[31m", call_id=None, key=None, stage=None, error_class=None)
    event = replace(event, kind=EventKind.CUSTOM)
    message = composed(content(event, kind=EventKind.CUSTOM))
    assert message.title == "a b [31m"
    assert message.calls == ()
    assert message.call_count == 0


def test_internal_keys_are_not_in_the_metadata_of_custom_events():
    event = an_event(title="x", metadata={"type": "task_failed", "stack_trace": "at …", "own": 1})
    event = replace(event, kind=EventKind.CUSTOM)
    message = composed(content(event, kind=EventKind.CUSTOM))
    assert (message.type, message.stack_trace) == ("task_failed", "at …")
    assert message.metadata["own"] == 1
    assert not {"type", "stack_trace", "advice"} & set(message.metadata)


def test_a_message_links_to_the_page_of_its_call():
    assert composed(content(an_event())).call_link == "https://a/calls/2026-03-02-000000000000"


def test_a_partition_link_leads_to_the_asset_that_failed_or_the_first():
    begin, end = "https://d/assets", "?view=partitions&partition=2026-03-02-000000000000"
    call_id = "2026-03-02-000000000000"
    assert LINKS.partition(call_id, "run") == f"{begin}/channel_audio{end}"
    assert LINKS.partition(call_id, "transcripts") == f"{begin}/transcripts{end}"


def test_the_most_severe_event_leads_a_message_of_several_kinds():
    down = an_event(
        9,
        kind=EventKind.ENGINE_DOWN,
        severity=Severity.CRITICAL,
        title="The recogniser is failing",
        call_id=None,
        metadata={"over": "The recogniser works again", "advice": "Wait."},
    )
    given = content(an_event(), down, severity=Severity.CRITICAL, part="update")
    message = composed(given)
    assert message.title == "The recogniser is failing"
    assert (message.type, message.is_news) == ("system_error", True)
    assert len(message.calls) == 1
    over = composed(replace(given, part="recovery", calls_still_failed=1))
    assert over.title == "The recogniser works again"
    assert over.context[1].startswith("One call is still FAILED")


def test_an_update_is_no_news():
    assert not composed(content(an_event(), part="update")).is_news
    assert composed(content(an_event(), part="opening")).is_news
    assert composed(content(an_event(), part="recovery")).is_news
