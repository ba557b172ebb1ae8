"""What a notification says of its events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.notification import EventKind, NotificationChannel, Severity
from callpipeline.pipeline.composing import compose
from callpipeline.pipeline.links import Links
from callpipeline.storage.messages import Content, Told

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LINKS = Links("https://a", "https://d")


def told(number: int = 0, **other: Any) -> Told:
    known: dict[str, Any] = {
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
        "error_message": "the recogniser is away",
        "metadata": {},
        "occurred_at": AT + timedelta(seconds=number),
    }
    return Told(**known | other)


def content(*events: Told, **other: Any) -> Content:
    known: dict[str, Any] = {
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
    return Content(**known | other)


def said(given: Content) -> Any:
    return compose(given, LINKS, ZoneInfo("Europe/Berlin"))


def test_one_call():
    message = said(content(told()))
    assert message.title == "A call failed at transcripts (EngineUnavailable)"
    assert message.context[0] == "At 2026-03-02 10:30:00 CET."
    assert message.calls[0].filename == "call 0.wav"
    assert message.run_link == "https://d/runs/run-1"
    assert message.metadata["event_ids"] == ["event-0"]


def test_many_calls_say_how_many_since_when_and_which():
    message = said(content(*map(told, range(3))))
    assert message.title == "3 calls failed at transcripts (EngineUnavailable)"
    assert message.context[0] == "3 since 2026-03-02 10:30:00 CET, the last at " + (
        "2026-03-02 10:30:02 CET."
    )
    assert [c["job_id"] for c in message.metadata["calls"]] == [c.call_id for c in message.calls]
    assert message.call_count == 3


def test_more_calls_than_are_read_are_counted():
    message = said(content(*map(told, range(5)), count=70_000))
    assert message.title.startswith("70,000 calls failed")
    assert message.call_count == 70_000


def test_a_call_that_failed_twice_is_one_call():
    message = said(content(told(), replace(told(), event_id="again")))
    assert message.title.startswith("A call failed")
    assert len(message.calls) == 1
    assert message.metadata["event_ids"] == ["event-0", "again"]


def test_one_more():
    message = said(
        content(told(9), part="update", events_in_all=10, calls_in_all=10, first_receipt="ts")
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
def test_it_says_what_to_do(recovers: bool, advice: str):
    assert advice in said(content(told(), recovers=recovers)).context[1]


def test_a_recovery_is_information_and_counts_what_is_left():
    message = said(content(*map(told, range(4)), part="recovery", calls_still_failed=3))
    assert (message.severity, message.is_recovery) == (Severity.INFO, True)
    assert message.title == "transcripts works again"
    assert message.context[1].startswith("3 of its calls are still FAILED")
    assert message.error_message is None


def test_a_long_error_is_cut_at_500_characters():
    message = said(content(told(error_message="e" * 700)))
    assert message.error_message is not None
    assert len(message.error_message) == 500


def test_a_title_is_one_line_whatever_is_asked_for():
    asked = told(title="a\r\nb\x1b[31m", call_id=None, key=None, stage=None, error_class=None)
    asked = replace(asked, kind=EventKind.CUSTOM)
    message = said(content(asked, kind=EventKind.CUSTOM))
    assert message.title == "a b [31m"
    assert message.calls == ()
    assert message.call_count == 0


def test_what_is_ours_does_not_stand_in_the_metadata_of_others():
    asked = told(title="x", metadata={"type": "task_failed", "stack_trace": "at …", "own": 1})
    asked = replace(asked, kind=EventKind.CUSTOM)
    message = said(content(asked, kind=EventKind.CUSTOM))
    assert (message.type, message.stack_trace) == ("task_failed", "at …")
    assert message.metadata["own"] == 1
    assert not {"type", "stack_trace", "advice"} & set(message.metadata)


def test_a_call_leads_to_its_page():
    assert said(content(told())).call_link == "https://a/calls/2026-03-02-000000000000"


def test_a_partition_is_that_of_the_asset_it_failed_at_or_the_first():
    begin, end = "https://d/assets", "?view=partitions&partition=2026-03-02-000000000000"
    call_id = "2026-03-02-000000000000"
    assert LINKS.partition(call_id, "run") == f"{begin}/channel_audio{end}"
    assert LINKS.partition(call_id, "transcripts") == f"{begin}/transcripts{end}"


def test_the_gravest_event_leads_a_message_of_several_kinds():
    down = told(
        9,
        kind=EventKind.ENGINE_DOWN,
        severity=Severity.CRITICAL,
        title="The recogniser does not work",
        call_id=None,
        metadata={"over": "The recogniser works again", "advice": "Wait."},
    )
    given = content(told(), down, severity=Severity.CRITICAL, part="update")
    message = said(given)
    assert message.title == "The recogniser does not work"
    assert (message.type, message.is_news) == ("system_error", True)
    assert len(message.calls) == 1
    over = said(replace(given, part="recovery", calls_still_failed=1))
    assert over.title == "The recogniser works again"
    assert over.context[1].startswith("One of its calls is still FAILED")


def test_more_of_the_same_is_no_news():
    assert not said(content(told(), part="update")).is_news
    assert said(content(told(), part="opening")).is_news
    assert said(content(told(), part="recovery")).is_news
