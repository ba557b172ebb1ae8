"""Unjudged mentions of completed calls: the fake and Postgres."""

import pytest

from callpipeline.domain.calls.call import Call, CallState, Stage
from callpipeline.errors import ClaimLost
from callpipeline.storage.ports.results import StageWrite
from tests.builders import a_judgement, a_mention, a_write, an_unjudged
from tests.contracts.conftest import Backend
from tests.contracts.test_call_states import store_all_stages

KNOWN = a_mention()
LOST = a_mention("Sky", segment_index=1)
BROKEN = a_mention("Three", segment_index=2)
AGAIN = Stage.COMPETITOR_SENTIMENT


def again(call: Call, run_id: str = "run-1") -> StageWrite:
    return a_write(call.call_id, AGAIN, run_id)


@pytest.fixture
def call(backend: Backend) -> Call:
    """A completed call: one mention judged, one retried automatically, one not."""
    call = backend.claimed()
    store_all_stages(backend, call.call_id)
    backend.results.save_mentions(
        a_write(call.call_id, Stage.COMPETITOR_MENTIONS), [KNOWN, LOST, BROKEN]
    )
    missing = [an_unjudged(LOST), an_unjudged(BROKEN, transient=False)]
    backend.results.save_sentiment(again(call), [a_judgement(KNOWN)], missing)
    assert backend.states.complete(call.call_id, "run-1") is CallState.COMPLETED
    return call


def test_a_call_is_completed_although_a_mention_could_not_be_judged(backend: Backend, call: Call):
    assert backend.missing(call) == {LOST.mention_id: True, BROKEN.mention_id: False}
    assert backend.results.judgements(call.call_id) == (a_judgement(KNOWN),)


def test_a_mention_is_claimed_once_when_its_wait_is_over(backend: Backend, call: Call):
    assert backend.judges.claim(call.call_id, "run-1") == frozenset()
    backend.skip_wait(call)
    assert backend.judges.claim(call.call_id, "run-1") == {LOST.mention_id}
    assert backend.judges.claim(call.call_id, "run-2") == frozenset()
    assert backend.state(call) is CallState.COMPLETED


def test_late_judgements_are_added_to_the_others(backend: Backend, call: Call):
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-1")
    assert backend.judges.save(again(call), [a_judgement(LOST)]) is None
    assert backend.missing(call) == {BROKEN.mention_id: False}
    judged = {one.mention_id for one in backend.results.judgements(call.call_id)}
    assert judged == {KNOWN.mention_id, LOST.mention_id}
    assert backend.state(call) is CallState.COMPLETED


def test_another_failure_is_retried_unless_it_is_permanent(backend: Backend, call: Call):
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-1")
    assert backend.judges.save(again(call), [an_unjudged(LOST)])
    assert backend.missing(call)[LOST.mention_id]
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-1")
    assert backend.judges.save(again(call), [an_unjudged(LOST, transient=False)]) is None
    assert not backend.missing(call)[LOST.mention_id]
    backend.skip_wait(call)
    assert backend.judges.claim(call.call_id, "run-1") == frozenset()


def test_only_claimed_mentions_are_written(backend: Backend, call: Call):
    with pytest.raises(ClaimLost):
        backend.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-1")
    with pytest.raises(ClaimLost):
        backend.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    backend.judges.save(again(call), [a_judgement(LOST), a_judgement(BROKEN)])
    assert backend.missing(call) == {BROKEN.mention_id: False}


def test_a_claim_of_the_whole_call_revokes_the_claim_of_its_mentions(backend: Backend, call: Call):
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-2")
    assert backend.claim(call)
    with pytest.raises(ClaimLost):
        backend.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    assert backend.judges.claim(call.call_id, "run-2") == frozenset()
    backend.states.complete(call.call_id, "run-1")
    with pytest.raises(ClaimLost):
        backend.judges.save(again(call, "run-2"), [a_judgement(LOST)])


def test_judging_the_whole_call_again_replaces_missing_judgements(backend: Backend, call: Call):
    assert backend.claim(call)
    backend.results.save_sentiment(again(call), [a_judgement(LOST)], [an_unjudged(KNOWN)])
    assert backend.missing(call) == {KNOWN.mention_id: True}
    backend.results.save_sentiment(again(call), [a_judgement(KNOWN)])
    assert backend.missing(call) == {}


def test_a_mention_that_is_not_found_again_is_not_missing(backend: Backend, call: Call):
    assert backend.claim(call)
    backend.results.save_mentions(a_write(call.call_id, Stage.COMPETITOR_MENTIONS), [KNOWN, LOST])
    assert backend.missing(call) == {LOST.mention_id: True}


def test_nothing_is_written_to_an_erased_call(backend: Backend, call: Call):
    backend.skip_wait(call)
    backend.judges.claim(call.call_id, "run-1")
    backend.erase(call)
    with pytest.raises(ClaimLost):
        backend.judges.save(again(call), [a_judgement(LOST)])
