"""A run's hold on calls: one run at a time, checked by every write, lost when the run is gone."""

from contextlib import suppress
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import Call, CallState, Stage, needed_for
from callpipeline.errors import ClaimLost, EngineUnavailable, SameRecording, UnsupportedAudio
from callpipeline.storage.claims import Claims
from callpipeline.storage.tries import MAX_ATTEMPTS, MAX_GIVEN_BACK
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
    at_once,
    change,
    enter,
    erase,
    ids,
    lose,
    recordings,
    row,
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


def claimed(claims: Claims, *call_ids: str, run_id: str = "run-1", waiting: bool = False):
    return [call.call_id for call in claims.claim(call_ids, run_id, only_waiting=waiting)]


def runs(storage: Storage) -> set[str]:
    with storage.database.transaction() as connection:
        return {row["run_id"] for row in connection.execute("SELECT run_id FROM runs")}


# Claiming


def test_two_runs_that_race_for_the_same_calls_share_none(storage: Storage, claims: Claims):
    found = ids(recordings(100))
    enter(storage, *(recording.key for recording in recordings(100)))
    one, other = at_once(
        2,
        lambda n: [
            call_id
            for half in (found[:50], found[50:])
            for call_id in claimed(claims, *half, run_id=f"run-{n}")
        ],
    )
    assert set(one).isdisjoint(other)
    assert sorted(one + other) == found


def test_a_call_that_another_run_holds_stays_out(storage: Storage, claims: Claims):
    one, two = enter(storage, "1.wav", "2.wav")
    claimed(claims, one)
    assert claimed(claims, one, two, run_id="run-2") == [two]
    assert {run.run_id for run in claims.claiming_runs()} == {"run-1", "run-2"}


def test_a_run_may_claim_again_what_it_holds(claims: Claims, call_id: str):
    """Dagster's step retry comes back under the same run id."""
    assert claimed(claims, call_id) == claimed(claims, call_id) == [call_id]
    assert claimed(claims, call_id, waiting=True) == [call_id]


def test_erased_duplicate_and_unknown_calls_are_not_claimed(storage: Storage, claims: Claims):
    erased, first, duplicate = enter(storage, "1.wav", "2.wav", "3.wav")
    erase(storage, erased)
    change(storage, [duplicate], state="'DUPLICATE'", duplicate_of=f"'{first}'")
    before = [row(storage, call_id) for call_id in (erased, duplicate)]
    assert claimed(claims, erased, duplicate, "2026-03-02-000000000000") == []
    assert [row(storage, call_id) for call_id in (erased, duplicate)] == before


def test_a_failed_and_a_complete_call_may_be_processed_anew(storage: Storage, claims: Claims):
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


def test_a_run_that_takes_only_what_waits_leaves_what_has_ended(storage: Storage, claims: Claims):
    failed, complete, waits, tried = enter(storage, "1.wav", "2.wav", "3.wav", "4.wav")
    claimed(claims, failed, complete, tried)
    claims.fail(failed, "run-1", "transcripts", UnsupportedAudio("a picture"))
    claims.fail(tried, "run-1", "transcripts", BUSY)
    store(storage, complete, *Stage)
    claims.complete(complete, "run-1")
    taken = claimed(claims, failed, complete, waits, tried, run_id="run-2", waiting=True)
    assert taken == sorted([waits, tried])
    assert storage.ledger.find(failed).state is CallState.FAILED
    assert storage.ledger.find(complete).state is CallState.COMPLETED


def test_stages_that_are_stored_are_done_save_those_to_be_made_anew(
    storage: Storage, claims: Claims, call_id: str
):
    claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    claims.release(["run-1"])
    (resumed,) = claims.claim([call_id], "run-2")
    assert resumed.stages_done == {Stage.CHANNEL_AUDIO, Stage.CALL_METRICS}
    claims.release(["run-2"])
    (fresh,) = claims.claim([call_id], "run-3", anew=[Stage.CALL_METRICS])
    assert fresh.stages_done == {Stage.CHANNEL_AUDIO}
    claims.release(["run-3"])
    (again,) = claims.claim([call_id], "run-4")
    assert again.stages_done == {Stage.CHANNEL_AUDIO}


