"""Dead runs: their calls are reclaimed, and their work is neither lost nor reported twice."""

import json
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from callpipeline.defs.partitions import BATCH_TAG
from callpipeline.defs.sensors.maintenance import (
    SUSPICION_S,
    ReconcileResult,
    forget_lost_batches,
    reclaim_lost,
    stale_runs_from,
)
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.calls.claims import STALE_AFTER_S
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change, tick


def run_of(lab: Lab, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    job = lab.definitions.resolve_job_def("process_waiting_calls")
    return lab.instance.create_run_for_job(job, status=status, tags=tags)


def stop_heartbeats(lab: Lab) -> None:
    """Make every run look stale."""
    change(
        lab,
        "UPDATE runs SET heartbeat_at = now() - %s::interval",
        timedelta(seconds=STALE_AFTER_S + 1),
    )


def reclaim_dead(lab: Lab) -> ReconcileResult:
    """Reclaim the calls of all runs, which send no heartbeats, in two ticks."""
    stop_heartbeats(lab)
    first = reclaim_lost(lab.instance, lab.storage.claims)
    return reclaim_lost(lab.instance, lab.storage.claims, first.suspects)


def test_the_calls_of_a_dead_run_are_reclaimed_and_fail_the_third_time(lab: Lab) -> None:
    call_id = lab.add_call("call")
    for attempt in range(3):
        assert lab.storage.claims.claim([call_id], f"gone-{attempt}")
        lab.storage.claims.begin(call_id, f"gone-{attempt}")
        assert reclaim_dead(lab).released == 1
    record = lab.storage.ledger.find(call_id)
    assert record.state is CallState.FAILED
    assert record.error_message and "3 times" in record.error_message


def test_the_calls_of_a_live_run_are_not_reclaimed(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    assert reclaim_lost(lab.instance, lab.storage.claims).released == 0


def test_the_calls_of_a_command_are_its_own_while_it_sends_heartbeats(lab: Lab) -> None:
    """The command `redact` is no run of Dagster."""
    call_id = lab.add_call("call")
    lab.storage.claims.claim([call_id], "redact-1")
    first = reclaim_lost(lab.instance, lab.storage.claims)
    assert reclaim_lost(lab.instance, lab.storage.claims, first.suspects).dead == frozenset()
    assert lab.storage.ledger.find(call_id).claimed_by == "redact-1"
    assert reclaim_dead(lab).dead == {"redact-1"}
    assert lab.storage.ledger.find(call_id).state is CallState.PENDING


def test_a_stale_run_is_dead_the_second_time(lab: Lab) -> None:
    """After a database outage every run looks stale at first."""
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    stop_heartbeats(lab)
    first = reclaim_lost(lab.instance, lab.storage.claims)
    assert (first.released, [s.run_id for s in first.suspects]) == (0, [run.run_id])
    again = stale_runs_from(json.dumps(first.cursor))
    assert reclaim_lost(lab.instance, lab.storage.claims, again).released == 1
    assert lab.storage.ledger.find(call_id).state is CallState.PENDING
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_suspect_with_a_new_heartbeat_keeps_its_calls(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    stop_heartbeats(lab)
    first = reclaim_lost(lab.instance, lab.storage.claims)
    assert lab.storage.claims.beat(run.run_id)
    found = reclaim_lost(lab.instance, lab.storage.claims, first.suspects)
    assert (found.released, found.suspects) == (0, ())


def test_an_old_suspicion_is_ignored(lab: Lab) -> None:
    """Postgres was down in between, and with it the reconciler."""
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    stop_heartbeats(lab)
    first = reclaim_lost(lab.instance, lab.storage.claims)
    old = [replace(s, observed_at=s.observed_at - SUSPICION_S - 1) for s in first.suspects]
    found = reclaim_lost(lab.instance, lab.storage.claims, old)
    assert (found.released, [s.run_id for s in found.suspects]) == (0, [run.run_id])


@pytest.mark.parametrize("cursor", [None, "", "no json", '["of an older version"]', "{}", "[[1]]"])
def test_a_cursor_of_another_version_has_no_suspects(cursor: str | None) -> None:
    assert stale_runs_from(cursor) == ()


def test_unreported_stages_of_a_dead_run_are_reported(lab: Lab) -> None:
    """It died after its last commit: the call is complete, but Dagster would not show it."""
    call_id = lab.add_call("call")
    lab.run([call_id])
    run = run_of(lab, dg.DagsterRunStatus.FAILURE)
    change(lab, "UPDATE call_stages SET run_id = %s", run.run_id)
    change(lab, "INSERT INTO runs (run_id) VALUES (%s)", run.run_id)
    lab.instance.wipe_assets([dg.AssetKey(stage.value) for stage in Stage])
    assert lab.materialized("transcripts") == set()
    reclaim_lost(lab.instance, lab.storage.claims)
    assert {stage for stage in Stage if lab.materialized(stage.value) == {call_id}} == set(Stage)


def test_a_run_that_cannot_report_its_last_stages_keeps_its_claims_until_it_is_found(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Postgres dies at its end: buffered events are not in Dagster."""

    def unavailable(instance: dg.DagsterInstance) -> None:
        raise DatabaseUnavailable("Postgres did not answer.")

    call_id = lab.add_call("call")
    monkeypatch.setattr("callpipeline.defs.interruption.flush_events", unavailable)
    ended = lab.run([call_id])
    assert not ended.success
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED
    assert [run.run_id for run in lab.storage.claims.claiming_runs()] == [ended.run_id]
    assert reclaim_lost(lab.instance, lab.storage.claims).dead == {ended.run_id}
    assert lab.storage.claims.claiming_runs() == []


def test_reported_stages_of_a_dead_run_are_not_reported_again(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run_id = lab.run([call_id]).run_id
    change(lab, "INSERT INTO runs (run_id) VALUES (%s)", run_id)
    found = reclaim_lost(lab.instance, lab.storage.claims)
    assert found.dead == {run_id}
    of_transcripts = dg.AssetRecordsFilter(asset_key=dg.AssetKey("transcripts"))
    assert len(lab.instance.fetch_materializations(of_transcripts, limit=10).records) == 1


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE])
def test_calls_of_a_batch_whose_run_never_claimed_them_are_requested_again_later(
    lab: Lab, status: dg.DagsterRunStatus
) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    assert first.run_key
    run_of(lab, status, **{BATCH_TAG: first.run_key})
    assert forget_lost_batches(lab.instance, lab.storage.queue) == 1
    assert not tick(lab).run_requests
    change(lab, "UPDATE calls SET next_attempt_at = next_attempt_at - interval '5 seconds'")
    [second] = tick(lab).run_requests or []
    assert second.run_key != first.run_key


def test_a_batch_whose_run_is_queued_in_dagster_is_left_alone(lab: Lab) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    assert first.run_key
    run_of(lab, dg.DagsterRunStatus.NOT_STARTED, **{BATCH_TAG: first.run_key})
    assert forget_lost_batches(lab.instance, lab.storage.queue) == 0


def test_a_run_that_hangs_before_it_claims_its_calls_is_failed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add_call("call")
    [request] = tick(lab).run_requests or []
    assert request.run_key
    run = run_of(lab, dg.DagsterRunStatus.STARTED, **{BATCH_TAG: request.run_key})
    assert forget_lost_batches(lab.instance, lab.storage.queue) == 0
    monkeypatch.setattr("callpipeline.defs.sensors.maintenance.START_TIMEOUT_S", -1.0)
    assert forget_lost_batches(lab.instance, lab.storage.queue) == 1
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE
