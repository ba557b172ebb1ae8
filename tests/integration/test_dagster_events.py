"""Events of runs are written in batches, and equal those that stock writes row by row."""

from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from sqlalchemy.exc import OperationalError

from callpipeline.defs.dagster_internals.storage import PooledEventLogStorage
from callpipeline.defs.partitions import PROCESS_CALLS_OP
from tests.integration.dagster_home import (
    KINDS,
    Home,
    add_calls,
    calls,
    events_of,
    execute,
    home,
    job_over,
    span,
    statements,
)
from tests.processes import until

__all__ = ["home"]


def test_planned_events_equal_those_of_stock(home: Home) -> None:
    job = job_over(["planned_audio", "planned_words", "planned_names"])
    with home.instance() as instance:
        keys = add_calls(instance, 7)
    written: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance:
            run = instance.create_run_for_job(job, tags=span(keys))
        written[kind] = events_of(home, run.run_id), _checks(home, run.run_id), _assets(home, run)
    assert written["pooled"] == written["stock"]
    events, checks, assets = written["pooled"]
    assert len(events) == 3 * 7 + 1
    assert len(checks) == 1
    assert len(assets) == 3


def _checks(home: Home, run_id: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT c.asset_key, check_name, c.partition, execution_status, e.dagster_event_type "
        "FROM asset_check_executions c JOIN event_logs e ON e.id = c.evaluation_event_storage_id "
        "WHERE c.run_id = %s ORDER BY c.id"
    )
    return home.rows(query, run_id)


def _assets(home: Home, run: dg.DagsterRun) -> list[tuple[Any, ...]]:
    """Return assets with this last run, dated by their last planned event."""
    query = (
        "SELECT a.asset_key FROM asset_keys a WHERE last_run_id = %s "
        "AND last_materialization_timestamp::timestamp = (SELECT max(timestamp) FROM event_logs e "
        "WHERE e.run_id = a.last_run_id AND e.asset_key = a.asset_key) ORDER BY 1"
    )
    return home.rows(query, run.run_id)


def test_the_planned_events_of_a_big_run_are_one_insert(home: Home) -> None:
    job = job_over(["big_audio", "big_words", "big_names"])
    with home.instance() as instance:
        keys = add_calls(instance, 300)
        storage = instance.event_log_storage
        assert isinstance(storage, PooledEventLogStorage)
        with statements(storage._engine) as executed:
            run = instance.create_run_for_job(job, tags=span(keys))
    assert len([one for one in executed if one.startswith("INSERT INTO event_logs")]) == 1
    assert home.rows("SELECT count(*) FROM event_logs WHERE run_id = %s", run.run_id) == [(901,)]


def test_partitions_show_the_same_status_as_with_stock(home: Home) -> None:
    seen: dict[tuple[str, str], list[AssetPartitionStatus | None]] = {}
    for writer in KINDS:
        with home.instance(writer) as instance:
            keys = add_calls(instance, 3)
            job = job_over([f"status_{writer}"])
            assert not execute(job, instance, keys[:2]).success
        for reader in KINDS:
            with home.instance(reader) as instance:
                asset = dg.AssetKey(f"status_{writer}")
                statuses = instance.get_status_by_partition(asset, keys, calls)
                assert statuses
                seen[writer, reader] = [statuses.get(key) for key in keys]
    expected = [AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED, None]
    assert list(seen.values()) == [expected] * 4


def test_materializations_of_other_steps_are_written_at_once(home: Home) -> None:
    written: list[int] = []
    with home.instance() as instance:
        keys = add_calls(instance, 4)
        job = job_over(
            ["prompt_audio", "prompt_words"], lambda c, _: written.append(count_stored(home, c))
        )
        execute(job, instance, keys)
    assert written == [2, 4, 6]


def count_stored(home: Home, context: dg.AssetExecutionContext) -> int:
    query = "SELECT count(*) FROM event_logs WHERE run_id = %s AND dagster_event_type = %s"
    values = context.run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION.value
    return home.rows(query, *values)[0][0]


def test_materializations_of_calls_are_batched_and_equal_those_of_stock(home: Home) -> None:
    job = job_over(["together_audio", "together_words"], op=PROCESS_CALLS_OP)
    with home.instance() as instance:
        keys = add_calls(instance, 60)
    written: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance, statements(sqlalchemy.Engine) as executed:
            result = execute(job, instance, keys)
        rows = events_of(home, result.run_id)
        made = [row[:4] for row in rows if row[0] == "ASSET_MATERIALIZATION"]
        kinds = [row[0] for row in rows]
        tags = "SELECT asset_key, key, value FROM asset_event_tags WHERE event_id IN (SELECT id "
        tags += "FROM event_logs WHERE run_id = %s AND dagster_event_type = %s) ORDER BY 1, 2, 3"
        tagged = home.rows(tags, result.run_id, "ASSET_MATERIALIZATION")
        written[kind] = made, kinds.index("STEP_FAILURE"), [row[:2] for row in tagged]
        inserts = [one for one in executed if one.startswith("INSERT INTO event_logs")]
        written[f"inserts by {kind}"] = len(inserts)
    assert written["pooled"] == written["stock"]
    assert len(written["pooled"][0]) == 2 * 59
    assert written["inserts by pooled"] < written["inserts by stock"] / 4


def test_buffered_events_are_written_without_a_following_event(home: Home) -> None:
    """The next call may take an hour."""

    def wait(context: dg.AssetExecutionContext, _: str) -> None:
        until(lambda: count_stored(home, context) == 2, "both are written", 20)

    with home.instance() as instance:
        keys = add_calls(instance, 2)
        result = execute(
            job_over(["soon_audio", "soon_words"], wait, op=PROCESS_CALLS_OP), instance, keys
        )
    assert "1 call failed" in str(result.all_events)


def test_events_that_could_not_be_flushed_are_written_with_the_next_event(home: Home) -> None:
    with home.instance() as instance:
        keys = add_calls(instance, 2)
        storage = instance.event_log_storage
        assert isinstance(storage, PooledEventLogStorage)
        fails = iter([True])
        store = storage._insert

        def fail_once(events: Any) -> None:
            if next(fails, False):
                raise OperationalError("", None, Exception("away"))
            store(events)

        storage._insert = fail_once  # pyright: ignore[reportAttributeAccessIssue]

        def wait(context: dg.AssetExecutionContext, _: str) -> None:
            until(lambda: next(iter([storage._timer is None])), "the first attempt", 20)

        result = execute(job_over(["late_audio"], wait, op=PROCESS_CALLS_OP), instance, keys)
        made = [row for row in events_of(home, result.run_id) if row[0] == "ASSET_MATERIALIZATION"]
    assert len(made) == 1
