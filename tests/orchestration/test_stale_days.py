"""The sensor `stale_days`: a late call refreshes its day once."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from callpipeline.defs.marts import REFRESH_JOB, stale_days
from callpipeline.defs.partitions import UPKEEP_TAG
from callpipeline.storage.reading.analytics import DailyMarts
from tests.orchestration.lab import Lab
from tests.orchestration.sample_calls import SampleCall, SampleMention, insert_calls
from tests.orchestration.test_marts import change, refresh, rows

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = SampleMention("Vodafone", "customer", "counted", "positive", 0.5)


def tick(
    lab: Lab, cursor: str | None = None, sensor: dg.SensorDefinition | None = None
) -> dg.SensorResult:
    sensor = sensor or lab.definitions.resolve_sensor_def("stale_days")
    with dg.build_sensor_context(
        instance=lab.instance,
        resources={"storage": lab.storage},
        definitions=lab.definitions,
        cursor=cursor,
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def requested(result: dg.SensorResult) -> list[tuple[str, str]]:
    """Return the first and last day of each requested run."""
    return [
        (request.partition_key, request.partition_key)
        if request.partition_key
        else (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in result.run_requests or []
    ]


def reason(result: dg.SensorResult) -> str:
    assert result.skip_reason
    return str(result.skip_reason.skip_message)


def refresh_all(lab: Lab, days: Sequence[tuple[str, str]]) -> None:
    for first, last in days:
        assert refresh(lab, date.fromisoformat(first), date.fromisoformat(last)).success


# A late call


def test_a_late_call_refreshes_its_day_once(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON, mentions=[GOOD])])
    first = tick(lab)
    assert requested(first) == [("2026-03-02", "2026-03-02")]
    refresh_all(lab, requested(first))
    second = tick(lab, first.cursor)
    assert not second.run_requests and "up to date" in reason(second)
    insert_calls(lab.storage.database, [SampleCall(2, NOON, mentions=[GOOD])])
    change(lab, "UPDATE calls SET updated_at = now() WHERE key = '2.wav'")
    change(lab, "UPDATE daily_calls SET made_at = made_at - interval '10 minutes'")
    soon = tick(lab, second.cursor)
    assert (
        not soon.run_requests
        and reason(soon) == "1 day waits until no call has changed for a minute."
    )
    change(lab, "UPDATE calls SET updated_at = now() - interval '1 minute' WHERE key = '2.wav'")
    late = tick(lab, soon.cursor)
    assert requested(late) == [("2026-03-02", "2026-03-02")]
    refresh_all(lab, requested(late))
    assert rows(lab, "SELECT mentions FROM daily_calls") == [{"mentions": 2}]
    assert not tick(lab, late.cursor).run_requests


@pytest.mark.parametrize("state", ["ERASED", "DUPLICATE"])
def test_a_call_that_no_longer_counts_leaves_its_day(lab: Lab, state: str) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON, mentions=[GOOD])])
    refresh_all(lab, requested(tick(lab)))
    change(lab, "UPDATE daily_calls SET made_at = made_at - interval '10 minutes'")
    change(lab, "UPDATE calls SET state = %s, updated_at = now() - interval '2 minutes'", state)
    again = tick(lab)
    refresh_all(lab, requested(again))
    assert rows(lab, "SELECT calls, mentions FROM daily_calls") == [{"calls": 0, "mentions": 0}]
    assert rows(lab, "SELECT FROM daily_competitors") == []


def test_a_change_during_a_refresh_makes_the_day_stale_again(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    refresh_all(lab, requested(tick(lab)))
    change(lab, "UPDATE calls SET updated_at = (SELECT made_at + interval '1 ms' FROM daily_calls)")
    [stale], _ = DailyMarts(lab.storage.database).stale_days(DAY)
    assert stale.day == DAY


def test_an_unfinished_call_makes_no_day_stale(lab: Lab) -> None:
    insert_calls(
        lab.storage.database, [SampleCall(1, NOON, "PROCESSING"), SampleCall(2, NOON, "PENDING")]
    )
    assert not tick(lab).run_requests


# Once


def test_days_are_not_requested_while_they_have_a_run(lab: Lab) -> None:
    insert_calls(
        lab.storage.database, [SampleCall(1, NOON), SampleCall(2, NOON - timedelta(days=1))]
    )
    first = tick(lab)
    [request] = first.run_requests or []
    job = lab.definitions.resolve_job_def(REFRESH_JOB)
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
        run = create_run_for_test(
            lab.instance, REFRESH_JOB, tags={**job.tags, **request.tags}, status=status
        )
        second = tick(lab, first.cursor)
        assert not second.run_requests and "2 days have an unfinished run" in reason(second)
        lab.instance.delete_run(run.run_id)
    assert requested(tick(lab, first.cursor)) == requested(first) == [("2026-03-01", "2026-03-02")]


def test_a_run_that_a_user_launched_counts_too(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    create_run_for_test(
        lab.instance,
        "__ASSET_JOB",
        tags={"dagster/partition": "2026-03-02"},
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({dg.AssetKey("daily_calls")}),
    )
    assert not tick(lab).run_requests


def test_a_failed_run_is_not_requested_again_at_once(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    create_run_for_test(
        lab.instance,
        REFRESH_JOB,
        tags={"dagster/partition": "2026-03-02"},
        status=dg.DagsterRunStatus.FAILURE,
    )
    result = tick(lab)
    assert not result.run_requests and "1 day has an unfinished run, or one that failed" in reason(
        result
    )


@pytest.mark.parametrize("job", [REFRESH_JOB, "purge_dagster", "purge_calls"])
def test_upkeep_runs_go_one_at_a_time_after_calls(lab: Lab, job: str) -> None:
    """dagster.yaml limits the tag; calls have a priority of 0 or more."""
    tags = lab.definitions.resolve_job_def(job).tags
    assert UPKEEP_TAG in tags and int(tags["dagster/priority"]) < 0


# The cursor


def test_a_scan_continues_where_the_last_one_ended(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    refresh_all(lab, requested(tick(lab)))
    cursor = tick(lab).cursor
    assert cursor
    change(lab, "DELETE FROM daily_calls")
    assert not tick(lab, cursor).run_requests, "old changes are not scanned again"
    assert requested(tick(lab, None)) == [("2026-03-02", "2026-03-02")]


@pytest.mark.parametrize("cursor", ["", "[]", "{}", '{"from": 1, "since": 2}', "gibberish"])
def test_an_invalid_cursor_scans_everything(lab: Lab, cursor: str) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    assert len(requested(tick(lab, cursor))) == 1


def test_unrefreshed_days_are_found_again(lab: Lab) -> None:
    scattered = [SampleCall(number, NOON - timedelta(days=2 * number)) for number in range(5)]
    insert_calls(lab.storage.database, scattered)
    result, found = tick(lab), list[tuple[str, str]]()
    while result.run_requests:
        assert len(result.run_requests) <= 3
        refresh_all(lab, requested(result))
        found += requested(result)
        result = tick(lab, result.cursor)
    ended = "SELECT FROM analytics.calls WHERE state IN ('COMPLETED', 'FAILED') AND NOT EXISTS ({})"
    uncounted = ended.format("SELECT FROM daily_calls d WHERE d.day = calls.day")
    assert rows(lab, uncounted) == []
    assert found == sorted(found, reverse=True)


def test_another_first_day_scans_everything(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON)])
    refresh_all(lab, requested(tick(lab)))
    late = tick(lab, sensor=stale_days(DAY + timedelta(days=1)))
    assert not late.run_requests
    assert json.loads(late.cursor or "")["from"] == "2026-03-03"
    change(lab, "DELETE FROM daily_calls")
    assert len(requested(tick(lab, late.cursor))) == 1


def test_days_with_calls_deleted_by_retention_are_left_alone(lab: Lab) -> None:
    old, erased = SampleCall(1, NOON), SampleCall(2, NOON + timedelta(days=1))
    insert_calls(lab.storage.database, [old, erased])
    erasures, now = lab.storage.erasures, datetime.now(UTC)
    change(lab, f"UPDATE calls SET completed_at = '{NOON}'")
    assert erasures.begin([old.call_id], keep_recording=True, ended_before=now)
    assert erasures.begin([erased.call_id], keep_recording=True)
    change(lab, "UPDATE calls SET updated_at = now() - interval '1 hour'")
    assert requested(tick(lab)) == [("2026-03-03", "2026-03-03")]


def test_days_before_the_first_and_far_in_the_future_are_left_alone(lab: Lab) -> None:
    insert_calls(
        lab.storage.database,
        [
            SampleCall(1, datetime(2019, 1, 1, tzinfo=UTC)),
            SampleCall(2, datetime(2099, 1, 1, tzinfo=UTC)),
        ],
    )
    result = tick(lab)
    assert not result.run_requests and "up to date" in reason(result)