def test_calls_that_lack_what_a_run_needs_stay_as_they_are(storage: Storage, claims: Claims):
    ready, waits, failed = enter(storage, "1.wav", "2.wav", "3.wav")
    claimed(claims, ready, failed)
    store(storage, ready, Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    claims.fail(ready, "run-1", "competitor_mentions", UnsupportedAudio("no"))
    store(storage, failed, Stage.CHANNEL_AUDIO)
    claims.fail(failed, "run-1", "transcripts", UnsupportedAudio("no"))
    before = [row(storage, call_id) for call_id in (waits, failed)]
    needed = needed_for([Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT])
    assert needed == [Stage.TRANSCRIPTS]
    taken = claims.claim([ready, waits, failed], "run-2", needed=needed)
    assert [call.call_id for call in taken] == [ready]
    assert [row(storage, call_id) for call_id in (waits, failed)] == before


# Ending


def test_a_failure_is_kept_with_its_reason(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    claims.fail(call_id, "run-1", "channel_audio", UnsupportedAudio("a picture, not sound"))
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_stage, record.error_class, record.error_message) == (
        CallState.FAILED, "channel_audio", "UnsupportedAudio", "a picture, not sound",
    )  # fmt: skip
    assert (record.error_transient, record.claimed_by, record.not_before) == (False, None, None)
    assert record.completed_at


def test_the_reason_of_a_failure_that_may_pass_is_kept_while_the_call_waits(
    storage: Storage, claims: Claims, call_id: str
):
    claimed(claims, call_id)
    again_at = claims.fail(call_id, "run-1", "transcripts", BUSY)
    record = storage.ledger.find(call_id)
    assert (record.not_before, record.retries, record.completed_at) == (again_at, 1, None)
    assert (record.error_class, record.error_transient) == ("EngineUnavailable", True)


def test_waits_before_new_tries_are_as_long_as_they_are_set_and_differ_by_a_fifth(
    storage: Storage, call_id: str
):
    claims, waits = Claims(storage.database, retry_waits_s=(100.0, 1000.0)), list[float]()
    while True:
        claimed(claims, call_id)
        if claims.fail(call_id, "run-1", "transcripts", BUSY) is None:
            break
        left = row(storage, call_id)
        waits.append((left["not_before"] - left["updated_at"]).total_seconds())
    assert [80 <= waits[0] <= 120, 800 <= waits[1] <= 1200, len(waits)] == [True, True, 2]
    assert storage.ledger.find(call_id).state is CallState.FAILED


def test_without_waits_no_call_is_tried_again(storage: Storage, call_id: str):
    claims = Claims(storage.database, retry_waits_s=())
    claimed(claims, call_id)
    assert claims.fail(call_id, "run-1", "transcripts", BUSY) is None


def test_of_two_runs_that_race_to_end_a_call_one_ends_it(claims: Claims, call_id: str):
    claimed(claims, call_id)

    def complete(_: int) -> str:
        try:
            return claims.complete(call_id, "run-1")
        except ClaimLost:
            return "lost"

    assert sorted(at_once(4, complete)) == ["PENDING", "lost", "lost", "lost"]


def test_only_the_holder_begins(claims: Claims, call_id: str):
    claimed(claims, call_id)
    with pytest.raises(ClaimLost):
        claims.begin(call_id, "run-2")


def test_a_run_that_ends_in_order_gives_back_what_it_holds_without_blame(
    storage: Storage, claims: Claims, call_id: str
):
    for run in range(MAX_ATTEMPTS + 1):
        claimed(claims, call_id, run_id=f"run-{run}")
        claims.begin(call_id, f"run-{run}")
        assert claims.give_back(f"run-{run}") == 1
    assert storage.ledger.find(call_id).state is CallState.PENDING
    assert claims.give_back("run-0") == 0
    assert runs(storage) == set()
    lose(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def give_back(claims: Claims, call_id: str, *, times: int) -> None:
    for run in range(times):
        claimed(claims, call_id, run_id=f"run-{run}")
        assert claims.give_back(f"run-{run}") == 1


def test_a_call_that_its_runs_let_go_of_every_time_fails_with_a_reason(
    storage: Storage, claims: Claims, call_id: str
):
    give_back(claims, call_id, times=MAX_GIVEN_BACK - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    give_back(claims, call_id, times=1)
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "UnexpectedError")
    assert (record.error_stage, record.error_transient) == ("run", False)
    assert "ended 10 times" in (record.error_message or "")
    assert record.not_before is None
    storage.ledger.retry([call_id])
    give_back(claims, call_id, times=MAX_GIVEN_BACK - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_runs_that_let_go_of_a_call_are_counted_in_a_row(
    storage: Storage, claims: Claims, call_id: str
):
    give_back(claims, call_id, times=MAX_GIVEN_BACK - 1)
    claimed(claims, call_id)
    claims.fail(call_id, "run-1", "transcripts", BUSY)
    give_back(claims, call_id, times=MAX_GIVEN_BACK - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_runs_that_never_began_end_no_call(storage: Storage, claims: Claims, call_id: str):
    for _ in range(MAX_GIVEN_BACK + 1):
        change(storage, [call_id], batch_id="'batch'", batched_at="now()", not_before="NULL")
        assert storage.queue.forget_batches(["batch"]) == 1
    give_back(claims, call_id, times=1)
    assert storage.ledger.find(call_id).state is CallState.PENDING


# The same bytes again


def test_a_call_that_turns_out_to_be_another_one_leaves_nothing_that_counts(
    storage: Storage, claims: Claims, tmp_path: Path
):
    """It failed, its bytes came again as another call, and then it is tried again."""
    call_id, again = enter(storage, "1.wav", "2.wav")
    (call,) = claims.claim([call_id], "run-1")
    claims.own_content(call, "run-1", "aa")
    results, files = storage.results, channel_files(a_split(), tmp_path)
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    said = [a_transcript("hello", channel=Channel.RIGHT)]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [a_mention()])
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [a_judgement(a_mention())])
    Claims(storage.database, retry_waits_s=()).fail(call_id, "run-1", "transcripts", BUSY)
    (other,) = claims.claim([again], "run-1")
    claims.own_content(other, "run-1", "aa")
    (call,) = claims.claim([call_id], "run-2")
    assert (call.sha256, call.stages_done) == ("aa", frozenset(Stage))
    with pytest.raises(SameRecording) as raised:
        claims.own_content(call, "run-2", "aa")
    assert raised.value.first == again
    for table in RESULTS:
        with storage.database.transaction() as connection:
            assert connection.execute(f"SELECT * FROM {table}".encode()).fetchall() == [], table


def test_no_duplicate_is_bound_to_a_call_that_fails_meanwhile(storage: Storage):
    """Whoever comes second sees what the other one did: none waits for what has ended."""
    claims = Claims(storage.database, retry_waits_s=())
    for round_ in range(20):
        first, second = enter(storage, f"{round_}-1.wav", f"{round_}-2.wav")
        one, two = claims.claim([first, second], "run-1")
        one, two = (one, two) if one.call_id == first else (two, one)
        sha256 = f"{round_}"
        claims.own_content(one, "run-1", sha256)

        def fail_or_compare(number: int, first: str = first, two: Call = two, sha: str = sha256):
            if number:
                claims.fail(first, "run-1", "transcripts", BUSY)
            else:
                with suppress(SameRecording):
                    claims.own_content(two, "run-1", sha)

        at_once(2, fail_or_compare)
        assert storage.ledger.find(first).state is CallState.FAILED
        assert storage.ledger.find(second).state in (CallState.PENDING, CallState.PROCESSING)


def test_a_run_that_lost_a_call_meanwhile_cannot_end_it_as_a_duplicate(
    storage: Storage, claims: Claims
):
    """Whose the bytes are and the end of the call are two writes: in between it may be lost."""
    first, second = enter(storage, "1.wav", "2.wav")
    claimed(claims, second, run_id="run-2")
    late = {"call_id": second, "run_id": "run-1", "first": first}
    assert storage.database.rows("calls/link", late) == []
    assert storage.ledger.find(second).claimed_by == "run-2"
