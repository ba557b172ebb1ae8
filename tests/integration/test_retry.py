"""`callpipeline retry` for calls in each state."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from callpipeline.cli.calls.processing import RetryOutcome, retry_calls, retry_failed
from callpipeline.cli.session import parse_moment
from callpipeline.domain.calls.call import CallState, Registration
from callpipeline.errors import (
    CallpipelineError,
    EngineUnavailable,
    SettingsInvalid,
    UnsupportedAudio,
)
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.postgres.database import Database
from callpipeline.wiring import Storage
from tests.builders import a_recording
from tests.integration.command_line import Installation

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def put(storage: Storage, name: str) -> str:
    """Register a call that waits, with a recording of this name."""
    recording = a_recording(f"folder/{name}")
    storage.ledger.register([Registration(recording)])
    return recording.call_id


def claimed(storage: Storage, name: str, claims: Claims | None = None) -> str:
    call_id = put(storage, name)
    (claims or storage.claims).claim([call_id], "some-run")
    return call_id


def failed(storage: Storage, name: str, error: CallpipelineError | None = None) -> str:
    """Register a call that failed without retries."""
    claims = Claims(storage.database, retry_waits_s=())
    call_id = claimed(storage, name, claims)
    error = error or UnsupportedAudio("It is a picture.")
    assert claims.fail(call_id, "some-run", "channel_audio", error) is None
    return call_id


def answers(storage: Storage, *calls: str) -> list[RetryOutcome]:
    return list(retry_calls(storage.ledger, calls))


def state_of(storage: Storage, call_id: str) -> CallState:
    return storage.ledger.find(call_id).state


def end_as(storage: Storage, call_id: str, state: CallState) -> None:
    with storage.database.transaction() as connection:
        end = "UPDATE calls SET state = %s, claimed_by = NULL WHERE call_id = %s"
        connection.execute(end, [state, call_id])


def test_a_failed_call_is_retried(storage: Storage):
    call_id = failed(storage, "a.wav")
    assert answers(storage, call_id) == [RetryOutcome(call_id, True, "failed; retrying")]
    assert state_of(storage, call_id) is CallState.PENDING


def test_a_call_is_identified_by_prefix_or_file_and_retried_once(storage: Storage):
    call_id = failed(storage, "a.wav")
    (answer,) = answers(storage, call_id[:18], "a.wav", call_id)
    assert (answer.call_id, answer.retried) == (call_id, True)


def test_a_call_that_waits_for_a_retry_is_retried_now(storage: Storage):
    call_id = claimed(storage, "a.wav")
    error = EngineUnavailable("It did not answer.")
    assert storage.claims.fail(call_id, "some-run", "transcripts", error)
    (answer,) = answers(storage, call_id)
    assert (answer.retried, answer.reason) == (True, "next attempt moved to now")
    retry_at = storage.ledger.find(call_id).next_attempt_at
    assert retry_at is None or retry_at <= datetime.now(UTC)


def test_a_waiting_call_gets_priority(storage: Storage):
    (answer,) = answers(storage, put(storage, "a.wav"))
    assert (answer.retried, "moved to the front" in answer.reason) == (True, True)


def test_a_call_with_a_requested_run_is_waiting(storage: Storage):
    call_id = put(storage, "a.wav")
    assert storage.queue.assign_batch("some-batch", 10)
    (answer,) = answers(storage, call_id)
    assert (answer.retried, answer.reason) == (True, "already queued for a run")


def test_other_calls_are_refused_with_a_reason(storage: Storage):
    in_progress, done, erased = (claimed(storage, name) for name in ("1.wav", "2.wav", "3.wav"))
    end_as(storage, done, CallState.COMPLETED)
    end_as(storage, erased, CallState.ERASED)
    outcomes = {
        answer.call_id: answer for answer in answers(storage, in_progress, done, erased, "9.wav")
    }
    assert not any(answer.retried for answer in outcomes.values())
    assert outcomes[in_progress].reason == "it is being processed by run some-run"
    assert "it is completed" in outcomes[done].reason
    assert "Dagster's UI" in outcomes[done].reason
    assert outcomes[erased].reason == "it was erased"
    assert outcomes["9.wav"].reason.startswith("Call '9.wav' not found")


def test_a_duplicate_refers_to_the_original(storage: Storage):
    first, second = a_recording("a.wav"), a_recording("b.wav")
    for recording in (first, second):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    (answer,) = answers(storage, second.call_id)
    reason = f"it is a duplicate of {first.call_id}; retry that call"
    assert (answer.retried, answer.reason) == (False, reason)


def test_a_duplicate_of_a_failed_call_is_retried_instead(storage: Storage):
    names = ("a.wav", "b.wav", "c.wav")
    first, second, third = (a_recording(f"folder/{name}") for name in names)
    for recording in (first, second, third):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    storage.claims.claim([first.call_id], "some-run")
    storage.claims.fail(first.call_id, "some-run", "channel_audio", UnsupportedAudio("No."))
    assert state_of(storage, second.call_id) is CallState.DUPLICATE
    (answer, other) = answers(storage, second.call_id, third.call_id)
    reason = f"retrying in place of call {first.call_id}, which has the same recording"
    assert answer == RetryOutcome(second.call_id, True, reason)
    assert (other.retried, f"duplicate of {second.call_id}" in other.reason) == (False, True)
    (call,) = storage.claims.claim([second.call_id], "some-run")
    storage.claims.own_content(call, "some-run", "ab" * 32)
    assert state_of(storage, second.call_id) is CallState.PROCESSING


def test_a_duplicate_of_an_erased_call_is_not_retried(storage: Storage):
    first, second = a_recording("a.wav"), a_recording("b.wav")
    for recording in (first, second):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    end_as(storage, first.call_id, CallState.ERASED)
    (answer,) = answers(storage, second.call_id)
    assert not answer.retried
    assert state_of(storage, second.call_id) is CallState.DUPLICATE


def test_ingesting_a_recording_whose_call_failed_says_how_to_retry(
    storage: Storage, database_url: str, tmp_path: Path
):
    here = Installation(tmp_path / "home", database_url)
    path = tmp_path / "a.wav"
    path.write_bytes(b"not a sound")
    call_id = here.json("ingest", path)[0]["call_id"]
    storage.claims.claim([call_id], "some-run")
    storage.claims.fail(call_id, "some-run", "channel_audio", UnsupportedAudio("A picture."))
    again = here.run("ingest", path, exit_code=1)
    assert f"already added, and failed; run `callpipeline retry {call_id}`" in again.stdout
    (result,) = here.json("ingest", path, exit_code=1)
    assert (result["new"], result["failed"]) == (False, True)


def test_all_failed_calls_are_retried(storage: Storage):
    calls = {failed(storage, "a.wav"), failed(storage, "b.wav")}
    put(storage, "waiting.wav")
    assert {answer.call_id for answer in retry_failed(storage.ledger, None, None)} == calls
    assert retry_failed(storage.ledger, None, None) == []


def test_only_recently_failed_calls_are_retried(storage: Storage, database: Database):
    old, new = failed(storage, "old.wav"), failed(storage, "new.wav")
    with database.transaction() as connection:
        earlier = "UPDATE calls SET completed_at = now() - interval '3 hours' WHERE call_id = %s"
        connection.execute(earlier, [old])
    since = datetime.now(UTC) - timedelta(hours=2)
    assert [answer.call_id for answer in retry_failed(storage.ledger, since, None)] == [new]


def test_only_calls_with_an_error_class_are_retried(storage: Storage):
    failed(storage, "a.wav")
    away = failed(storage, "b.wav", EngineUnavailable("It did not answer."))
    tried = retry_failed(storage.ledger, None, "EngineUnavailable")
    assert [answer.call_id for answer in tried] == [away]
    with pytest.raises(
        SettingsInvalid, match=r"with ServiceUnavailable; the classes are: UnsupportedAudio\."
    ):
        retry_failed(storage.ledger, None, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("2H", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-22T10:00+01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22).astimezone()),
    ],
)
def test_times_are_parsed_in_common_formats(text: str, moment: datetime):
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "2", "h", "2026-13-01", "-2h", "999999w", ""])
def test_an_invalid_time_is_refused_with_examples(text: str):
    with pytest.raises(typer.BadParameter, match="use 30m, 2h, 3d, 2026-11-23"):
        parse_moment(text, NOW)
