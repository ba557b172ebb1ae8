"""The ledger: each call is entered once, held by one run, and ends once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import pytest
from psycopg import errors as postgres_errors

from callpipeline.domain.call import CallState, Recording, Stage
from callpipeline.errors import (
    ClaimLost,
    EngineUnavailable,
    UnknownCall,
    UnsupportedAudio,
)
from callpipeline.storage.database import Database
from callpipeline.storage.ledger import MAX_ATTEMPTS, Ledger
from callpipeline.storage.results import Results
from callpipeline.wiring import Storage
from tests.builders import A_MONDAY, a_recording, a_write, some_metrics

T = TypeVar("T")


@pytest.fixture
def ledger(storage: Storage) -> Ledger:
    return storage.ledger


@pytest.fixture
def results(storage: Storage) -> Results:
    return storage.results


def recordings(count: int) -> list[Recording]:
    return [a_recording(f"{number:04}.wav") for number in range(count)]


def ids(found: list[Recording]) -> list[str]:
    return sorted(recording.call_id for recording in found)


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """What `count` threads return that start together; raises what one of them raises."""
    together = threading.Barrier(count)

    def run(number: int) -> T:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def store(results: Results, call_id: str, *stages: Stage, run_id: str = "run-1") -> None:
    """Mark stages as stored; which stage a write is of is said by the write alone."""
    for stage in stages:
        results.save_metrics(a_write(call_id, stage, run_id), some_metrics())


def erase(database: Database, call_id: str) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE calls SET state = 'ERASED' WHERE call_id = %s", [call_id])


# Registering


def test_the_same_recordings_registered_at_once_from_many_sides_are_entered_once(ledger: Ledger):
    found = recordings(60)
    new = at_once(6, lambda n: ledger.register(found if n % 2 else list(reversed(found))))
    assert sorted(call_id for each in new for call_id in each) == ids(found)
    assert ledger.count() == {CallState.PENDING: 60}


def test_one_recording_registered_at_once_from_many_sides_is_new_to_one(ledger: Ledger):
    for round_ in range(20):
        recording = a_recording(f"{round_}.wav")
        new = at_once(6, lambda _, recording=recording: ledger.register([recording]))
        assert sorted(map(len, new)) == [0, 0, 0, 0, 0, 1]


def test_a_registered_call_waits_and_says_what_it_is(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()], agent_channel="right", sha256="aa")
    record = ledger.find(call_id)
    assert (record.call_id, record.key, record.state) == (call_id, "call.wav", CallState.PENDING)
    assert (record.attempts, record.claimed_by, record.stages, record.flags) == (0, None, (), ())
    (call,) = ledger.claim([call_id], "run-1")
    assert (call.recording, call.agent_channel) == (a_recording(), "right")


def test_an_object_that_was_touched_on_another_day_is_the_call_it_was(ledger: Ledger):
    """An S3 object put again with the same bytes keeps its etag and gets a new day."""
    ledger.register([a_recording()])
    touched = a_recording(last_modified=A_MONDAY + timedelta(days=1))
    assert ledger.unknown([touched]) == []
    assert ledger.register([touched]) == []
    assert ledger.count() == {CallState.PENDING: 1}


def test_erased_content_may_come_back_as_a_new_call(ledger: Ledger, database: Database):
    (call_id,) = ledger.register([a_recording()], sha256="aa")
    erase(database, call_id)
    assert ledger.call_of_content("aa") is None


def test_an_id_that_is_not_one_of_ours_is_refused(database: Database):
    with pytest.raises(postgres_errors.CheckViolation), database.transaction() as connection:
        connection.execute(
            "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified)"
            " VALUES ('../etc', 'b', 'k', 'e', 1, now())"
        )


# Finding


def test_a_call_is_found_by_the_beginning_of_its_id(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    assert ledger.find(call_id[:14]).call_id == call_id


def test_an_unknown_and_an_ambiguous_beginning_are_told_apart(ledger: Ledger):
    ledger.register(recordings(2))
    with pytest.raises(UnknownCall, match="Several calls"):
        ledger.find("2026-03-02")
    for unknown in ("2025-01-01", "%", "2026-03-0_"):
        with pytest.raises(UnknownCall, match="There is no call"):
            ledger.find(unknown)


def test_calls_are_listed_by_state_newest_first_and_limited(ledger: Ledger):
    ledger.register([a_recording("old.wav")])
    ledger.register([a_recording("new.wav")])
    assert [record.key for record in ledger.calls()] == ["new.wav", "old.wav"]
    assert [record.key for record in ledger.calls(limit=1)] == ["new.wav"]
    assert ledger.calls(states=[CallState.FAILED]) == []
    assert ledger.calls(call_ids=[]) == []
    assert ledger.calls(limit=0) == []


# Claiming


def test_two_runs_that_race_for_the_same_calls_share_none(ledger: Ledger):
    found = recordings(100)
    ledger.register(found)
    taken = at_once(
        2,
        lambda n: [
            call.call_id
            for half in (found[:50], found[50:])
            for call in ledger.claim(ids(half), f"run-{n}")
        ],
    )
    one, other = taken
    assert set(one).isdisjoint(other)
    assert sorted(one + other) == ids(found)


def test_a_call_that_another_run_holds_stays_out(ledger: Ledger):
    one, two = (recording.call_id for recording in recordings(2))
    ledger.register(recordings(2))
    ledger.claim([one], "run-1")
    assert [call.call_id for call in ledger.claim([one, two], "run-2")] == [two]
    assert sorted(ledger.claiming_runs()) == ["run-1", "run-2"]


def test_a_run_may_claim_again_what_it_holds(ledger: Ledger):
    """Dagster's step retry comes back under the same run id."""
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    assert [call.call_id for call in ledger.claim([call_id], "run-1")] == [call_id]


