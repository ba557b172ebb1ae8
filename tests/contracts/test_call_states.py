"""How a run gives a call back, and what becomes of bytes that came before: fake and Postgres."""

from datetime import UTC, datetime, timedelta

import pytest

from callpipeline.domain.call import Call, CallState, DuplicatePolicy, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DuplicateRecording,
    EngineAway,
    EngineUnavailable,
    MissingObject,
    SameRecording,
    UnsupportedAudio,
)
from tests.builders import a_write
from tests.builders import some_metrics as metrics
from tests.contracts.conftest import Office

BUSY = EngineUnavailable("busy")
AWAY = EngineAway("away", 60.0)


def store_all_stages(office: Office, call_id: str) -> None:
    results = office.results
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), metrics())
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [])
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [])
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [])
    # Which stage a write is of is said by the write alone, so this stands for the audio.
    results.save_metrics(a_write(call_id, Stage.CHANNEL_AUDIO), metrics())


def test_a_call_with_every_stage_is_complete(office: Office):
    call = office.claimed()
    store_all_stages(office, call.call_id)
    assert office.states.complete(call.call_id, "run-1") is CallState.COMPLETED


def test_a_call_that_lacks_a_stage_waits_for_it(office: Office):
    call = office.claimed()
    office.results.save_metrics(a_write(call.call_id, Stage.CALL_METRICS), metrics())
    assert office.states.complete(call.call_id, "run-1") is CallState.PENDING


def test_only_the_holder_ends_a_call(office: Office):
    call = office.claimed()
    with pytest.raises(ClaimLost):
        office.states.complete(call.call_id, "run-2")
    with pytest.raises(ClaimLost):
        office.states.fail(call.call_id, "run-2", "transcripts", BUSY)
    office.states.fail(call.call_id, "run-1", "transcripts", BUSY)


@pytest.mark.parametrize("error", [BUSY, CallpipelineError("why")])
def test_a_call_ends_once(office: Office, error: CallpipelineError):
    call = office.claimed()
    office.states.fail(call.call_id, "run-1", "transcripts", error)
    with pytest.raises(ClaimLost):
        office.states.fail(call.call_id, "run-1", "transcripts", error)
    with pytest.raises(ClaimLost):
        office.states.complete(call.call_id, "run-1")


def test_a_run_that_was_overtaken_says_nothing_of_the_calls_end(office: Office):
    call = office.claimed()
    office.take_over(call, "run-2")
    with pytest.raises(ClaimLost):
        office.states.complete(call.call_id, "run-1")
    assert office.states.complete(call.call_id, "run-2") is CallState.PENDING


# Failing


def fail(office: Office, call: Call, error: CallpipelineError = BUSY) -> datetime | None:
    return office.states.fail(call.call_id, "run-1", "transcripts", error)


def fail_for_good(office: Office, call: Call) -> int:
    """How often the call is tried again before a failure that may pass ends it."""
    again = 0
    while fail(office, call):
        again += 1
        assert again < 10
        assert office.claim(call)
    return again


def test_a_failure_that_may_pass_lets_the_call_wait(office: Office):
    call = office.claimed()
    again_at = fail(office, call)
    assert again_at
    assert timedelta(seconds=20) < again_at - datetime.now(UTC) < timedelta(seconds=40)
    assert office.state(call) is CallState.PENDING
    assert office.reason(call) == "busy"


def test_it_is_tried_again_three_times_and_fails_with_its_reason(office: Office):
    call = office.claimed()
    assert fail_for_good(office, call) == 3
    assert office.state(call) is CallState.FAILED
    assert office.reason(call) == "busy"


@pytest.mark.parametrize("error", [UnsupportedAudio("a picture"), CallpipelineError("a picture")])
def test_a_failure_that_cannot_pass_ends_the_call_at_once(office: Office, error: CallpipelineError):
    call = office.claimed()
    assert fail(office, call, error) is None
    assert office.state(call) is CallState.FAILED
    assert office.reason(call) == "a picture"


