"""How a run gives a call back: the fake and Postgres."""

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.errors import CallpipelineError, ClaimLost, EngineUnavailable
from tests.builders import a_write
from tests.builders import some_metrics as metrics
from tests.contracts.conftest import Office


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
        office.states.fail(call.call_id, "run-2", "transcripts", EngineUnavailable("busy"))
    office.states.fail(call.call_id, "run-1", "transcripts", EngineUnavailable("busy"))


@pytest.mark.parametrize("error", [EngineUnavailable("busy"), CallpipelineError("why")])
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
