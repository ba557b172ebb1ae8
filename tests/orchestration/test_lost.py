"""Runs that died: their calls are given back, and nothing they did is lost or told twice."""

import json
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from callpipeline.defs.lost import MEMORY_S, forget_lost, release_lost, silent_before
from callpipeline.defs.selection import BATCH_TAG
from callpipeline.domain.call import CallState, Stage
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.life import SILENT_S
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change, tick


def run_of(lab: Lab, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    job = lab.definitions.resolve_job_def("process_waiting_calls")
    return lab.instance.create_run_for_job(job, status=status, tags=tags)


def silence(lab: Lab) -> None:
    """As if no run had given a sign of life for long enough."""
    change(
        lab,
        "UPDATE runs SET alive_at = now() - %s::interval",
        timedelta(seconds=SILENT_S + 1),
    )


def test_the_calls_of_a_dead_run_are_given_back_and_fail_after_three_times(lab: Lab) -> None:
    call_id = lab.add_call("call")
    for attempt in range(3):
        assert lab.storage.claims.claim([call_id], f"gone-{attempt}")
        lab.storage.claims.begin(call_id, f"gone-{attempt}")
        assert release_lost(lab.instance, lab.storage.claims).released == 1
    record = lab.storage.ledger.find(call_id)
    assert record.state is CallState.FAILED
    assert record.error_message and "3 times" in record.error_message


def test_the_calls_of_a_run_under_way_are_left_to_it(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    assert release_lost(lab.instance, lab.storage.claims).released == 0


def test_a_run_that_dagster_believes_in_but_is_silent_is_dead_the_second_time(lab: Lab) -> None:
    """After an outage of the database every run is silent at first."""
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    silence(lab)
    first = release_lost(lab.instance, lab.storage.claims)
    assert (first.released, [s.run_id for s in first.suspects]) == (0, [run.run_id])
    again = silent_before(json.dumps(first.cursor))
    assert release_lost(lab.instance, lab.storage.claims, again).released == 1
    assert lab.storage.ledger.find(call_id).state is CallState.PENDING
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_suspect_that_gives_a_sign_of_life_keeps_its_calls(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    silence(lab)
    first = release_lost(lab.instance, lab.storage.claims)
    assert lab.storage.claims.alive(run.run_id)
    found = release_lost(lab.instance, lab.storage.claims, first.suspects)
    assert (found.released, found.suspects) == (0, ())


def test_a_silence_that_was_noted_long_ago_proves_nothing(lab: Lab) -> None:
    """Postgres was away in between, and with it the reconciler."""
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    silence(lab)
    first = release_lost(lab.instance, lab.storage.claims)
    old = [replace(s, noted_at=s.noted_at - MEMORY_S - 1) for s in first.suspects]
    found = release_lost(lab.instance, lab.storage.claims, old)
    assert (found.released, [s.run_id for s in found.suspects]) == (0, [run.run_id])


@pytest.mark.parametrize("cursor", [None, "", "no json", '["of an older version"]', "{}", "[[1]]"])
def test_a_cursor_of_another_version_holds_no_suspects(cursor: str | None) -> None:
    assert silent_before(cursor) == ()


def test_what_a_dead_run_stored_and_could_not_tell_is_told(lab: Lab) -> None:
    """It died after its last commit: the call is complete, and Dagster would never show it."""
    call_id = lab.add_call("call")
    lab.run([call_id])
    run = run_of(lab, dg.DagsterRunStatus.FAILURE)
    change(lab, "UPDATE call_stages SET run_id = %s", run.run_id)
    change(lab, "INSERT INTO runs (run_id) VALUES (%s)", run.run_id)
    lab.instance.wipe_assets([dg.AssetKey(stage.value) for stage in Stage])
    assert lab.materialized("transcripts") == set()
    release_lost(lab.instance, lab.storage.claims)
    assert {stage for stage in Stage if lab.materialized(stage.value) == {call_id}} == set(Stage)


def test_a_run_that_cannot_tell_its_last_stages_stays_in_the_ledger_until_it_is_found(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Postgres dies at its end: what was to be written together is not in Dagster."""

    def away(instance: dg.DagsterInstance) -> None:
        raise DatabaseUnavailable("Postgres did not answer.")

    call_id = lab.add_call("call")
    monkeypatch.setattr("callpipeline.defs.assets.write_waiting", away)
    ended = lab.run([call_id])
    assert not ended.success
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED
    assert [run.run_id for run in lab.storage.claims.claiming_runs()] == [ended.run_id]
    assert release_lost(lab.instance, lab.storage.claims).dead == {ended.run_id}
    assert lab.storage.claims.claiming_runs() == []


def test_what_a_dead_run_did_tell_is_not_told_again(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run_id = lab.run([call_id]).run_id
    change(lab, "INSERT INTO runs (run_id) VALUES (%s)", run_id)
    found = release_lost(lab.instance, lab.storage.claims)
    assert found.dead == {run_id}
    of_transcripts = dg.AssetRecordsFilter(asset_key=dg.AssetKey("transcripts"))
    assert len(lab.instance.fetch_materializations(of_transcripts, limit=10).records) == 1


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE])
def test_calls_of_a_batch_whose_run_ended_before_it_took_them_are_asked_for_again_later(
    lab: Lab, status: dg.DagsterRunStatus
) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    assert first.run_key
    run_of(lab, status, **{BATCH_TAG: first.run_key})
    assert forget_lost(lab.instance, lab.storage.queue) == 1
    assert not tick(lab).run_requests
    change(lab, "UPDATE calls SET not_before = not_before - interval '5 seconds'")
    [second] = tick(lab).run_requests or []
    assert second.run_key != first.run_key


def test_a_batch_whose_run_waits_in_dagsters_queue_is_left_alone(lab: Lab) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    assert first.run_key
    run_of(lab, dg.DagsterRunStatus.NOT_STARTED, **{BATCH_TAG: first.run_key})
    assert forget_lost(lab.instance, lab.storage.queue) == 0


def test_a_run_that_hangs_before_it_took_its_calls_is_given_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add_call("call")
    [request] = tick(lab).run_requests or []
    assert request.run_key
    run = run_of(lab, dg.DagsterRunStatus.STARTED, **{BATCH_TAG: request.run_key})
    assert forget_lost(lab.instance, lab.storage.queue) == 0
    monkeypatch.setattr("callpipeline.defs.lost.LATE_S", -1.0)
    assert forget_lost(lab.instance, lab.storage.queue) == 1
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE
