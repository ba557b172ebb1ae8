"""Erased calls are removed from Dagster's tables; records of other calls stay."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from pydantic import Field

from callpipeline.defs.dagster_internals.records import erase_records
from callpipeline.defs.dagster_internals.runs import ERASED
from tests.integration.dagster_home import KINDS, Home, add_calls, calls, execute, home
from tests.integration.dumps import in_database, in_files

__all__ = ["home"]
TRANSCRIPTS = dg.AssetKey("transcripts")


@pytest.fixture(params=KINDS)
def instance(home: Home, request: pytest.FixtureRequest) -> Iterator[dg.DagsterInstance]:
    with home.instance(request.param) as instance:
        yield instance


class Selected(dg.Config):
    calls: list[str] = Field(default_factory=list)


@dg.multi_asset(
    specs=[dg.AssetSpec(name, skippable=True) for name in ("channel_audio", "transcripts")],
    partitions_def=calls,
    can_subset=True,
)
def process_calls(context: dg.AssetExecutionContext, config: Selected):
    """Like the real op: all calls but the last are materialized, the last is observed and fails."""
    *good, bad = config.calls or context.partition_keys
    print(f"working on {good}")
    for key in good:
        for name in ("channel_audio", "transcripts"):
            yield dg.AssetMaterialization(name, partition=key, metadata={"words": 7})
    context.log.warning("%s: not audio", bad)
    yield dg.AssetObservation("channel_audio", partition=bad, metadata={"failed": "not audio"})
    raise dg.Failure(f"1 call failed\n{bad}: not audio", metadata={"failed_calls": [bad]})


def job() -> dg.JobDefinition:
    named = dg.define_asset_job("batch", executor_def=dg.in_process_executor)
    return dg.Definitions([process_calls], jobs=[named]).resolve_job_def("batch")


def run_over(instance: dg.DagsterInstance, keys: Sequence[str]) -> str:
    return execute(job(), instance, keys).run_id


def listed(instance: dg.DagsterInstance, keys: Sequence[str]) -> str:
    """Execute a run with its calls in the config, launched on one of them."""
    config = {"ops": {"process_calls": {"config": {"calls": list(keys)}}}}
    done = job().execute_in_process(
        instance=instance,
        run_config=config,
        tags={PARTITION_NAME_TAG: keys[0]},
        raise_on_error=False,
    )
    return done.run_id


def tags_of(instance: dg.DagsterInstance, run_id: str) -> tuple[str | None, str | None]:
    run = instance.get_run_by_id(run_id)
    assert run
    ends = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
    return run.tags.get(ends[0]), run.tags.get(ends[1])


def erase(instance: dg.DagsterInstance, *call_ids: str) -> None:
    """Erase calls, and verify that nothing is left."""
    assert erase_records(instance, call_ids).removed > 0
    again = erase_records(instance, call_ids)
    assert (again.removed, again.busy) == (0, False)


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_call_is_removed_from_a_run_with_others(
    home: Home, instance: dg.DagsterInstance, position: int
) -> None:
    keys = add_calls(instance, 4)
    run_id = run_over(instance, keys)
    gone, rest = keys[position], [key for key in keys if key != keys[position]]
    instance.get_status_by_partition(TRANSCRIPTS, keys, calls)
    erase(instance, gone)
    assert in_database(home.database_url, [gone]) == []
    assert in_files(home.folder, [gone]) == []
    assert tags_of(instance, run_id) == (rest[0], rest[-1])
    materialized = [key for key in keys[:3] if key != gone]
    assert instance.get_materialized_partitions(TRANSCRIPTS) >= set(materialized)
    assert [key for key in instance.get_dynamic_partitions("calls") if key in keys] == rest
    last = instance.get_latest_materialization_event(TRANSCRIPTS)
    assert last and last.get_dagster_event().partition == materialized[-1]


def test_the_run_still_shows_how_the_others_failed(instance: dg.DagsterInstance) -> None:
    keys = add_calls(instance, 3)
    run_id = run_over(instance, keys)
    erase(instance, keys[0])
    events = [
        entry.get_dagster_event() for entry in instance.all_logs(run_id) if entry.dagster_event
    ]
    assert [e for e in events if e.is_failure and keys[2] in str(e)]
    run = instance.get_run_by_id(run_id)
    assert run and run.status is dg.DagsterRunStatus.FAILURE


def test_its_failure_is_shown_without_its_id(instance: dg.DagsterInstance) -> None:
    keys = add_calls(instance, 3)
    run_id = run_over(instance, keys)
    erase(instance, keys[2])
    masked = [entry for entry in instance.all_logs(run_id) if ERASED in str(entry)]
    assert any("not audio" in str(entry) for entry in masked)


def test_a_run_with_only_that_call_is_deleted_with_its_logs(
    home: Home, instance: dg.DagsterInstance
) -> None:
    [key, *_] = add_calls(instance, 1)
    run_id = run_over(instance, [key])
    erase(instance, key)
    assert instance.get_run_by_id(run_id) is None
    assert in_database(home.database_url, [key]) == []
    assert not (home.folder / "dagster" / "storage" / run_id).exists()


def test_a_run_that_lists_its_calls_keeps_the_others(
    home: Home, instance: dg.DagsterInstance
) -> None:
    keys = add_calls(instance, 4)
    run_id = listed(instance, keys)
    erase(instance, keys[0], keys[2])
    run = instance.get_run_by_id(run_id)
    assert run and run.tags[PARTITION_NAME_TAG] == keys[1]
    config: Any = run.run_config
    named = config["ops"]["process_calls"]["config"]["calls"]
    assert named == [keys[1], keys[3]]
    assert in_database(home.database_url, [keys[0], keys[2]]) == []


def test_an_unfinished_run_is_left_alone_until_it_has_ended(
    home: Home, instance: dg.DagsterInstance
) -> None:
    keys = add_calls(instance, 2)
    tags = {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[1]}
    run = instance.create_run_for_job(job(), tags=tags)
    before = len(in_database(home.database_url, [keys[0]]))
    traces = erase_records(instance, [keys[0]])
    assert (traces.removed, traces.busy) == (0, True)
    assert len(in_database(home.database_url, [keys[0]])) == before
    instance.report_run_canceled(run)
    erase(instance, keys[0])
    assert in_database(home.database_url, [keys[0]]) == []


def test_a_backfill_is_masked_when_it_has_ended(home: Home, instance: dg.DagsterInstance) -> None:
    keys = add_calls(instance, 2)
    backfill = PartitionBackfill(
        backfill_id="bf" + keys[0][11:17],
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=1_700_000_000.0,
        serialized_asset_backfill_data=f'{{"keys": ["{keys[0]}", "{keys[1]}"]}}',
    )
    instance.add_backfill(backfill)
    assert erase_records(instance, [keys[0]]).busy
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    erase(instance, keys[0])
    assert in_database(home.database_url, [keys[0]]) == []
    kept = instance.get_backfill(backfill.backfill_id)
    assert kept and keys[1] in str(kept.serialized_asset_backfill_data)


def test_events_without_a_run_are_deleted_too(home: Home, instance: dg.DagsterInstance) -> None:
    keys = add_calls(instance, 2)
    for key in keys:
        instance.report_runless_asset_event(dg.AssetMaterialization("transcripts", partition=key))
    erase(instance, keys[1])
    assert in_database(home.database_url, [keys[1]]) == []
    assert in_database(home.database_url, [keys[0]])


def test_a_check_that_lists_it_keeps_its_result_and_the_others(
    home: Home, instance: dg.DagsterInstance
) -> None:
    """Its run has no calls, and stays."""
    keys = add_calls(instance, 2)

    @dg.asset_check(name=f"check_{keys[0][11:17]}", asset="transcripts")
    def has_words() -> dg.AssetCheckResult:
        table = dg.MetadataValue.md(f"| {keys[0]} |\n| {keys[1]} |")
        return dg.AssetCheckResult(passed=False, metadata={"newest": table})

    job = dg.define_asset_job("checks", dg.AssetSelection.all_asset_checks())
    defs = dg.Definitions(asset_checks=[has_words], jobs=[job])
    run = defs.resolve_job_def("checks").execute_in_process(instance=instance)
    erase(instance, keys[0])
    assert in_database(home.database_url, [keys[0]]) == []
    assert "public.asset_check_executions" in in_database(home.database_url, [keys[1]])
    assert instance.get_run_by_id(run.run_id)


def test_without_scanning_every_text_its_own_events_are_deleted(
    home: Home, instance: dg.DagsterInstance
) -> None:
    keys = add_calls(instance, 3)
    run_over(instance, keys)
    removed = erase_records(instance, [keys[0]], thorough=False).removed
    assert removed >= 4
    assert in_database(home.database_url, [f'"{keys[0]}"', f" {keys[0]} "]) == []


def test_erasing_an_unknown_call_changes_nothing(instance: dg.DagsterInstance) -> None:
    keys = add_calls(instance, 2)
    run_over(instance, keys)
    traces = erase_records(instance, ["2026-01-02-000000000000"])
    assert (traces.removed, traces.busy) == (0, False)
    assert erase_records(instance, []).removed == 0
