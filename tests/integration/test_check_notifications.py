"""Notifications of failed checks, once, and of their recovery."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.pipeline.quality.checks import CHECKS, CheckRunner
from callpipeline.storage.notifications import Outbox
from callpipeline.storage.postgres.database import Database, DatabaseLimits
from callpipeline.wiring import Storage
from tests.integration.calls import change
from tests.integration.databases import execute_sql
from tests.integration.day_of_calls import DayOfCalls, status
from tests.integration.notifying import NotificationDesk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> DayOfCalls:
    return DayOfCalls(storage, tmp_path / "channels")


def test_an_error_is_notified_once_and_its_recovery_too(day: DayOfCalls) -> None:
    desk = NotificationDesk(day.storage)
    for number in range(20):
        day.transcribe(f"empty-{number}.wav")
    for _ in range(2):
        assert status(day.check("speech_has_words")) == "error"
        desk.deliver()
    [message] = desk.webhook.accepted
    assert message.title == "Check speech_has_words of transcripts failed"
    assert (message.severity, message.type) == ("error", "system_error")
    assert "20 of 20 calls" in message.message
    assert "tab Checks" in str(message.context)
    day.passed = timedelta(hours=25)
    assert day.check("speech_has_words").passed
    desk.deliver(after_s=3600)
    day.check("speech_has_words")
    desk.deliver(after_s=3600)
    assert desk.webhook.titles[1:] == ["Speech is transcribed again"]


def test_a_warning_is_not_notified(day: DayOfCalls) -> None:
    desk = NotificationDesk(day.storage)
    day.transcribe("empty.wav")
    assert status(day.check("speech_has_words")) == "warning"
    desk.deliver()
    assert desk.webhook.accepted == []


def test_an_error_that_becomes_a_warning_is_not_over(day: DayOfCalls) -> None:
    desk = NotificationDesk(day.storage)
    day.fail(*(f"{number}.wav" for number in range(20)))
    day.check("few_calls_fail")
    desk.deliver()
    sent = len(desk.webhook.accepted)
    day.complete(300)
    assert status(day.check("few_calls_fail")) == "warning"
    desk.deliver(after_s=3600)
    assert len(desk.webhook.accepted) == sent
    day.complete(1000)
    execute_sql(day.storage.database.url, "DELETE FROM calls WHERE state = 'FAILED'")
    assert day.check("few_calls_fail").passed
    desk.deliver(after_s=3600)
    assert desk.webhook.titles[-1] == "The failure rate is back to normal"


def test_engine_outages_and_missing_recordings_are_not_notified_by_checks(day: DayOfCalls) -> None:
    call_ids = day.fail(*(f"{n}.wav" for n in range(20)), error_class="EngineUnavailable")
    change(day.storage, call_ids, created_at="now() - interval '25 hours'")
    assert status(day.check("few_calls_fail")) == "error"
    assert not day.check("recordings_keep_arriving").passed
    kinds = execute_sql(day.storage.database.url, "SELECT DISTINCT kind FROM outbox")
    assert kinds == [("call_failed",)]


def test_a_check_that_cannot_be_evaluated_has_not_passed() -> None:
    with Database(
        "postgresql://nobody@127.0.0.1:9/none", limits=DatabaseLimits(0.2)
    ) as unavailable:
        runner = CheckRunner(unavailable, Outbox(unavailable), 24.0)
        for check in CHECKS:
            with pytest.raises(DatabaseUnavailable):
                runner.evaluate(check, datetime.now(UTC))