def test_erased_and_unknown_calls_are_not_claimed(ledger: Ledger, database: Database):
    (call_id,) = ledger.register([a_recording()])
    erase(database, call_id)
    assert ledger.claim([call_id, "2026-03-02-000000000000"], "run-1") == []
    assert ledger.find(call_id).state is CallState.ERASED


def test_a_failed_and_a_complete_call_may_be_processed_anew(ledger: Ledger, results: Results):
    failed, complete = ledger.register(recordings(2))
    ledger.claim([failed, complete], "run-1")
    ledger.fail(failed, "run-1", "transcripts", EngineUnavailable("busy"))
    store(results, complete, *Stage)
    ledger.complete(complete, "run-1")
    ledger.claim([failed, complete], "run-2")
    for call_id in (failed, complete):
        record = ledger.find(call_id)
        assert record.state is CallState.PROCESSING
        assert (record.error_message, record.error_stage, record.completed_at) == (None,) * 3


def test_stages_that_are_stored_are_done_save_those_to_be_made_anew(
    ledger: Ledger, results: Results
):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    store(results, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    ledger.release(["run-1"])
    (resumed,) = ledger.claim([call_id], "run-2")
    assert resumed.stages_done == {Stage.CHANNEL_AUDIO, Stage.CALL_METRICS}
    ledger.release(["run-2"])
    (fresh,) = ledger.claim([call_id], "run-3", anew=[Stage.CALL_METRICS])
    assert fresh.stages_done == {Stage.CHANNEL_AUDIO}
    ledger.release(["run-3"])
    (again,) = ledger.claim([call_id], "run-4")
    assert again.stages_done == {Stage.CHANNEL_AUDIO}


# Ending


def test_a_failure_is_kept_with_its_reason(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    ledger.fail(call_id, "run-1", "channel_audio", UnsupportedAudio("a picture, not sound"))
    record = ledger.find(call_id)
    assert (record.state, record.error_stage, record.error_class, record.error_message) == (
        CallState.FAILED, "channel_audio", "UnsupportedAudio", "a picture, not sound",
    )  # fmt: skip
    assert record.error_transient is False
    assert record.completed_at
    assert record.claimed_by is None


def test_whether_another_try_may_help_is_kept(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    ledger.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    assert ledger.find(call_id).error_transient is True


def test_of_two_runs_that_race_to_end_a_call_one_ends_it(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")

    def complete(_: int) -> str:
        try:
            return ledger.complete(call_id, "run-1")
        except ClaimLost:
            return "lost"

    assert sorted(at_once(4, complete)) == ["PENDING", "lost", "lost", "lost"]


# Runs that are gone


def lose(ledger: Ledger, call_id: str, times: int) -> None:
    for attempt in range(times):
        ledger.claim([call_id], f"lost-{attempt}")
        ledger.begin(call_id, f"lost-{attempt}")
        ledger.release([f"lost-{attempt}"])


def test_the_call_of_a_run_that_is_gone_waits_again(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    assert ledger.release(["run-1", "run-of-another-day"]) == {call_id: CallState.PENDING}
    assert ledger.release(["run-1"]) == {}
    assert ledger.find(call_id).claimed_by is None


def test_a_call_whose_runs_die_every_time_fails_with_a_reason(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    lose(ledger, call_id, MAX_ATTEMPTS - 1)
    assert ledger.find(call_id).state is CallState.PENDING
    lose(ledger, call_id, 1)
    record = ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "PoisonCall")
    assert "died 3 times" in (record.error_message or "")
    assert record.error_transient is False


def test_only_calls_of_the_runs_that_are_gone_are_given_back(ledger: Ledger):
    one, two = ledger.register(recordings(2))
    ledger.claim([one], "run-1")
    ledger.claim([two], "run-2")
    assert list(ledger.release(["run-1"])) == [one]
    assert ledger.find(two).claimed_by == "run-2"


def test_runs_that_ended_well_or_with_a_reason_are_not_counted_as_lost(ledger: Ledger):
    """Else a call that failed for want of an engine would count as one that kills its run."""
    (call_id,) = ledger.register([a_recording()])
    for run in range(MAX_ATTEMPTS):
        ledger.claim([call_id], f"run-{run}")
        ledger.begin(call_id, f"run-{run}")
        ledger.fail(call_id, f"run-{run}", "transcripts", EngineUnavailable("busy"))
    lose(ledger, call_id, 1)
    assert ledger.find(call_id).state is CallState.PENDING


def test_calls_that_a_dying_run_had_not_begun_are_innocent(ledger: Ledger):
    """One call that kills its workers must not take the others of its batch along."""
    killer, bystander = ledger.register(recordings(2))
    for attempt in range(MAX_ATTEMPTS):
        ledger.claim([killer, bystander], f"run-{attempt}")
        ledger.begin(killer, f"run-{attempt}")
        ledger.release([f"run-{attempt}"])
    assert ledger.find(killer).state is CallState.FAILED
    assert ledger.find(bystander).state is CallState.PENDING
    assert ledger.find(bystander).attempts == 0


def test_a_run_that_ends_in_order_gives_back_what_it_holds_without_blame(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    for run in range(MAX_ATTEMPTS + 1):
        ledger.claim([call_id], f"run-{run}")
        ledger.begin(call_id, f"run-{run}")
        assert ledger.give_back(f"run-{run}") == 1
    assert ledger.find(call_id).state is CallState.PENDING
    assert ledger.give_back("run-0") == 0


def test_only_the_holder_begins(ledger: Ledger):
    (call_id,) = ledger.register([a_recording()])
    ledger.claim([call_id], "run-1")
    with pytest.raises(ClaimLost):
        ledger.begin(call_id, "run-2")


# Batches


def test_waiting_calls_are_put_into_batches_of_a_size_each_once(ledger: Ledger):
    ledger.register(recordings(5))
    first, second, third = (ledger.assign_batch(f"batch-{n}", 2) for n in range(3))
    assert first
    assert second
    assert third
    assert [len(batch.call_ids) for batch in (first, second, third)] == [2, 2, 1]
    assert sorted(first.call_ids + second.call_ids + third.call_ids) == ids(recordings(5))
    assert ledger.assign_batch("batch-3", 2) is None
    assert sorted(b.batch_id for b in ledger.open_batches()) == ["batch-0", "batch-1", "batch-2"]


def test_batches_made_at_once_share_no_call(ledger: Ledger):
    ledger.register(recordings(40))
    batches = at_once(4, lambda n: ledger.assign_batch(f"batch-{n}", 10))
    taken = [call_id for batch in batches if batch for call_id in batch.call_ids]
    assert sorted(taken) == ids(recordings(40))


def test_a_batch_is_open_until_its_run_claims_its_calls(ledger: Ledger):
    ledger.register(recordings(2))
    batch = ledger.assign_batch("batch", 10)
    assert batch
    assert ledger.open_batches() == [batch]
    ledger.claim(batch.call_ids, "run-1")
    assert ledger.open_batches() == []
    ledger.release(["run-1"])
    assert ledger.open_batches() == []
    assert ledger.assign_batch("another", 10)


def test_a_batch_that_will_never_run_gives_its_calls_to_another(ledger: Ledger):
    ledger.register(recordings(2))
    ledger.assign_batch("forgotten", 1)
    kept = ledger.assign_batch("kept", 1)
    ledger.forget_batches(["forgotten"])
    assert ledger.open_batches() == [kept]
    assert ledger.assign_batch("new", 10)
