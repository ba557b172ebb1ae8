"""Claims: one run per call, checked by every write, reclaimed when the run is dead."""

from contextlib import suppress
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Call, CallState, Stage, missing_dependencies
from callpipeline.errors import ClaimLost, EngineUnavailable, SameRecording, UnsupportedAudio
from callpipeline.storage.calls.claims import MAX_ATTEMPTS, MAX_RELEASES, Claims
from callpipeline.wiring import Storage
from tests.builders import (
    a_judgement,
    a_mention,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.integration.calls import (
    change,
    enter,
    erase,
    ids,
    lose_runs,
    recordings,
    row,
    run_concurrently,
    store,
)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


BUSY = EngineUnavailable("busy")
RESULTS = ("recordings", "channels", "call_metrics", "transcripts", "segments", "mentions",
           "sentiment", "call_stages")  # fmt: skip


@pytest.fixture
def claims(storage: Storage) -> Claims:
    return storage.claims


@pytest.fixture
def call_id(storage: Storage) -> str:
    return enter(storage)[0]


def claimed(claims: Claims, *call_ids: str, run_id: str = "run-1", only_pending: bool = False):
    return [call.call_id for call in claims.claim(call_ids, run_id, only_pending=only_pending)]


def runs(storage: Storage) -> set[str]:
    with storage.database.transaction() as connection:
        return {row["run_id"] for row in connection.execute("SELECT run_id FROM runs")}


# Claiming


def test_concurrent_runs_never_claim_the_same_call(storage: Storage, claims: Claims):
    call_ids = ids(recordings(100))
    enter(storage, *(recording.key for recording in recordings(100)))
    one, other = run_concurrently(
        2,
        lambda n: [
            call_id
            for half in (call_ids[:50], call_ids[50:])
            for call_id in claimed(claims, *half, run_id=f"run-{n}")
        ],
    )
    assert set(one).isdisjoint(other)
    assert sorted(one + other) == call_ids


def test_a_call_of_another_run_is_not_claimed(storage: Storage, claims: Claims):
    one, two = enter(storage, "1.wav", "2.wav")
    claimed(claims, one)
    assert claimed(claims, one, two, run_id="run-2") == [two]
    assert {run.run_id for run in claims.claiming_runs()} == {"run-1", "run-2"}


def test_a_run_may_claim_its_own_calls_again(claims: Claims, call_id: str):
    """A step retry of Dagster has the same run id."""
    assert claimed(claims, call_id) == claimed(claims, call_id) == [call_id]
    assert claimed(claims, call_id, only_pending=True) == [call_id]


def test_erased_duplicate_and_unknown_calls_are_not_claimed(storage: Storage, claims: Claims):
    erased, first, duplicate = enter(storage, "1.wav", "2.wav", "3.wav")
    erase(storage, erased)
    change(storage, [duplicate], state="'DUPLICATE'", duplicate_of=f"'{first}'")
    before = [row(storage, call_id) for call_id in (erased, duplicate)]
    assert claimed(claims, erased, duplicate, "2026-03-02-000000000000") == []
    assert [row(storage, call_id) for call_id in (erased, duplicate)] == before


def test_failed_and_complete_calls_may_be_claimed_again(storage: Storage, claims: Claims):
    failed, complete = enter(storage, "1.wav", "2.wav")
    claimed(claims, failed, complete)
    claims.fail(failed, "run-1", "transcripts", UnsupportedAudio("a picture"))
    store(storage, complete, *Stage)
    claims.complete(complete, "run-1")
    assert claimed(claims, failed, complete, run_id="run-2") == sorted([failed, complete])
    for call_id in (failed, complete):
        record = storage.ledger.find(call_id)
        assert record.state is CallState.PROCESSING
        assert (record.error_message, record.error_stage, record.completed_at) == (None,) * 3


def test_only_pending_skips_calls_that_have_ended(storage: Storage, claims: Claims):
    failed, complete, waits, retried = enter(storage, "1.wav", "2.wav", "3.wav", "4.wav")
    claimed(claims, failed, complete, retried)
    claims.fail(failed, "run-1", "transcripts", UnsupportedAudio("a picture"))
    claims.fail(retried, "run-1", "transcripts", BUSY)
    store(storage, complete, *Stage)
    claims.complete(complete, "run-1")
    claimed_again = claimed(
        claims, failed, complete, waits, retried, run_id="run-2", only_pending=True
    )
    assert claimed_again == sorted([waits, retried])
    assert storage.ledger.find(failed).state is CallState.FAILED
    assert storage.ledger.find(complete).state is CallState.COMPLETED


def test_stored_stages_are_done_except_those_to_recompute(
    storage: Storage, claims: Claims, call_id: str
):
    claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    claims.reclaim(["run-1"])
    (resumed,) = claims.claim([call_id], "run-2")
    assert resumed.stages_done == {Stage.CHANNEL_AUDIO, Stage.CALL_METRICS}
    claims.reclaim(["run-2"])
    (fresh,) = claims.claim([call_id], "run-3", recompute=[Stage.CALL_METRICS])
    assert fresh.stages_done == {Stage.CHANNEL_AUDIO}
    claims.reclaim(["run-3"])
    (again,) = claims.claim([call_id], "run-4")
    assert again.stages_done == {Stage.CHANNEL_AUDIO}


def test_calls_without_a_required_stage_are_left_unchanged(storage: Storage, claims: Claims):
    ready, waits, failed = enter(storage, "1.wav", "2.wav", "3.wav")
    claimed(claims, ready, failed)
    store(storage, ready, Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    claims.fail(ready, "run-1", "competitor_mentions", UnsupportedAudio("no"))
    store(storage, failed, Stage.CHANNEL_AUDIO)
    claims.fail(failed, "run-1", "transcripts", UnsupportedAudio("no"))
    before = [row(storage, call_id) for call_id in (waits, failed)]
    required = missing_dependencies([Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT])
    assert required == [Stage.TRANSCRIPTS]
    claimed_again = claims.claim([ready, waits, failed], "run-2", required=required)
    assert [call.call_id for call in claimed_again] == [ready]
    assert [row(storage, call_id) for call_id in (waits, failed)] == before


# Ending


def test_a_failure_is_recorded_with_its_reason(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    claims.fail(call_id, "run-1", "channel_audio", UnsupportedAudio("a picture, not sound"))
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_stage, record.error_class, record.error_message) == (
        CallState.FAILED, "channel_audio", "UnsupportedAudio", "a picture, not sound",
    )  # fmt: skip
    assert (record.error_transient, record.claimed_by, record.next_attempt_at) == (
        False,
        None,
        None,
    )
    assert record.completed_at


def test_a_transient_failure_is_recorded_while_the_call_waits(
    storage: Storage, claims: Claims, call_id: str
):
    claimed(claims, call_id)
    retry_at = claims.fail(call_id, "run-1", "transcripts", BUSY)
    record = storage.ledger.find(call_id)
    assert (record.next_attempt_at, record.retries, record.completed_at) == (retry_at, 1, None)
    assert (record.error_class, record.error_transient) == ("EngineUnavailable", True)


def test_retry_waits_are_as_configured_with_jitter(storage: Storage, call_id: str):
    claims, waits = Claims(storage.database, retry_waits_s=(100.0, 1000.0)), list[float]()
    while True:
        claimed(claims, call_id)
        if claims.fail(call_id, "run-1", "transcripts", BUSY) is None:
            break
        left = row(storage, call_id)
        waits.append((left["next_attempt_at"] - left["updated_at"]).total_seconds())
    assert [80 <= waits[0] <= 120, 800 <= waits[1] <= 1200, len(waits)] == [True, True, 2]
    assert storage.ledger.find(call_id).state is CallState.FAILED


def test_without_retry_waits_a_call_fails_at_once(storage: Storage, call_id: str):
    claims = Claims(storage.database, retry_waits_s=())
    claimed(claims, call_id)
    assert claims.fail(call_id, "run-1", "transcripts", BUSY) is None


def test_a_call_is_completed_only_once(claims: Claims, call_id: str):
    claimed(claims, call_id)

    def complete(_: int) -> str:
        try:
            return claims.complete(call_id, "run-1")
        except ClaimLost:
            return "lost"

    assert sorted(run_concurrently(4, complete)) == ["PENDING", "lost", "lost", "lost"]


def test_only_the_claiming_run_can_begin_an_attempt(claims: Claims, call_id: str):
    claimed(claims, call_id)
    with pytest.raises(ClaimLost):
        claims.begin(call_id, "run-2")


def test_released_calls_do_not_count_as_lost(storage: Storage, claims: Claims, call_id: str):
    for run in range(MAX_ATTEMPTS + 1):
        claimed(claims, call_id, run_id=f"run-{run}")
        claims.begin(call_id, f"run-{run}")
        assert claims.release(f"run-{run}") == 1
    assert storage.ledger.find(call_id).state is CallState.PENDING
    assert claims.release("run-0") == 0
    assert runs(storage) == set()
    lose_runs(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def release(claims: Claims, call_id: str, *, times: int) -> None:
    for run in range(times):
        claimed(claims, call_id, run_id=f"run-{run}")
        assert claims.release(f"run-{run}") == 1


def test_a_call_fails_after_too_many_releases(storage: Storage, claims: Claims, call_id: str):
    release(claims, call_id, times=MAX_RELEASES - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    release(claims, call_id, times=1)
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "UnexpectedError")
    assert (record.error_stage, record.error_transient) == ("run", False)
    assert "ended 10 times" in (record.error_message or "")
    assert record.next_attempt_at is None
    storage.ledger.retry([call_id])
    release(claims, call_id, times=MAX_RELEASES - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_only_consecutive_releases_count(storage: Storage, claims: Claims, call_id: str):
    release(claims, call_id, times=MAX_RELEASES - 1)
    claimed(claims, call_id)
    claims.fail(call_id, "run-1", "transcripts", BUSY)
    release(claims, call_id, times=MAX_RELEASES - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_cancelled_batches_do_not_fail_a_call(storage: Storage, claims: Claims, call_id: str):
    for _ in range(MAX_RELEASES + 1):
        change(storage, [call_id], batch_id="'batch'", batched_at="now()", next_attempt_at="NULL")
        assert storage.queue.cancel_batches(["batch"]) == 1
    release(claims, call_id, times=1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


# Duplicates


def test_the_results_of_a_duplicate_are_deleted(storage: Storage, claims: Claims, tmp_path: Path):
    """A call fails, another call becomes the owner of its content, and the first is retried."""
    call_id, again = enter(storage, "1.wav", "2.wav")
    (call,) = claims.claim([call_id], "run-1")
    claims.own_content(call, "run-1", "aa")
    results, files = storage.results, channel_files(a_split(), tmp_path)
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    transcripts = [a_transcript("hello", channel=Channel.RIGHT)]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [a_mention()])
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [a_judgement(a_mention())])
    Claims(storage.database, retry_waits_s=()).fail(call_id, "run-1", "transcripts", BUSY)
    (other,) = claims.claim([again], "run-1")
    claims.own_content(other, "run-1", "aa")
    (call,) = claims.claim([call_id], "run-2")
    assert (call.sha256, call.stages_done) == ("aa", frozenset(Stage))
    with pytest.raises(SameRecording) as raised:
        claims.own_content(call, "run-2", "aa")
    assert raised.value.original_call_id == again
    for table in RESULTS:
        with storage.database.transaction() as connection:
            assert connection.execute(f"SELECT * FROM {table}".encode()).fetchall() == [], table


def test_no_duplicate_is_linked_to_a_call_that_fails_concurrently(storage: Storage):
    """No duplicate may wait for a call that has ended."""
    claims = Claims(storage.database, retry_waits_s=())
    for round_ in range(20):
        first, second = enter(storage, f"{round_}-1.wav", f"{round_}-2.wav")
        one, two = claims.claim([first, second], "run-1")
        one, two = (one, two) if one.call_id == first else (two, one)
        sha256 = f"{round_}"
        claims.own_content(one, "run-1", sha256)

        def fail_or_own(number: int, first: str = first, two: Call = two, sha: str = sha256):
            if number:
                claims.fail(first, "run-1", "transcripts", BUSY)
            else:
                with suppress(SameRecording):
                    claims.own_content(two, "run-1", sha)

        run_concurrently(2, fail_or_own)
        assert storage.ledger.find(first).state is CallState.FAILED
        assert storage.ledger.find(second).state in (CallState.PENDING, CallState.PROCESSING)


def test_a_run_that_lost_its_claim_cannot_mark_a_duplicate(storage: Storage, claims: Claims):
    """Claiming the content and ending the call are two writes; the claim may be lost in between."""
    first, second = enter(storage, "1.wav", "2.wav")
    claimed(claims, second, run_id="run-2")
    late = {"call_id": second, "run_id": "run-1", "first": first}
    assert storage.database.rows("calls/mark_duplicate", late) == []
    assert storage.ledger.find(second).claimed_by == "run-2"
