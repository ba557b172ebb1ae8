"""Sensors: what is new becomes a run, what died is given back, nothing is asked for twice."""

import dagster as dg

from callpipeline.defs.selection import BATCH_TAG
from callpipeline.defs.sensors import release_lost
from callpipeline.domain.call import CallState
from tests.orchestration.lab import Lab


def tick(lab: Lab) -> dg.SensorResult:
    """One evaluation of new_recordings, with resources as in production."""
    sensor = lab.definitions.resolve_sensor_def("new_recordings")
    with dg.build_sensor_context(
        instance=lab.instance, resources={"storage": lab.storage}, definitions=lab.definitions
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_dropped_file_becomes_a_run(lab: Lab) -> None:
    (lab.settings.home / "recordings").mkdir(parents=True, exist_ok=True)
    (lab.settings.home / "recordings" / "dropped.wav").write_bytes(b"RIFF")
    [request] = tick(lab).run_requests or []
    [call] = lab.storage.ledger.calls()
    assert request.tags["dagster/asset_partition_range_start"] == call.call_id
    assert lab.instance.get_dynamic_partitions("calls") == [call.call_id]


def test_sidecars_and_hidden_files_are_no_recordings(lab: Lab) -> None:
    folder = lab.settings.home / "recordings"
    for name in ("a.transcript.json", "a.srt", ".a.wav.x7Y", "notes.txt", "half.wav.part"):
        (folder / name).write_bytes(b"x")
    assert tick(lab).run_requests == []
    assert lab.storage.ledger.count() == {}


def test_a_batch_is_asked_for_under_one_key_until_it_runs(lab: Lab) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    [again] = tick(lab).run_requests or []
    assert first.run_key == again.run_key


def test_what_arrives_later_is_another_batch(lab: Lab) -> None:
    lab.add_call("one")
    tick(lab)
    second = lab.add_call("two")
    first_again, later = tick(lab).run_requests or []
    assert first_again.run_key != later.run_key
    assert later.tags["dagster/asset_partition_range_start"] == second


def test_a_batch_of_known_keys_is_asked_for_as_a_list(lab: Lab) -> None:
    """A range over keys that were there before would take in what lies between them."""
    call_ids = [lab.add_call("one"), lab.add_call("two")]
    lab.instance.add_dynamic_partitions("calls", [call_ids[0]])
    [request] = tick(lab).run_requests or []
    config = request.run_config["ops"]["process_calls"]["config"]
    assert config == {"calls": sorted(call_ids)}


def test_a_broken_catalog_keeps_calls_waiting_and_says_so(lab: Lab) -> None:
    lab.add_call("call")
    lab.settings.catalog_path.parent.mkdir(exist_ok=True)
    lab.settings.catalog_path.write_text("competitors: [[[")
    result = tick(lab)
    assert not result.run_requests
    assert result.skip_reason and "competitors" in str(result.skip_reason.skip_message)
    assert lab.storage.ledger.count() == {CallState.PENDING: 1}


def test_the_calls_of_a_dead_run_are_given_back_and_fail_after_three_times(lab: Lab) -> None:
    call_id = lab.add_call("call")
    for attempt in range(3):
        assert lab.storage.ledger.claim([call_id], f"gone-{attempt}")
        lab.storage.ledger.begin(call_id, f"gone-{attempt}")
        assert release_lost(lab.instance, lab.storage.ledger) == 1
    record = lab.storage.ledger.find(call_id)
    assert record.state is CallState.FAILED
    assert record.error_message and "3 times" in record.error_message


def test_the_calls_of_a_run_under_way_are_left_to_it(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = lab.instance.create_run_for_job(
        lab.definitions.resolve_job_def("process_waiting_calls"),
        status=dg.DagsterRunStatus.STARTED,
    )
    lab.storage.ledger.claim([call_id], run.run_id)
    assert release_lost(lab.instance, lab.storage.ledger) == 0


def test_calls_of_a_batch_whose_run_was_cancelled_wait_for_another(lab: Lab) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    assert first.run_key
    lab.instance.create_run_for_job(
        lab.definitions.resolve_job_def("process_waiting_calls"),
        status=dg.DagsterRunStatus.CANCELED,
        tags={BATCH_TAG: first.run_key},
    )
    release_lost(lab.instance, lab.storage.ledger)
    [second] = tick(lab).run_requests or []
    assert second.run_key != first.run_key
