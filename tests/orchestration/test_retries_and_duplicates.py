"""Retries, and recordings that arrive twice, as Dagster shows them."""

from contextlib import nullcontext

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG

from callpipeline.defs.jobs.process_calls import plan_batches, request_runs
from callpipeline.defs.partitions import restore_keys
from callpipeline.domain.calls.call import CallState
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.ingest.registration import register
from tests.orchestration.lab import Lab


def test_after_a_transient_error_the_call_waits_and_the_run_succeeds(lab: Lab) -> None:
    call_id = lab.add_call("call")

    def refuse() -> None:
        raise EngineUnavailable("The splitter does not answer.")

    lab.engines.before_split = refuse
    assert lab.run([call_id]).success
    record = lab.storage.ledger.find(call_id)
    assert (record.state, record.retries) == (CallState.PENDING, 1)
    assert record.next_attempt_at and record.error_message == "The splitter does not answer."
    [found] = lab.instance.fetch_observations(dg.AssetKey("channel_audio"), limit=10).records
    assert found.asset_observation
    assert found.asset_observation.metadata["next_attempt_at"].value
    lab.engines.before_split = lambda: None
    assert lab.run([call_id], tags={"callpipeline/batch": "later"}).success
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED


def test_a_persistent_error_fails_the_call_after_three_retries(lab: Lab) -> None:
    call_id = lab.add_call("call")

    def refuse() -> None:
        raise EngineUnavailable("The splitter does not answer.")

    lab.engines.before_split = refuse
    outcomes = [lab.run([call_id], tags={"callpipeline/batch": f"{n}"}).success for n in range(4)]
    assert outcomes == [True, True, True, False]
    record = lab.storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "EngineUnavailable")
    assert record.error_transient


def test_the_same_bytes_under_two_names_are_processed_once(lab: Lab) -> None:
    """Their bytes are unknown before the run reads them."""
    first = lab.add_call("first")
    sound = (lab.folder / "first.wav").read_bytes()
    lab.storage.inbox.put("second.wav", sound)
    [entered] = register(
        lab.storage.ledger, lab.storage.home, [lab.storage.inbox.recording("second.wav")]
    )
    second = entered.call_id
    assert lab.run(sorted([first, second])).success
    assert lab.engines.used.count("splitter") == 1
    record = lab.storage.ledger.find(second)
    assert (record.state, record.duplicate_of) == (CallState.DUPLICATE, first)
    [found] = lab.instance.fetch_observations(dg.AssetKey("channel_audio"), limit=10).records
    assert found.partition_key == second
    assert found.asset_observation
    assert found.asset_observation.metadata["duplicate_of"].value == first


def test_materializing_a_duplicate_reports_the_original_call(lab: Lab) -> None:
    first = lab.add_call("first")
    lab.storage.inbox.put("second.wav", (lab.folder / "first.wav").read_bytes())
    recording = lab.storage.inbox.recording("second.wav")
    second = register(lab.storage.ledger, lab.storage.home, [recording])[0].call_id
    lab.run(sorted([first, second]))
    assert lab.run(sorted([first, second])).success
    result = lab.run([second])
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert f"the same recording as call {first}" in str(failure.step_failure_data.error)


def test_a_retried_call_whose_partition_key_was_retired_gets_it_back(lab: Lab) -> None:
    call_id = lab.add_call("call", audio=b"RIFF and no more")
    lab.run([call_id])
    assert lab.storage.ledger.find(call_id).state is CallState.FAILED
    lab.instance.delete_dynamic_partition("calls", call_id)
    assert lab.storage.ledger.retry([call_id]) == {call_id}
    [request] = request_runs(lab.instance, plan_batches(lab.storage.queue, "late", 10))
    assert call_id in lab.instance.get_dynamic_partitions("calls")
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == call_id


def test_keys_of_old_calls_are_restored_for_a_backfill(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    lab.instance.delete_dynamic_partition("calls", call_id)
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(lab.instance))
    assert restore_keys([call_id]) == [call_id]
    assert restore_keys([call_id]) == []
    assert lab.run([call_id], assets=["competitor_mentions", "competitor_sentiment"]).success
