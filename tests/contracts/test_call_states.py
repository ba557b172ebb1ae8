"""Contract of CallStates: how calls end, retries and duplicates; fake and Postgres."""

from datetime import UTC, datetime, timedelta

import pytest

from callpipeline.domain.calls.call import Call, CallState, DuplicatePolicy, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DuplicateRecording,
    EngineUnavailable,
    MissingObject,
    SameRecording,
    ServiceUnavailable,
    UnsupportedAudio,
)
from tests.builders import a_write
from tests.builders import some_metrics as metrics
from tests.contracts.conftest import Backend

BUSY = EngineUnavailable("busy")
UNAVAILABLE = ServiceUnavailable("away", 60.0)


def store_all_stages(backend: Backend, call_id: str) -> None:
    results = backend.results
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), metrics())
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [])
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [])
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [])
    # The stage is that of the write, so this stands for the audio.
    results.save_metrics(a_write(call_id, Stage.CHANNEL_AUDIO), metrics())


def test_a_call_with_every_stage_is_complete(backend: Backend):
    call = backend.claimed()
    store_all_stages(backend, call.call_id)
    assert backend.states.complete(call.call_id, "run-1") is CallState.COMPLETED


def test_a_call_without_all_stages_stays_pending(backend: Backend):
    call = backend.claimed()
    backend.results.save_metrics(a_write(call.call_id, Stage.CALL_METRICS), metrics())
    assert backend.states.complete(call.call_id, "run-1") is CallState.PENDING


def test_only_the_claiming_run_can_end_a_call(backend: Backend):
    call = backend.claimed()
    with pytest.raises(ClaimLost):
        backend.states.complete(call.call_id, "run-2")
    with pytest.raises(ClaimLost):
        backend.states.fail(call.call_id, "run-2", "transcripts", BUSY)
    backend.states.fail(call.call_id, "run-1", "transcripts", BUSY)


@pytest.mark.parametrize("error", [BUSY, CallpipelineError("why")])
def test_a_call_ends_once(backend: Backend, error: CallpipelineError):
    call = backend.claimed()
    backend.states.fail(call.call_id, "run-1", "transcripts", error)
    with pytest.raises(ClaimLost):
        backend.states.fail(call.call_id, "run-1", "transcripts", error)
    with pytest.raises(ClaimLost):
        backend.states.complete(call.call_id, "run-1")


def test_a_run_that_lost_its_claim_cannot_end_the_call(backend: Backend):
    call = backend.claimed()
    backend.take_over(call, "run-2")
    with pytest.raises(ClaimLost):
        backend.states.complete(call.call_id, "run-1")
    assert backend.states.complete(call.call_id, "run-2") is CallState.PENDING


# Failing


def fail(backend: Backend, call: Call, error: CallpipelineError = BUSY) -> datetime | None:
    return backend.states.fail(call.call_id, "run-1", "transcripts", error)


def fail_until_it_ends(backend: Backend, call: Call) -> int:
    """Fail a call with a transient error until it ends; return the number of retries."""
    retries = 0
    while fail(backend, call):
        retries += 1
        assert retries < 10
        assert backend.claim(call)
    return retries


def test_a_transient_failure_schedules_a_retry(backend: Backend):
    call = backend.claimed()
    retry_at = fail(backend, call)
    assert retry_at
    assert timedelta(seconds=20) < retry_at - datetime.now(UTC) < timedelta(seconds=40)
    assert backend.state(call) is CallState.PENDING
    assert backend.reason(call) == "busy"


def test_a_call_is_retried_three_times_and_then_fails(backend: Backend):
    call = backend.claimed()
    assert fail_until_it_ends(backend, call) == 3
    assert backend.state(call) is CallState.FAILED
    assert backend.reason(call) == "busy"


@pytest.mark.parametrize("error", [UnsupportedAudio("a picture"), CallpipelineError("a picture")])
def test_a_permanent_failure_ends_the_call_at_once(backend: Backend, error: CallpipelineError):
    call = backend.claimed()
    assert fail(backend, call, error) is None
    assert backend.state(call) is CallState.FAILED
    assert backend.reason(call) == "a picture"


