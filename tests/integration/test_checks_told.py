"""Which failed checks people are told of, once, and that they pass again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callpipeline.errors import DatabaseUnavailable
from callpipeline.pipeline.checking import CHECKS, Checking
from callpipeline.storage.database import Database
from callpipeline.storage.outbox import Outbox
from callpipeline.wiring import Storage
from tests.integration.calls import change
from tests.integration.checked import Day, outcome
from tests.integration.databases import asked
from tests.integration.telling import Desk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> Day:
    return Day(storage, tmp_path / "channels")


def test_a_check_that_fails_gravely_is_told_once_and_that_it_passes_again(day: Day) -> None:
    desk = Desk(day.storage)
    for number in range(20):
        day.transcribe(f"empty-{number}.wav")
    for _ in range(2):
        assert outcome(day.check("speech_has_words")) == "error"
        desk.look()
    [message] = desk.webhook.taken
    assert message.title == "The check speech_has_words of transcripts fails"
    assert (message.severity, message.type) == ("error", "system_error")
    assert "20 of 20 calls" in message.message
    assert "tab Checks" in str(message.context)
    day.passed = timedelta(hours=25)
    assert day.check("speech_has_words").passed
    desk.look(after_s=3600)
    day.check("speech_has_words")
    desk.look(after_s=3600)
    assert desk.webhook.titles[1:] == ["Speech has words again"]


def test_a_warning_is_for_who_looks_and_told_nobody(day: Day) -> None:
    desk = Desk(day.storage)
    day.transcribe("empty.wav")
    assert outcome(day.check("speech_has_words")) == "warning"
    desk.look()
    assert desk.webhook.taken == []


def test_an_error_that_is_a_warning_now_is_not_over(day: Day) -> None:
    desk = Desk(day.storage)
    day.fail(*(f"{number}.wav" for number in range(20)))
    day.check("few_calls_fail")
    desk.look()
    told = len(desk.webhook.taken)
    day.complete(300)
    assert outcome(day.check("few_calls_fail")) == "warning"
    desk.look(after_s=3600)
    assert len(desk.webhook.taken) == told
    day.complete(1000)
    asked(day.storage.database.url, "DELETE FROM calls WHERE state = 'FAILED'")
    assert day.check("few_calls_fail").passed
    desk.look(after_s=3600)
    assert desk.webhook.titles[-1] == "Few calls fail again"


def test_engines_that_are_down_and_quiet_recordings_are_not_told_by_checks(day: Day) -> None:
    call_ids = day.fail(*(f"{n}.wav" for n in range(20)), error_class="EngineUnavailable")
    change(day.storage, call_ids, created_at="now() - interval '25 hours'")
    assert outcome(day.check("few_calls_fail")) == "error"
    assert not day.check("recordings_keep_arriving").passed
    kinds = asked(day.storage.database.url, "SELECT DISTINCT kind FROM outbox")
    assert kinds == [("call_failed",)]


def test_what_cannot_be_looked_at_has_not_passed() -> None:
    with Database("postgresql://nobody@127.0.0.1:9/none", patience_s=0.2) as away:
        checking = Checking(away, Outbox(away), 24.0)
        for check in CHECKS:
            with pytest.raises(DatabaseUnavailable):
                checking.evaluate(check, datetime.now(UTC))
