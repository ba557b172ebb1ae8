"""Notification routing, severities, quiet hours and Retry-After."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.egress import parse_retry_after
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    QuietHours,
    Routing,
    Severity,
    wire_type,
)

EMAIL, SLACK, WEBHOOK = NotificationChannel
LONDON = ZoneInfo("Europe/London")
NIGHT = QuietHours(time(22), time(7), LONDON)
NOON = QuietHours(time(12), time(13, 30), LONDON)


def test_severities_have_an_order():
    assert [severity.rank for severity in Severity] == [1, 2, 3, 4]


def test_without_a_rule_all_events_but_completed_calls_go_everywhere():
    routing = Routing(frozenset({EMAIL, SLACK}))
    for kind in EventKind:
        expected = [] if kind is EventKind.CALL_COMPLETED else [EMAIL, SLACK]
        assert routing.channels(kind) == expected
    assert not routing.notifies_completed


def test_a_rule_applies_to_configured_channels_only():
    routing = Routing(frozenset({SLACK}), {EventKind.CALL_COMPLETED: (SLACK, WEBHOOK)})
    assert routing.channels(EventKind.CALL_COMPLETED) == [SLACK]
    assert routing.notifies_completed
    assert not Routing(frozenset(), routing.rules).notifies_completed


def test_an_empty_rule_disables_an_event():
    assert Routing(frozenset({SLACK}), {EventKind.CUSTOM: ()}).channels(EventKind.CUSTOM) == []


@pytest.mark.parametrize(
    ("hours", "at", "end"),
    [
        (NIGHT, "2026-03-02 21:59", None),
        (NIGHT, "2026-03-02 22:00", "2026-03-03 07:00"),
        (NIGHT, "2026-03-03 00:10", "2026-03-03 07:00"),
        (NIGHT, "2026-03-03 06:59", "2026-03-03 07:00"),
        (NIGHT, "2026-03-03 07:00", None),
        (NOON, "2026-03-03 11:59", None),
        (NOON, "2026-03-03 12:00", "2026-03-03 13:30"),
        (NOON, "2026-03-03 13:30", None),
        # Daylight saving time starts in this night.
        (NIGHT, "2026-03-28 23:00", "2026-03-29 07:00"),
    ],
)
def test_quiet_hours_end(hours: QuietHours, at: str, end: str | None):
    here = datetime.fromisoformat(at).replace(tzinfo=LONDON)
    expected = datetime.fromisoformat(end).replace(tzinfo=LONDON) if end else None
    assert hours.ends_at(here.astimezone(UTC)) == expected


def test_types_match_the_contract():
    assert wire_type(EventKind.CALL_FAILED, {}) == "job_failed"
    assert wire_type(EventKind.SENSOR_FAILING, {}) == "system_error"
    assert wire_type(EventKind.CUSTOM, {"type": "task_failed"}) == "task_failed"


NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Wed, 25 Nov 2026 09:02:00 GMT", 120.0),
        ("Wed, 25 Nov 2026 09:02:00", 120.0),
        ("Wed, 25 Nov 2026 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_both_forms_of_retry_after(header: str | None, wait_s: float | None):
    assert parse_retry_after(header, NOW) == wait_s