def test_a_call_that_failed_for_good_while_it_was_tried_again_has_the_last_reason(office: Office):
    call = office.claimed()
    fail(office, call)
    office.claim(call)
    assert fail(office, call, UnsupportedAudio("a picture")) is None
    assert office.reason(call) == "a picture"


def test_tries_are_counted_anew_when_a_person_runs_a_failed_call(office: Office):
    call = office.claimed()
    fail_for_good(office, call)
    office.claim(call)
    assert fail_for_good(office, call) == 3


def test_tries_are_counted_anew_when_a_person_asks_for_another_try(office: Office):
    failed, waiting = office.claimed("failed.wav"), office.claimed("waiting.wav")
    fail_for_good(office, failed)
    fail(office, waiting)
    for call in (failed, waiting):
        office.retry(call)
        assert office.state(call) is CallState.PENDING
        assert office.claim(call)
        assert fail_for_good(office, call) == 3


def test_tries_are_counted_anew_after_a_success(office: Office):
    call = office.claimed()
    fail(office, call)
    office.claim(call)
    # Of a part of the stages, so the call waits: one that has ended would be counted anew anyway.
    assert office.states.complete(call.call_id, "run-1") is CallState.PENDING
    office.claim(call)
    assert fail_for_good(office, call) == 3


def test_a_reason_may_hold_what_a_database_cannot(office: Office):
    """Texts of decoders quote the file they failed on."""
    call = office.claimed()
    fail(office, call, UnsupportedAudio("it begins with \x00\ud800 bytes"))
    assert office.state(call) is CallState.FAILED


# The same bytes again


def own(office: Office, call: Call, sha256: str = "aa") -> None:
    office.states.own_content(call, "run-1", sha256)


@pytest.mark.parametrize("policy", list(DuplicatePolicy))
def test_the_first_call_of_some_bytes_goes_on_also_when_it_is_tried_again(
    office: Office, policy: DuplicatePolicy
):
    call = office.claimed(duplicates=policy)
    own(office, call)
    fail(office, call)
    office.claim(call)
    own(office, call)
    assert office.state(call) is CallState.PROCESSING


def test_a_second_call_of_the_same_bytes_is_linked_to_the_first(office: Office):
    first, second = office.claimed("1.wav"), office.claimed("2.wav")
    own(office, first)
    with pytest.raises(SameRecording) as raised:
        own(office, second)
    assert raised.value.first == first.call_id
    assert office.state(second) is CallState.DUPLICATE
    with pytest.raises(ClaimLost):
        fail(office, second)


def test_a_duplicate_is_not_taken_by_a_run_again(office: Office):
    first, second = office.claimed("1.wav"), office.claimed("2.wav")
    own(office, first)
    with pytest.raises(SameRecording):
        own(office, second)
    assert not office.claim(second)
    assert office.state(second) is CallState.DUPLICATE


def test_a_source_that_refuses_duplicates_fails_them(office: Office):
    first = office.claimed("1.wav")
    second = office.claimed("2.wav", duplicates=DuplicatePolicy.REFUSE)
    own(office, first)
    with pytest.raises(DuplicateRecording, match=first.call_id) as raised:
        own(office, second)
    assert fail(office, second, raised.value) is None
    assert office.state(second) is CallState.FAILED


def test_a_source_may_have_duplicates_processed_like_any_call(office: Office):
    first = office.claimed("1.wav")
    second = office.claimed("2.wav", duplicates=DuplicatePolicy.PROCESS)
    own(office, first)
    own(office, second)
    assert office.state(second) is CallState.PROCESSING
    with pytest.raises(SameRecording) as raised:
        own(office, office.claimed("3.wav"))
    assert raised.value.first == first.call_id


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_bytes_of_an_erased_call_are_nobody_elses(office: Office, policy: DuplicatePolicy):
    erased, second = office.claimed("1.wav"), office.claimed("2.wav", duplicates=policy)
    own(office, erased)
    fail(office, erased, UnsupportedAudio("a picture"))
    office.erase(erased)
    with pytest.raises(SameRecording) as raised:
        own(office, second)
    assert raised.value.first == erased.call_id
    assert office.state(second) is CallState.DUPLICATE


