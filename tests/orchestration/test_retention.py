"""Retention jobs, and the sensor that completes erasures."""

from typing import Any

import dagster as dg
import pytest

from callpipeline.definitions import build
from callpipeline.defs.sensors.maintenance import erasures_sensor
from callpipeline.domain.calls.call import CallState, Registration
from tests.integration.calls import change
from tests.orchestration.lab import Lab


def launch(lab: Lab, job: str, *, dry_run: bool, **settings: int) -> dg.ExecuteInProcessResult:
    """Execute a job of an installation with these retention periods."""
    definitions = build(lab.settings.model_copy(update=settings))
    op = {"purge_dagster": "delete_old_records", "purge_calls": "delete_old_calls"}[job]
    return definitions.resolve_job_def(job).execute_in_process(
        instance=lab.instance,
        run_config={"ops": {op: {"config": {"dry_run": dry_run}}}},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the counts on the run's page."""
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def old_call(lab: Lab) -> str:
    call_id = lab.add_call("old")
    lab.run([call_id])
    then = "now() - interval '31 days'"
    change(lab.storage, [call_id], completed_at=then, first_ended_at=then)
    return call_id


@pytest.mark.parametrize("dry_run", [True, False])
def test_keys_of_old_calls_are_retired(lab: Lab, dry_run: bool) -> None:
    old, young = old_call(lab), lab.add_call("young")
    lab.run([young])
    result = launch(lab, "purge_dagster", dry_run=dry_run)
    assert result.success
    assert metadata(result)["partition_keys"] == 1
    keys = set(lab.instance.get_dynamic_partitions("calls"))
    assert keys == ({old, young} if dry_run else {young})
    assert lab.storage.ledger.find(old).state is CallState.COMPLETED


@pytest.mark.parametrize("dry_run", [True, False])
def test_audio_is_deleted_after_its_period(lab: Lab, dry_run: bool) -> None:
    call_id = old_call(lab)
    result = launch(lab, "purge_calls", dry_run=dry_run, keep_audio_days=30)
    assert result.success
    assert metadata(result) == {"audio": 1, "notifications": 0, "audit": 0}
    stored = [found.key for found in lab.storage.store.list(f"calls/{call_id}")]
    assert any(key.endswith(".flac") for key in stored) == dry_run
    assert any("transcript" in key for key in stored)


def test_an_obstacle_fails_the_run_with_a_reason(lab: Lab) -> None:
    call_id = old_call(lab)
    change(lab.storage, [call_id], bucket="'old'")
    result = launch(lab, "purge_calls", dry_run=False, keep_recordings_days=9, keep_audio_days=9)
    assert not result.success
    assert "recordings: The recording came from old, which is not a source any more" in str(
        [f"{event.message}{event.event_specific_data}" for event in result.all_events]
    )
    assert audio_is_deleted(lab, call_id)


def audio_is_deleted(lab: Lab, call_id: str) -> bool:
    """Return True if the other kind was deleted anyway."""
    return not [k for k in lab.storage.store.list(f"calls/{call_id}") if k.key.endswith(".flac")]


def test_retention_jobs_run_every_night(lab: Lab) -> None:
    repository = lab.definitions.get_repository_def()
    nightly = {schedule.name: schedule for schedule in repository.schedule_defs}
    for name in ("purge_dagster", "purge_calls"):
        assert nightly[name].default_status is dg.DefaultScheduleStatus.RUNNING
        with dg.build_schedule_context(instance=lab.instance) as context:
            assert len(nightly[name].evaluate_tick(context).run_requests or []) == 1


def test_the_sensor_completes_erasures_and_erases_what_arrives_again(lab: Lab) -> None:
    call_id = lab.add_call("private")
    lab.run([call_id])
    [recording] = [r for r in lab.storage.inbox.list() if r.key.endswith(".wav")]
    content = lab.storage.inbox.read(recording.key)
    lab.storage.erasures.begin([call_id], keep_recording=False)
    assert tick(lab) == "0 of 1 erasures completed."
    assert tick(lab) == "1 of 1 erasures completed."
    assert tick(lab) == "Nothing to erase."
    assert lab.instance.get_dynamic_partitions("calls") == []

    lab.storage.inbox.put("again.wav", content)
    lab.storage.ledger.register([Registration(lab.storage.inbox.recording("again.wav"))])
    [waiting] = lab.storage.ledger.calls(states=[CallState.PENDING])
    lab.run([waiting.call_id])
    assert lab.storage.ledger.find(waiting.call_id).duplicate_of == call_id
    assert tick(lab).startswith("1 erased recordings arrived again; 0 of 1")
    assert not lab.storage.inbox.exists("again.wav")


def tick(lab: Lab) -> str:
    resources = {"storage": lab.storage}
    with dg.build_sensor_context(lab.instance, resources=resources) as context:
        result = erasures_sensor(lambda: lab.settings)(context)
    assert isinstance(result, dg.SensorResult) and isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""
