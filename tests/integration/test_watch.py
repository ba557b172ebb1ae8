"""What is found without a call that says so: engines that are down, no recordings, the day."""

from dataclasses import replace
from datetime import time, timedelta
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.call import Stage
from callpipeline.domain.notification import EventKind
from callpipeline.errors import EngineAway
from callpipeline.pipeline.watch import LEAST_CALLS, Watch
from callpipeline.storage.claims import Claims
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter
from tests.integration.telling import BROKEN, DOWN, Desk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


def look(desk: Desk, *, after_s: float = 0.0, quiet_h: float | None = 24.0) -> list[str]:
    """The watch looks, then the dispatcher; what is wrong."""
    desk.passed += timedelta(seconds=after_s)
    watch = Watch(desk.storage.database, desk.storage.outbox, quiet_h)
    wrong = watch.look(desk.policy, desk.now)
    desk.look()
    return wrong


def stumble(desk: Desk, *keys: str) -> None:
    """Calls that met an engine which was away, and wait for their next try."""
    claims = Claims(desk.storage.database)
    call_ids = enter(desk.storage, *keys)
    claims.claim(call_ids, "run-1")
    for call_id in call_ids:
        assert claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, DOWN)


# Engines


def test_three_calls_in_a_row_are_an_engine_that_is_down(desk: Desk) -> None:
    stumble(desk, "a.wav", "b.wav")
    assert look(desk) == []
    stumble(desk, "c.wav")
    assert look(desk) == ["The recogniser does not work: 3 calls in a row met it"]
    [message] = desk.webhook.taken
    assert (message.severity, message.type) == ("critical", "system_error")
    assert message.error_message == "the recogniser is away"
    look(desk, after_s=700)
    assert len(desk.webhook.taken) == 1


def test_a_service_that_is_away_takes_no_crowd_but_more_than_a_moment(desk: Desk) -> None:
    claims = Claims(desk.storage.database)
    [call_id] = enter(desk.storage, "a.wav")
    claims.claim([call_id], "run-1")
    claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, EngineAway("it answered 503", 300.0))
    assert look(desk) == []
    change(desk.storage, [call_id], away_since="now() - interval '2 minutes'")
    assert look(desk) == ["The recogniser is away: 1 calls wait"]
    [message] = desk.webhook.taken
    assert message.error_message == "it answered 503"
    assert any("lose no try" in line for line in message.context)
    desk.complete("well.wav")
    look(desk, after_s=30)
    assert desk.webhook.titles[1] == "The recogniser works again"


def test_it_is_back_when_it_has_made_something(desk: Desk) -> None:
    stumble(desk, *(f"{n}.wav" for n in range(LEAST_CALLS)))
    look(desk)
    desk.complete("well.wav")
    assert look(desk, after_s=30) == []
    assert desk.webhook.titles[1] == "The recogniser works again"
    look(desk, after_s=3600)
    assert len(desk.webhook.taken) == 2


def test_silence_is_not_taken_for_recovery(desk: Desk) -> None:
    """Nobody knows whether an engine is back that nobody asked."""
    stumble(desk, *(f"{n}.wav" for n in range(LEAST_CALLS)))
    look(desk)
    with desk.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET updated_at = now() - interval '1 hour'")
    assert look(desk, after_s=3600) == []
    assert len(desk.webhook.taken) == 1


def test_an_engine_that_works_for_others_is_not_down(desk: Desk) -> None:
    stumble(desk, "a.wav", "b.wav")
    desk.complete("well.wav")
    stumble(desk, "c.wav", "d.wav")
    assert look(desk) == []


def test_recordings_that_are_broken_are_no_fault_of_an_engine(desk: Desk) -> None:
    desk.fail(*(f"{n}.wav" for n in range(9)), error=BROKEN)
    assert look(desk) == []


def test_calls_that_are_tried_again_now_do_not_count(desk: Desk) -> None:
    """They were touched when they were put into a batch, not by the engine."""
    stumble(desk, *(f"{n}.wav" for n in range(LEAST_CALLS)))
    with desk.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET not_before = now()")
    assert desk.storage.queue.assign_batch("batch", 10)
    assert look(desk) == []


# Recordings


def test_no_recording_ever_is_a_new_installation(desk: Desk) -> None:
    assert look(desk) == []


def test_no_recording_for_a_day_is_told_and_that_they_come_again(desk: Desk) -> None:
    old = enter(desk.storage, "old.wav")
    change(desk.storage, old, created_at="now() - interval '25 hours'")
    assert look(desk) == ["No recording has come in for 24 hours"]
    assert look(desk, after_s=60) == ["No recording has come in for 24 hours"]
    assert len(desk.webhook.taken) == 1
    enter(desk.storage, "new.wav")
    assert look(desk, after_s=60) == []
    assert desk.webhook.titles[1] == "Recordings come in again"


def test_who_does_not_want_that_is_not_told(desk: Desk) -> None:
    old = enter(desk.storage, "old.wav")
    change(desk.storage, old, created_at="now() - interval '25 hours'")
    assert look(desk, quiet_h=None) == []


# The day


def test_the_digest_comes_once_a_day_at_its_time(desk: Desk) -> None:
    desk.complete("well.wav", "fine.wav")
    desk.fail("bad.wav")
    soon = (desk.now + timedelta(hours=1)).time()
    desk.policy = replace(desk.policy, digest_at=time(soon.hour, soon.minute), zone=ZoneInfo("UTC"))

    def digests() -> list[str]:
        return [m.title for m in desk.webhook.taken if m.kind is EventKind.DAILY_DIGEST]

    if soon.hour == 0:
        pytest.skip("an hour before midnight the digest of this day was due long ago")
    look(desk)
    assert digests() == []
    look(desk, after_s=3700)
    look(desk, after_s=60)
    [title] = digests()
    assert "2 calls completed, 1 failed" in title
    [message] = [m for m in desk.webhook.taken if m.kind is EventKind.DAILY_DIGEST]
    assert "1 failed with UnsupportedAudio" in message.message
    assert message.metadata["counts"]["arrived"] == 3
    look(desk, after_s=24 * 3600)
    assert len(digests()) == 2


def test_a_call_that_failed_for_no_known_reason_does_not_stop_the_digest(desk: Desk) -> None:
    call_ids = enter(desk.storage, "by hand.wav")
    failed = {"state": "'FAILED'", "error_message": "'x'", "completed_at": "now()"}
    change(desk.storage, call_ids, **failed)
    desk.policy = replace(desk.policy, digest_at=time(0), zone=ZoneInfo("UTC"))
    look(desk)
    [message] = [m for m in desk.webhook.taken if m.kind is EventKind.DAILY_DIGEST]
    assert "1 failed with an unknown error" in message.message
