"""Sensors: what waits becomes a run, what died is given back, nothing is asked for twice."""

from datetime import timedelta

import dagster as dg
import pytest

from callpipeline.defs.selection import BATCH_TAG, LANE_TAG, OPEN_BATCHES
from callpipeline.defs.sensors import forget_lost, release_lost
from callpipeline.domain.call import CallState, Lane, Registration
from callpipeline.storage.life import SILENT_S
from tests.builders import a_recording
from tests.orchestration.lab import Lab


def tick(lab: Lab) -> dg.SensorResult:
    """One evaluation of waiting_calls, with resources as in production."""
    sensor = lab.definitions.resolve_sensor_def("waiting_calls")
    with dg.build_sensor_context(
        instance=lab.instance, resources={"storage": lab.storage}, definitions=lab.definitions
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def change(lab: Lab, statement: str, *values: object) -> None:
    with lab.storage.database.transaction() as connection:
        connection.execute(statement.encode(), values)


def run_of(lab: Lab, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    job = lab.definitions.resolve_job_def("process_waiting_calls")
    return lab.instance.create_run_for_job(job, status=status, tags=tags)


def register(lab: Lab, count: int, lane: Lane) -> None:
    names = (f"{lane}-{number:03}.wav" for number in range(count))
    lab.storage.ledger.register(Registration(a_recording(name), lane=lane) for name in names)


# What waits


def test_a_waiting_call_becomes_a_run(lab: Lab) -> None:
    call_id = lab.add_call("call")
    [request] = tick(lab).run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == call_id
    assert request.tags[LANE_TAG] == "live"
    assert lab.instance.get_dynamic_partitions("calls") == [call_id]


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


def test_a_backlog_and_live_calls_are_asked_for_apart(lab: Lab) -> None:
    register(lab, 3, Lane.BULK)
    register(lab, 2, Lane.LIVE)
    requests = tick(lab).run_requests or []
    assert [request.tags[LANE_TAG] for request in requests] == ["live", "bulk"]
    urgency = [int(request.tags["dagster/priority"]) for request in requests]
    assert urgency[0] > urgency[1]


def test_of_a_large_backlog_few_runs_are_asked_for_at_a_time(lab: Lab) -> None:
    register(lab, 300, Lane.BULK)
    lab.settings = lab.settings.model_copy(update={"batch_size": 20})
    lab.__post_init__()
    assert len(tick(lab).run_requests or []) == OPEN_BATCHES
    assert len(tick(lab).run_requests or []) == OPEN_BATCHES
    waiting = [w.calls for w in lab.storage.queue.waiting()]
    assert waiting == [300]


def test_a_call_that_a_person_wants_again_goes_before_those_that_wait(lab: Lab) -> None:
    wanted = lab.add_call("wanted", audio=b"no sound at all, just words")
    lab.run([wanted])
    register(lab, 30, Lane.LIVE)
    assert lab.storage.ledger.retry([wanted]) == {wanted}
    batch = lab.storage.queue.assign_batch("first", 1)
    assert batch and batch.call_ids == (wanted,)


def test_a_call_to_be_tried_later_is_not_asked_for_before(lab: Lab) -> None:
    lab.add_call("call")
    change(lab, "UPDATE calls SET not_before = now() + interval '1 hour'")
    result = tick(lab)
    assert not result.run_requests
    assert result.skip_reason and "not yet due" in str(result.skip_reason.skip_message)
    change(lab, "UPDATE calls SET not_before = now() - interval '1 second'")
    assert len(tick(lab).run_requests or []) == 1


def test_a_broken_catalog_keeps_calls_waiting_and_says_so(lab: Lab) -> None:
    lab.add_call("call")
    lab.settings.catalog_path.parent.mkdir(exist_ok=True)
    lab.settings.catalog_path.write_text("competitors: [[[")
    result = tick(lab)
    assert not result.run_requests
    assert result.skip_reason and "competitors" in str(result.skip_reason.skip_message)
    assert lab.storage.ledger.count() == {CallState.PENDING: 1}


# What died


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
    silence = timedelta(seconds=SILENT_S + 1)
    change(lab, "UPDATE runs SET alive_at = now() - %s::interval", silence)
    first = release_lost(lab.instance, lab.storage.claims)
    assert (first.released, first.suspects) == (0, {run.run_id})
    assert release_lost(lab.instance, lab.storage.claims, frozenset(first.suspects)).released == 1
    assert lab.storage.ledger.find(call_id).state is CallState.PENDING
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_suspect_that_gives_a_sign_of_life_keeps_its_calls(lab: Lab) -> None:
    call_id = lab.add_call("call")
    run = run_of(lab, dg.DagsterRunStatus.STARTED)
    lab.storage.claims.claim([call_id], run.run_id)
    assert lab.storage.claims.alive(run.run_id)
    found = release_lost(lab.instance, lab.storage.claims, frozenset([run.run_id]))
    assert (found.released, found.suspects) == (0, set())


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
    monkeypatch.setattr("callpipeline.defs.sensors.LATE_S", -1.0)
    assert forget_lost(lab.instance, lab.storage.queue) == 1
    ended = lab.instance.get_run_by_id(run.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


# Two of everything


def test_two_runs_for_one_batch_do_its_work_once(lab: Lab) -> None:
    """As when two daemons ask for it at the same moment."""
    call_ids = [lab.add_call("one"), lab.add_call("two")]
    batch = {BATCH_TAG: "asked-twice"}
    assert lab.run(call_ids, tags=batch).success
    split = lab.listening.used.count("splitter")
    assert lab.run(call_ids, tags=batch).success
    assert lab.listening.used.count("splitter") == split == 2
    assert lab.storage.ledger.count() == {CallState.COMPLETED: 2}