def test_a_permanent_failure_of_a_retry_sets_the_reason(backend: Backend):
    call = backend.claimed()
    fail(backend, call)
    backend.claim(call)
    assert fail(backend, call, UnsupportedAudio("a picture")) is None
    assert backend.reason(call) == "a picture"


def test_retries_are_reset_by_a_manual_run(backend: Backend):
    call = backend.claimed()
    fail_until_it_ends(backend, call)
    backend.claim(call)
    assert fail_until_it_ends(backend, call) == 3


def test_retries_are_reset_by_a_manual_retry(backend: Backend):
    failed, waiting = backend.claimed("failed.wav"), backend.claimed("waiting.wav")
    fail_until_it_ends(backend, failed)
    fail(backend, waiting)
    for call in (failed, waiting):
        backend.retry(call)
        assert backend.state(call) is CallState.PENDING
        assert backend.claim(call)
        assert fail_until_it_ends(backend, call) == 3


def test_retries_are_reset_after_a_success(backend: Backend):
    call = backend.claimed()
    fail(backend, call)
    backend.claim(call)
    # Not all stages are stored, so the call stays pending; an ended one is reset anyway.
    assert backend.states.complete(call.call_id, "run-1") is CallState.PENDING
    backend.claim(call)
    assert fail_until_it_ends(backend, call) == 3


def test_a_reason_may_contain_characters_that_postgres_rejects(backend: Backend):
    """Messages of decoders quote the file."""
    call = backend.claimed()
    fail(backend, call, UnsupportedAudio("it begins with \x00\ud800 bytes"))
    assert backend.state(call) is CallState.FAILED


# Duplicates


def own(backend: Backend, call: Call, sha256: str = "aa") -> None:
    backend.states.own_content(call, "run-1", sha256)


@pytest.mark.parametrize("policy", list(DuplicatePolicy))
def test_the_owner_of_a_content_is_processed_also_when_retried(
    backend: Backend, policy: DuplicatePolicy
):
    call = backend.claimed(duplicates=policy)
    own(backend, call)
    fail(backend, call)
    backend.claim(call)
    own(backend, call)
    assert backend.state(call) is CallState.PROCESSING


def test_a_second_call_with_the_same_content_is_linked_to_the_first(backend: Backend):
    first, second = backend.claimed("1.wav"), backend.claimed("2.wav")
    own(backend, first)
    with pytest.raises(SameRecording) as raised:
        own(backend, second)
    assert raised.value.original_call_id == first.call_id
    assert backend.state(second) is CallState.DUPLICATE
    with pytest.raises(ClaimLost):
        fail(backend, second)


def test_a_duplicate_cannot_be_claimed(backend: Backend):
    first, second = backend.claimed("1.wav"), backend.claimed("2.wav")
    own(backend, first)
    with pytest.raises(SameRecording):
        own(backend, second)
    assert not backend.claim(second)
    assert backend.state(second) is CallState.DUPLICATE


def test_refused_duplicates_fail(backend: Backend):
    first = backend.claimed("1.wav")
    second = backend.claimed("2.wav", duplicates=DuplicatePolicy.REFUSE)
    own(backend, first)
    with pytest.raises(DuplicateRecording, match=first.call_id) as raised:
        own(backend, second)
    assert fail(backend, second, raised.value) is None
    assert backend.state(second) is CallState.FAILED


def test_duplicates_are_processed_if_the_policy_says_so(backend: Backend):
    first = backend.claimed("1.wav")
    second = backend.claimed("2.wav", duplicates=DuplicatePolicy.PROCESS)
    own(backend, first)
    own(backend, second)
    assert backend.state(second) is CallState.PROCESSING
    with pytest.raises(SameRecording) as raised:
        own(backend, backend.claimed("3.wav"))
    assert raised.value.original_call_id == first.call_id


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_erased_content_never_gets_a_new_owner(backend: Backend, policy: DuplicatePolicy):
    erased, second = backend.claimed("1.wav"), backend.claimed("2.wav", duplicates=policy)
    own(backend, erased)
    fail(backend, erased, UnsupportedAudio("a picture"))
    backend.erase(erased)
    with pytest.raises(SameRecording) as raised:
        own(backend, second)
    assert raised.value.original_call_id == erased.call_id
    assert backend.state(second) is CallState.DUPLICATE


