"""What `callpipeline retry` does to calls in each state, and what it says of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from callpipeline.cli.retry import Answer, try_calls, try_failed
from callpipeline.cli.times import moment_of
from callpipeline.domain.call import CallState, Registration
from callpipeline.errors import (
    CallpipelineError,
    EngineUnavailable,
    SettingsInvalid,
    UnsupportedAudio,
)
from callpipeline.storage.claims import Claims
from callpipeline.storage.database import Database
from callpipeline.wiring import Storage
from tests.builders import a_recording
from tests.integration.test_cli import Installation

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def put(storage: Storage, name: str) -> str:
    """A call that waits, of a recording of this name."""
    recording = a_recording(f"folder/{name}")
    storage.ledger.register([Registration(recording)])
    return recording.call_id


def claimed(storage: Storage, name: str, claims: Claims | None = None) -> str:
    call_id = put(storage, name)
    (claims or storage.claims).claim([call_id], "some-run")
    return call_id


def failed(storage: Storage, name: str, error: CallpipelineError | None = None) -> str:
    """A call that failed, at once and for good."""
    claims = Claims(storage.database, retry_waits_s=())
    call_id = claimed(storage, name, claims)
    error = error or UnsupportedAudio("It is a picture.")
    assert claims.fail(call_id, "some-run", "channel_audio", error) is None
    return call_id


def answers(storage: Storage, *calls: str) -> list[Answer]:
    return list(try_calls(storage.ledger, calls))


def state_of(storage: Storage, call_id: str) -> CallState:
    return storage.ledger.find(call_id).state


def end_as(storage: Storage, call_id: str, state: CallState) -> None:
    with storage.database.transaction() as connection:
        end = "UPDATE calls SET state = %s, claimed_by = NULL WHERE call_id = %s"
        connection.execute(end, [state, call_id])


def test_a_call_that_failed_is_tried_again(storage: Storage):
    call_id = failed(storage, "a.wav")
    assert answers(storage, call_id) == [Answer(call_id, True, "it failed, and is tried again")]
    assert state_of(storage, call_id) is CallState.PENDING


def test_a_call_is_named_by_its_beginning_or_its_file_and_tried_once(storage: Storage):
    call_id = failed(storage, "a.wav")
    (answer,) = answers(storage, call_id[:18], "a.wav", call_id)
    assert (answer.call_id, answer.retried) == (call_id, True)


def test_a_call_that_waits_for_its_next_try_is_tried_now(storage: Storage):
    call_id = claimed(storage, "a.wav")
    error = EngineUnavailable("It did not answer.")
    assert storage.claims.fail(call_id, "some-run", "transcripts", error)
    (answer,) = answers(storage, call_id)
    assert (answer.retried, answer.reason) == (True, "its next try was moved to now")
    again_at = storage.ledger.find(call_id).not_before
    assert again_at is None or again_at <= datetime.now(UTC)


def test_a_call_that_waits_already_goes_first(storage: Storage):
    (answer,) = answers(storage, put(storage, "a.wav"))
    assert (answer.retried, "goes before the others" in answer.reason) == (True, True)


def test_a_call_for_which_a_run_was_asked_waits_already(storage: Storage):
    call_id = put(storage, "a.wav")
    assert storage.queue.assign_batch("some-batch", 10)
    (answer,) = answers(storage, call_id)
    assert (answer.retried, answer.reason) == (True, "it waits already: a run was asked for")


def test_of_each_other_call_it_is_told_why_it_is_not_tried(storage: Storage):
    at_work, done, erased = (claimed(storage, name) for name in ("1.wav", "2.wav", "3.wav"))
    end_as(storage, done, CallState.COMPLETED)
    end_as(storage, erased, CallState.ERASED)
    told = {answer.call_id: answer for answer in answers(storage, at_work, done, erased, "9.wav")}
    assert not any(answer.retried for answer in told.values())
    assert told[at_work].reason == "it is PROCESSING in run some-run"
    assert "there is nothing to retry" in told[done].reason
    assert "Dagster's UI" in told[done].reason
    assert told[erased].reason == "it was ERASED"
    assert told["9.wav"].reason.startswith("There is no call '9.wav'")


def test_of_a_duplicate_the_first_call_is_told(storage: Storage):
    first, second = a_recording("a.wav"), a_recording("b.wav")
    for recording in (first, second):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    (answer,) = answers(storage, second.call_id)
    told = f"it is a DUPLICATE of {first.call_id}: retry that one"
    assert (answer.retried, answer.reason) == (False, told)


def test_a_duplicate_is_tried_where_the_first_call_failed(storage: Storage):
    names = ("a.wav", "b.wav", "c.wav")
    first, second, third = (a_recording(f"folder/{name}") for name in names)
    for recording in (first, second, third):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    storage.claims.claim([first.call_id], "some-run")
    storage.claims.fail(first.call_id, "some-run", "channel_audio", UnsupportedAudio("No."))
    assert state_of(storage, second.call_id) is CallState.DUPLICATE
    (answer, other) = answers(storage, second.call_id, third.call_id)
    told = f"it is tried in place of call {first.call_id}, of the same recording"
    assert answer == Answer(second.call_id, True, told)
    assert (other.retried, f"DUPLICATE of {second.call_id}" in other.reason) == (False, True)
    (call,) = storage.claims.claim([second.call_id], "some-run")
    storage.claims.own_content(call, "some-run", "ab" * 32)
    assert state_of(storage, second.call_id) is CallState.PROCESSING


def test_a_duplicate_of_an_erased_call_is_not_tried(storage: Storage):
    first, second = a_recording("a.wav"), a_recording("b.wav")
    for recording in (first, second):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    end_as(storage, first.call_id, CallState.ERASED)
    (answer,) = answers(storage, second.call_id)
    assert not answer.retried
    assert state_of(storage, second.call_id) is CallState.DUPLICATE


def test_to_hand_over_a_recording_whose_call_failed_says_how_it_is_tried_again(
    storage: Storage, database_url: str, tmp_path: Path
):
    here = Installation(tmp_path / "home", database_url)
    path = tmp_path / "a.wav"
    path.write_bytes(b"not a sound")
    call_id = here.json("ingest", path)[0]["call_id"]
    storage.claims.claim([call_id], "some-run")
    storage.claims.fail(call_id, "some-run", "channel_audio", UnsupportedAudio("A picture."))
    again = here.run("ingest", path, exit_code=1)
    assert f"it failed; `callpipeline retry {call_id}` tries it again" in again.stdout
    (told,) = here.json("ingest", path, exit_code=1)
    assert (told["new"], told["failed"]) == (False, True)


def test_all_that_failed_are_tried_again(storage: Storage):
    calls = {failed(storage, "a.wav"), failed(storage, "b.wav")}
    put(storage, "waiting.wav")
    assert {answer.call_id for answer in try_failed(storage.ledger, None, None)} == calls
    assert try_failed(storage.ledger, None, None) == []


def test_only_those_that_failed_lately_are_tried(storage: Storage, database: Database):
    old, new = failed(storage, "old.wav"), failed(storage, "new.wav")
    with database.transaction() as connection:
        earlier = "UPDATE calls SET completed_at = now() - interval '3 hours' WHERE call_id = %s"
        connection.execute(earlier, [old])
    since = datetime.now(UTC) - timedelta(hours=2)
    assert [answer.call_id for answer in try_failed(storage.ledger, since, None)] == [new]


def test_only_those_with_an_error_are_tried(storage: Storage):
    failed(storage, "a.wav")
    away = failed(storage, "b.wav", EngineUnavailable("It did not answer."))
    tried = try_failed(storage.ledger, None, "EngineUnavailable")
    assert [answer.call_id for answer in tried] == [away]
    with pytest.raises(SettingsInvalid, match=r"with EngineAway; there are: UnsupportedAudio\."):
        try_failed(storage.ledger, None, "EngineAway")


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
def test_times_are_understood_as_people_write_them(text: str, moment: datetime):
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "2", "h", "2026-13-01", "-2h", "999999w", ""])
def test_what_is_no_time_is_refused_with_examples(text: str):
    with pytest.raises(typer.BadParameter, match="write 30m, 2h, 3d, 2026-11-23"):
        moment_of(text, NOW)