MISSING = MissingObject("The recording is not there any more.")
PICTURE = UnsupportedAudio("a picture")


def end(office: Office, call: Call, error: CallpipelineError) -> None:
    """Let the call fail until it is not tried again."""
    while fail(office, call, error):
        office.claim(call)
    assert office.state(call) is CallState.FAILED


@pytest.mark.parametrize("error", [BUSY, MISSING])
def test_bytes_of_a_call_that_failed_for_its_own_sake_belong_to_whoever_brings_them_next(
    office: Office, error: CallpipelineError
):
    failed, second = office.claimed("1.wav"), office.claimed("2.wav")
    own(office, failed)
    end(office, failed, error)
    own(office, second)
    assert office.state(second) is CallState.PROCESSING


def test_bytes_of_a_call_that_waits_for_its_next_try_stay_its_own(office: Office):
    waiting, second = office.claimed("1.wav"), office.claimed("2.wav")
    own(office, waiting)
    assert fail(office, waiting)
    with pytest.raises(SameRecording):
        own(office, second)


def test_bytes_that_no_call_can_be_made_of_are_not_tried_again_under_another_name(office: Office):
    failed, second = office.claimed("1.wav"), office.claimed("2.wav")
    own(office, failed)
    end(office, failed, PICTURE)
    with pytest.raises(SameRecording) as raised:
        own(office, second)
    assert raised.value.first == failed.call_id


def linked(office: Office, *names: str) -> list[Call]:
    """The first of these calls, and the others that ended as its duplicates."""
    calls = [office.claimed(name) for name in names]
    own(office, calls[0])
    for call in calls[1:]:
        with pytest.raises(SameRecording):
            own(office, call)
    return calls


@pytest.mark.parametrize("error", [BUSY, MISSING])
def test_where_a_call_fails_for_its_own_sake_its_duplicates_are_tried_one_after_the_other(
    office: Office, error: CallpipelineError
):
    first, second, third = linked(office, "1.wav", "2.wav", "3.wav")
    end(office, first, error)
    (heir,) = (call for call in (second, third) if office.state(call) is CallState.PENDING)
    (other,) = {second.call_id, third.call_id} - {heir.call_id}
    assert office.claim(heir)
    own(office, heir)
    end(office, heir, error)
    (last,) = (call for call in (second, third) if call.call_id == other)
    assert office.claim(last)
    own(office, last)


def test_the_first_call_is_the_duplicate_where_the_other_took_its_place(office: Office):
    first, second = linked(office, "1.wav", "2.wav")
    end(office, first, BUSY)
    office.retry(first)
    assert office.claim(first)
    with pytest.raises(SameRecording) as raised:
        own(office, first)
    assert raised.value.first == second.call_id


def test_a_duplicate_stays_one_where_the_first_call_fails_for_what_both_share(office: Office):
    first, second = linked(office, "1.wav", "2.wav")
    end(office, first, PICTURE)
    assert office.state(second) is CallState.DUPLICATE


def test_a_duplicate_stays_one_while_the_first_call_waits_for_its_next_try(office: Office):
    first, second = linked(office, "1.wav", "2.wav")
    assert fail(office, first)
    assert office.state(second) is CallState.DUPLICATE


def test_other_bytes_are_another_call(office: Office):
    own(office, office.claimed("1.wav"), "aa")
    own(office, office.claimed("2.wav"), "bb")


def test_only_the_holder_says_of_which_bytes_a_call_is(office: Office):
    call, other = office.claimed("1.wav"), office.claimed("2.wav")
    office.take_over(call, "run-2")
    with pytest.raises(ClaimLost):
        own(office, call)
    office.take_over(other, "run-1")
    own(office, other)


def test_a_service_that_is_away_costs_no_try(office: Office):
    call = office.claimed()
    for _ in range(20):
        again_at = office.states.fail(call.call_id, "run-1", "transcripts", AWAY)
        assert again_at and 40 < (again_at - datetime.now(UTC)).total_seconds() < 80
        assert office.claim(call)
    assert office.states.fail(call.call_id, "run-1", "transcripts", BUSY)
