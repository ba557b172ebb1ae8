"""The sensor `waiting_calls`: one run for each batch of waiting calls."""

import dagster as dg

from callpipeline.definitions import build
from callpipeline.defs.jobs.process_calls import MAX_OPEN_BATCHES
from callpipeline.defs.partitions import BATCH_TAG, LANE_TAG
from callpipeline.domain.calls.call import CallState, Lane, Registration
from tests.builders import a_recording
from tests.orchestration.lab import Lab


def tick(lab: Lab) -> dg.SensorResult:
    """Evaluate waiting_calls once, with resources as in production."""
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


def register(lab: Lab, count: int, lane: Lane) -> None:
    names = (f"{lane}-{number:03}.wav" for number in range(count))
    lab.storage.ledger.register(Registration(a_recording(name), lane=lane) for name in names)


# Requests


def test_a_waiting_call_becomes_a_run(lab: Lab) -> None:
    call_id = lab.add_call("call")
    [request] = tick(lab).run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == call_id
    assert request.tags[LANE_TAG] == "live"
    assert lab.instance.get_dynamic_partitions("calls") == [call_id]


def test_a_batch_is_requested_under_one_key_until_it_runs(lab: Lab) -> None:
    lab.add_call("call")
    [first] = tick(lab).run_requests or []
    [again] = tick(lab).run_requests or []
    assert first.run_key == again.run_key


def test_later_calls_are_another_batch(lab: Lab) -> None:
    lab.add_call("one")
    tick(lab)
    second = lab.add_call("two")
    first_again, later = tick(lab).run_requests or []
    assert first_again.run_key != later.run_key
    assert later.tags["dagster/asset_partition_range_start"] == second


def test_a_batch_with_existing_keys_is_requested_as_a_list(lab: Lab) -> None:
    """A range over existing keys would include the keys between them."""
    call_ids = [lab.add_call("one"), lab.add_call("two")]
    lab.instance.add_dynamic_partitions("calls", [call_ids[0]])
    [request] = tick(lab).run_requests or []
    config = request.run_config["ops"]["process_calls"]["config"]
    assert config == {"calls": sorted(call_ids)}


def test_a_backlog_and_live_calls_are_requested_separately(lab: Lab) -> None:
    register(lab, 3, Lane.BULK)
    register(lab, 2, Lane.LIVE)
    requests = tick(lab).run_requests or []
    assert [request.tags[LANE_TAG] for request in requests] == ["live", "bulk"]
    urgency = [int(request.tags["dagster/priority"]) for request in requests]
    assert urgency[0] > urgency[1]


def test_few_runs_of_a_large_backlog_are_requested_at_a_time(lab: Lab) -> None:
    register(lab, 300, Lane.BULK)
    lab.definitions = build(lab.settings.model_copy(update={"batch_size": 20}))
    assert len(tick(lab).run_requests or []) == MAX_OPEN_BATCHES
    assert len(tick(lab).run_requests or []) == MAX_OPEN_BATCHES
    waiting = [w.calls for w in lab.storage.queue.backlog()]
    assert waiting == [300]


def test_a_call_that_a_user_retries_goes_before_waiting_ones(lab: Lab) -> None:
    retried = lab.add_call("retried", audio=b"no sound at all, just words")
    lab.run([retried])
    register(lab, 30, Lane.LIVE)
    assert lab.storage.ledger.retry([retried]) == {retried}
    batch = lab.storage.queue.assign_batch("first", 1)
    assert batch and batch.call_ids == (retried,)


def test_a_delayed_retry_is_not_requested_early(lab: Lab) -> None:
    lab.add_call("call")
    change(lab, "UPDATE calls SET next_attempt_at = now() + interval '1 hour'")
    result = tick(lab)
    assert not result.run_requests
    assert result.skip_reason and "not due yet" in str(result.skip_reason.skip_message)
    change(lab, "UPDATE calls SET next_attempt_at = now() - interval '1 second'")
    assert len(tick(lab).run_requests or []) == 1


def test_with_an_invalid_catalog_calls_wait_and_the_sensor_reports_it(lab: Lab) -> None:
    lab.add_call("call")
    lab.settings.catalog_path.parent.mkdir(exist_ok=True)
    lab.settings.catalog_path.write_text("competitors: [[[")
    result = tick(lab)
    assert not result.run_requests
    assert result.skip_reason and "competitors" in str(result.skip_reason.skip_message)
    assert lab.storage.ledger.count() == {CallState.PENDING: 1}


# Concurrency


def test_two_runs_of_one_batch_process_it_once(lab: Lab) -> None:
    """As when two daemons request it at the same moment."""
    call_ids = [lab.add_call("one"), lab.add_call("two")]
    batch = {BATCH_TAG: "requested-twice"}
    assert lab.run(call_ids, tags=batch).success
    split = lab.engines.used.count("splitter")
    assert lab.run(call_ids, tags=batch).success
    assert lab.engines.used.count("splitter") == split == 2
    assert lab.storage.ledger.count() == {CallState.COMPLETED: 2}
