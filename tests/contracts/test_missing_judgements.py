"""Mentions of complete calls that could not be judged: the fake and Postgres."""

import pytest

from callpipeline.domain.call import Call, CallState, Stage
from callpipeline.errors import ClaimLost
from callpipeline.storage.ports import StageWrite
from tests.builders import a_judgement, a_mention, a_write, an_unjudged
from tests.contracts.conftest import Office
from tests.contracts.test_call_states import store_all_stages

KNOWN = a_mention()
LOST = a_mention("Sky", segment_index=1)
BROKEN = a_mention("Three", segment_index=2)
AGAIN = Stage.COMPETITOR_SENTIMENT


def again(call: Call, run_id: str = "run-1") -> StageWrite:
    return a_write(call.call_id, AGAIN, run_id)


@pytest.fixture
def call(office: Office) -> Call:
    """A complete call of which one mention is judged, one is tried again, and one is not."""
    call = office.claimed()
    store_all_stages(office, call.call_id)
    office.results.save_mentions(
        a_write(call.call_id, Stage.COMPETITOR_MENTIONS), [KNOWN, LOST, BROKEN]
    )
    missing = [an_unjudged(LOST), an_unjudged(BROKEN, transient=False)]
    office.results.save_sentiment(again(call), [a_judgement(KNOWN)], missing)
    assert office.states.complete(call.call_id, "run-1") is CallState.COMPLETED
    return call


def test_a_call_is_complete_although_a_mention_could_not_be_judged(office: Office, call: Call):
    assert office.missing(call) == {LOST.mention_id: True, BROKEN.mention_id: False}
    assert office.results.judgements(call.call_id) == (a_judgement(KNOWN),)


def test_what_another_try_may_cure_is_taken_when_its_wait_is_over_and_once(
    office: Office, call: Call
):
    assert office.judges.take(call.call_id, "run-1") == frozenset()
    office.let_wait_pass(call)
    assert office.judges.take(call.call_id, "run-1") == {LOST.mention_id}
    assert office.judges.take(call.call_id, "run-2") == frozenset()
    assert office.state(call) is CallState.COMPLETED


def test_what_is_judged_after_all_stands_beside_the_rest(office: Office, call: Call):
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-1")
    assert office.judges.save(again(call), [a_judgement(LOST)]) is None
    assert office.missing(call) == {BROKEN.mention_id: False}
    judged = {one.mention_id for one in office.results.judgements(call.call_id)}
    assert judged == {KNOWN.mention_id, LOST.mention_id}
    assert office.state(call) is CallState.COMPLETED


def test_what_fails_again_waits_again_unless_another_try_cannot_help(office: Office, call: Call):
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-1")
    assert office.judges.save(again(call), [an_unjudged(LOST)])
    assert office.missing(call)[LOST.mention_id]
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-1")
    assert office.judges.save(again(call), [an_unjudged(LOST, transient=False)]) is None
    assert not office.missing(call)[LOST.mention_id]
    office.let_wait_pass(call)
    assert office.judges.take(call.call_id, "run-1") == frozenset()


def test_only_what_a_run_took_is_written(office: Office, call: Call):
    with pytest.raises(ClaimLost):
        office.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-1")
    with pytest.raises(ClaimLost):
        office.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    office.judges.save(again(call), [a_judgement(LOST), a_judgement(BROKEN)])
    assert office.missing(call) == {BROKEN.mention_id: False}


def test_a_call_that_another_run_takes_meanwhile_is_written_by_that_run_alone(
    office: Office, call: Call
):
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-2")
    assert office.claim(call)
    with pytest.raises(ClaimLost):
        office.judges.save(again(call, "run-2"), [a_judgement(LOST)])
    assert office.judges.take(call.call_id, "run-2") == frozenset()
    office.states.complete(call.call_id, "run-1")
    with pytest.raises(ClaimLost):
        office.judges.save(again(call, "run-2"), [a_judgement(LOST)])


def test_judging_the_whole_call_anew_begins_from_nothing(office: Office, call: Call):
    assert office.claim(call)
    office.results.save_sentiment(again(call), [a_judgement(LOST)], [an_unjudged(KNOWN)])
    assert office.missing(call) == {KNOWN.mention_id: True}
    office.results.save_sentiment(again(call), [a_judgement(KNOWN)])
    assert office.missing(call) == {}


def test_a_mention_that_is_not_found_again_is_not_missing(office: Office, call: Call):
    assert office.claim(call)
    office.results.save_mentions(a_write(call.call_id, Stage.COMPETITOR_MENTIONS), [KNOWN, LOST])
    assert office.missing(call) == {LOST.mention_id: True}


def test_of_an_erased_call_nothing_is_written(office: Office, call: Call):
    office.let_wait_pass(call)
    office.judges.take(call.call_id, "run-1")
    office.erase(call)
    with pytest.raises(ClaimLost):
        office.judges.save(again(call), [a_judgement(LOST)])
