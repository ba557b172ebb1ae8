"""What Dagster shows of calls that are tried again, and of recordings that arrive twice."""

import dagster as dg

from callpipeline.domain.call import CallState
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.registration import register
from tests.orchestration.lab import Lab


def test_an_error_that_may_pass_lets_the_call_wait_and_the_run_is_not_red(lab: Lab) -> None:
    call_id = lab.add_call("call")

    def refuse() -> None:
        raise EngineUnavailable("The splitter does not answer.")

    lab.listening.before_split = refuse
    assert lab.run([call_id]).success
    record = lab.storage.ledger.find(call_id)
    assert (record.state, record.retries) == (CallState.PENDING, 1)
    assert record.not_before and record.error_message == "The splitter does not answer."
    [found] = lab.instance.fetch_observations(dg.AssetKey("channel_audio"), limit=10).records
    assert found.asset_observation
    assert found.asset_observation.metadata["tried_again_at"].value
    lab.listening.before_split = lambda: None
    assert lab.run([call_id], tags={"callpipeline/batch": "later"}).success
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED


def test_an_error_that_does_not_pass_ends_the_call_after_three_more_tries(lab: Lab) -> None:
    call_id = lab.add_call("call")

    def refuse() -> None:
        raise EngineUnavailable("The splitter does not answer.")

    lab.listening.before_split = refuse
    outcomes = [lab.run([call_id], tags={"callpipeline/batch": f"{n}"}).success for n in range(4)]
    assert outcomes == [True, True, True, False]
    record = lab.storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "EngineUnavailable")
    assert record.error_transient


def test_the_same_bytes_under_two_names_are_worked_on_once(lab: Lab) -> None:
    """Both were dropped: nobody knew their bytes before the run read them."""
    first = lab.add_call("first")
    sound = (lab.folder / "first.wav").read_bytes()
    lab.storage.inbox.put("second.wav", sound)
    [entered] = register(
        lab.storage.ledger, lab.storage.home, [lab.storage.inbox.recording("second.wav")]
    )
    second = entered.call_id
    assert lab.run(sorted([first, second])).success
    assert lab.listening.used.count("splitter") == 1
    record = lab.storage.ledger.find(second)
    assert (record.state, record.duplicate_of) == (CallState.DUPLICATE, first)
    [found] = lab.instance.fetch_observations(dg.AssetKey("channel_audio"), limit=10).records
    assert found.partition_key == second
    assert found.asset_observation
    assert found.asset_observation.metadata["duplicate_of"].value == first


def test_a_duplicate_that_a_person_materializes_says_of_which_call(lab: Lab) -> None:
    first = lab.add_call("first")
    lab.storage.inbox.put("second.wav", (lab.folder / "first.wav").read_bytes())
    recording = lab.storage.inbox.recording("second.wav")
    second = register(lab.storage.ledger, lab.storage.home, [recording])[0].call_id
    lab.run(sorted([first, second]))
    assert lab.run(sorted([first, second])).success
    result = lab.run([second])
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert f"the same recording as call {first}" in str(failure.step_failure_data.error)