MISSING = MissingObject("The recording no longer exists.")
PICTURE = UnsupportedAudio("a picture")


def end(backend: Backend, call: Call, error: CallpipelineError) -> None:
    """Fail a call until it is not retried any more."""
    while fail(backend, call, error):
        backend.claim(call)
    assert backend.state(call) is CallState.FAILED


@pytest.mark.parametrize("error", [BUSY, MISSING])
def test_content_of_a_call_that_failed_for_itself_passes_to_the_next_call(
    backend: Backend, error: CallpipelineError
):
    failed, second = backend.claimed("1.wav"), backend.claimed("2.wav")
    own(backend, failed)
    end(backend, failed, error)
    own(backend, second)
    assert backend.state(second) is CallState.PROCESSING


def test_a_call_that_waits_for_a_retry_keeps_its_content(backend: Backend):
    waiting, second = backend.claimed("1.wav"), backend.claimed("2.wav")
    own(backend, waiting)
    assert fail(backend, waiting)
    with pytest.raises(SameRecording):
        own(backend, second)


def test_undecodable_content_is_not_processed_again_under_another_name(backend: Backend):
    failed, second = backend.claimed("1.wav"), backend.claimed("2.wav")
    own(backend, failed)
    end(backend, failed, PICTURE)
    with pytest.raises(SameRecording) as raised:
        own(backend, second)
    assert raised.value.original_call_id == failed.call_id


def linked(backend: Backend, *names: str) -> list[Call]:
    """Claim calls with the same content; all but the first end as duplicates."""
    calls = [backend.claimed(name) for name in names]
    own(backend, calls[0])
    for call in calls[1:]:
        with pytest.raises(SameRecording):
            own(backend, call)
    return calls


@pytest.mark.parametrize("error", [BUSY, MISSING])
def test_duplicates_are_promoted_one_after_the_other(backend: Backend, error: CallpipelineError):
    first, second, third = linked(backend, "1.wav", "2.wav", "3.wav")
    end(backend, first, error)
    (promoted,) = (call for call in (second, third) if backend.state(call) is CallState.PENDING)
    (other,) = {second.call_id, third.call_id} - {promoted.call_id}
    assert backend.claim(promoted)
    own(backend, promoted)
    end(backend, promoted, error)
    (last,) = (call for call in (second, third) if call.call_id == other)
    assert backend.claim(last)
    own(backend, last)


def test_the_original_becomes_the_duplicate_of_a_promoted_call(backend: Backend):
    first, second = linked(backend, "1.wav", "2.wav")
    end(backend, first, BUSY)
    backend.retry(first)
    assert backend.claim(first)
    with pytest.raises(SameRecording) as raised:
        own(backend, first)
    assert raised.value.original_call_id == second.call_id


def test_a_duplicate_is_not_promoted_after_a_permanent_failure(backend: Backend):
    first, second = linked(backend, "1.wav", "2.wav")
    end(backend, first, PICTURE)
    assert backend.state(second) is CallState.DUPLICATE


def test_a_duplicate_is_not_promoted_before_the_last_retry(backend: Backend):
    first, second = linked(backend, "1.wav", "2.wav")
    assert fail(backend, first)
    assert backend.state(second) is CallState.DUPLICATE


def test_other_content_is_another_call(backend: Backend):
    own(backend, backend.claimed("1.wav"), "aa")
    own(backend, backend.claimed("2.wav"), "bb")


def test_only_the_claiming_run_can_set_the_content(backend: Backend):
    call, other = backend.claimed("1.wav"), backend.claimed("2.wav")
    backend.take_over(call, "run-2")
    with pytest.raises(ClaimLost):
        own(backend, call)
    backend.take_over(other, "run-1")
    own(backend, other)


def test_an_outage_uses_up_no_retries(backend: Backend):
    call = backend.claimed()
    for _ in range(20):
        retry_at = backend.states.fail(call.call_id, "run-1", "transcripts", UNAVAILABLE)
        assert retry_at and 40 < (retry_at - datetime.now(UTC)).total_seconds() < 80
        assert backend.claim(call)
    assert backend.states.fail(call.call_id, "run-1", "transcripts", BUSY)
