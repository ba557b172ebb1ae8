"""Monitoring: engine outages, missing recordings, and the daily digest."""

from dataclasses import replace
from datetime import time, timedelta
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.notifications import EventKind
from callpipeline.errors import ServiceUnavailable
from callpipeline.pipeline.notifications.monitor import MIN_CALLS, PipelineMonitor
from callpipeline.storage.calls.claims import Claims
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter
from tests.integration.databases import execute_sql
from tests.integration.notifying import BROKEN, DOWN, NotificationDesk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


def monitor(
    desk: NotificationDesk, *, after_s: float = 0.0, quiet_h: float | None = 24.0
) -> list[str]:
    """Check and deliver; return the titles of the current problems."""
    desk.passed += timedelta(seconds=after_s)
    pipeline = PipelineMonitor(desk.storage.database, desk.storage.outbox, quiet_h)
    problems = pipeline.check(desk.policy, desk.now)
    desk.deliver()
    return problems


def interrupt(desk: NotificationDesk, *keys: str) -> None:
    """Register calls that failed by an unavailable engine and wait for a retry."""
    claims = Claims(desk.storage.database)
    call_ids = enter(desk.storage, *keys)
    claims.claim(call_ids, "run-1")
    for call_id in call_ids:
        assert claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, DOWN)


# Engines


def test_three_failures_in_a_row_are_an_outage(desk: NotificationDesk) -> None:
    interrupt(desk, "a.wav", "b.wav")
    assert monitor(desk) == []
    interrupt(desk, "c.wav")
    assert monitor(desk) == ["The recogniser is failing: 3 calls in a row"]
    [message] = desk.webhook.accepted
    assert (message.severity, message.type) == ("critical", "system_error")
    assert message.error_message == "the recogniser is unavailable"
    monitor(desk, after_s=700)
    assert len(desk.webhook.accepted) == 1


def test_an_unavailable_service_is_reported_after_a_moment_by_one_call(
    desk: NotificationDesk,
) -> None:
    claims = Claims(desk.storage.database)
    [call_id] = enter(desk.storage, "a.wav")
    claims.claim([call_id], "run-1")
    claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, ServiceUnavailable("it answered 503", 300.0))
    assert monitor(desk) == []
    change(desk.storage, [call_id], unavailable_since="now() - interval '2 minutes'")
    assert monitor(desk) == ["The recogniser is unavailable: 1 call waiting"]
    [message] = desk.webhook.accepted
    assert message.error_message == "it answered 503"
    assert any("without using up retries" in line for line in message.context)
    desk.complete("good.wav")
    monitor(desk, after_s=30)
    assert desk.webhook.titles[1] == "The recogniser works again"


def test_a_success_ends_an_outage(desk: NotificationDesk) -> None:
    interrupt(desk, *(f"{n}.wav" for n in range(MIN_CALLS)))
    monitor(desk)
    desk.complete("good.wav")
    assert monitor(desk, after_s=30) == []
    assert desk.webhook.titles[1] == "The recogniser works again"
    monitor(desk, after_s=3600)
    assert len(desk.webhook.accepted) == 2


def test_no_requests_are_not_a_recovery(desk: NotificationDesk) -> None:
    """Without requests, it is unknown whether the engine works."""
    interrupt(desk, *(f"{n}.wav" for n in range(MIN_CALLS)))
    monitor(desk)
    with desk.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET updated_at = now() - interval '1 hour'")
    assert monitor(desk, after_s=3600) == []
    assert len(desk.webhook.accepted) == 1


def test_an_engine_that_works_for_other_calls_is_not_down(desk: NotificationDesk) -> None:
    interrupt(desk, "a.wav", "b.wav")
    desk.complete("good.wav")
    interrupt(desk, "c.wav", "d.wav")
    assert monitor(desk) == []


def test_damaged_recordings_are_not_an_outage(desk: NotificationDesk) -> None:
    desk.fail(*(f"{n}.wav" for n in range(9)), error=BROKEN)
    assert monitor(desk) == []


def test_calls_that_are_being_retried_do_not_count(desk: NotificationDesk) -> None:
    """They were updated by the assignment to a batch, not by the engine."""
    interrupt(desk, *(f"{n}.wav" for n in range(MIN_CALLS)))
    with desk.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET next_attempt_at = now()")
    assert desk.storage.queue.assign_batch("batch", 10)
    assert monitor(desk) == []


# Recordings


def test_a_new_installation_without_recordings_is_not_a_problem(desk: NotificationDesk) -> None:
    assert monitor(desk) == []


def test_a_day_without_recordings_is_notified_and_its_end_too(desk: NotificationDesk) -> None:
    old = enter(desk.storage, "old.wav")
    change(desk.storage, old, created_at="now() - interval '25 hours'")
    assert monitor(desk) == ["No recordings for 24 hours"]
    assert monitor(desk, after_s=60) == ["No recordings for 24 hours"]
    assert len(desk.webhook.accepted) == 1
    enter(desk.storage, "new.wav")
    assert monitor(desk, after_s=60) == []
    assert desk.webhook.titles[1] == "Recordings are arriving again"


def test_the_last_recording_is_told_in_the_zone_of_messages(desk: NotificationDesk) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    old = enter(desk.storage, "old.wav")
    change(desk.storage, old, created_at="now() - interval '25 hours'")
    desk.policy = replace(desk.policy, zone=zone)
    monitor(desk)
    [[at]] = execute_sql(desk.storage.database.url, "SELECT created_at FROM calls")
    shown = f"{at.astimezone(zone):%Y-%m-%d %H:%M} Asia/Kathmandu"
    assert shown in desk.webhook.accepted[0].message


def test_the_warning_can_be_turned_off(desk: NotificationDesk) -> None:
    old = enter(desk.storage, "old.wav")
    change(desk.storage, old, created_at="now() - interval '25 hours'")
    assert monitor(desk, quiet_h=None) == []


# The digest


def test_the_digest_is_sent_once_a_day_at_its_time(desk: NotificationDesk) -> None:
    desk.complete("good.wav", "fine.wav")
    desk.fail("bad.wav")
    soon = (desk.now + timedelta(hours=1)).time()
    desk.policy = replace(desk.policy, digest_at=time(soon.hour, soon.minute), zone=ZoneInfo("UTC"))

    def digests() -> list[str]:
        return [m.title for m in desk.webhook.accepted if m.kind is EventKind.DAILY_DIGEST]

    if soon.hour == 0:
        pytest.skip("an hour before midnight, the digest of this day is already due")
    monitor(desk)
    assert digests() == []
    monitor(desk, after_s=3700)
    monitor(desk, after_s=60)
    [title] = digests()
    assert "2 calls completed, 1 failed" in title
    [message] = [m for m in desk.webhook.accepted if m.kind is EventKind.DAILY_DIGEST]
    assert "1 failed with UnsupportedAudio" in message.message
    assert message.metadata["counts"]["arrived"] == 3
    monitor(desk, after_s=24 * 3600)
    assert len(digests()) == 2


def test_a_call_without_an_error_class_does_not_stop_the_digest(desk: NotificationDesk) -> None:
    call_ids = enter(desk.storage, "by hand.wav")
    failed = {"state": "'FAILED'", "error_message": "'x'", "completed_at": "now()"}
    change(desk.storage, call_ids, **failed)
    desk.policy = replace(desk.policy, digest_at=time(0), zone=ZoneInfo("UTC"))
    monitor(desk)
    [message] = [m for m in desk.webhook.accepted if m.kind is EventKind.DAILY_DIGEST]
    assert "1 failed with an unknown error" in message.message
