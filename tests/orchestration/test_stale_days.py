"""The sensor of the daily marts: a late call refreshes its day, once."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from callpipeline.defs.jobs import UPKEEP_TAG
from callpipeline.defs.marts import REFRESH
from callpipeline.defs.stale_days import stale_days
from callpipeline.storage.marts import Marts
from tests.orchestration.known_calls import Known, Named, enter
from tests.orchestration.lab import Lab
from tests.orchestration.test_marts import change, refresh, rows

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = Named("Vodafone", "customer", "accepted", "positive", 0.5)


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


def asked(result: dg.SensorResult) -> list[tuple[str, str]]:
    """The first and the last day of each run that is asked for."""
    return [
        (request.partition_key, request.partition_key)
        if request.partition_key
        else (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in result.run_requests or []
    ]


def said(result: dg.SensorResult) -> str:
    assert result.skip_reason
    return str(result.skip_reason.skip_message)


def make(lab: Lab, days: Sequence[tuple[str, str]]) -> None:
    for first, last in days:
        assert refresh(lab, date.fromisoformat(first), date.fromisoformat(last)).success


# A late call


def test_a_late_call_refreshes_its_day_and_then_there_is_nothing_to_do(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON, named=[GOOD])])
    first = tick(lab)
    assert asked(first) == [("2026-03-02", "2026-03-02")]
    make(lab, asked(first))
    second = tick(lab, first.cursor)
    assert not second.run_requests and "every call" in said(second)
    enter(lab.storage.database, [Known(2, NOON, named=[GOOD])])
    change(lab, "UPDATE calls SET updated_at = now() WHERE key = '2.wav'")
    change(lab, "UPDATE daily_calls SET made_at = made_at - interval '10 minutes'")
    soon = tick(lab, second.cursor)
    assert not soon.run_requests and said(soon) == "1 day waits until no call changes for a minute."
    change(lab, "UPDATE calls SET updated_at = now() - interval '1 minute' WHERE key = '2.wav'")
    late = tick(lab, soon.cursor)
    assert asked(late) == [("2026-03-02", "2026-03-02")]
    make(lab, asked(late))
    assert rows(lab, "SELECT mentions FROM daily_calls") == [{"mentions": 2}]
    assert not tick(lab, late.cursor).run_requests


@pytest.mark.parametrize("state", ["ERASED", "DUPLICATE"])
def test_a_call_that_no_longer_counts_leaves_its_day(lab: Lab, state: str) -> None:
    enter(lab.storage.database, [Known(1, NOON, named=[GOOD])])
    make(lab, asked(tick(lab)))
    change(lab, "UPDATE daily_calls SET made_at = made_at - interval '10 minutes'")
    change(lab, "UPDATE calls SET state = %s, updated_at = now() - interval '2 minutes'", state)
    again = tick(lab)
    make(lab, asked(again))
    assert rows(lab, "SELECT calls, mentions FROM daily_calls") == [{"calls": 0, "mentions": 0}]
    assert rows(lab, "SELECT FROM daily_competitors") == []


def test_what_changes_while_a_day_is_counted_makes_it_stale_again(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    make(lab, asked(tick(lab)))
    change(lab, "UPDATE calls SET updated_at = (SELECT made_at + interval '1 ms' FROM daily_calls)")
    [stale], _ = Marts(lab.storage.database).stale_days(DAY)
    assert stale.day == DAY


def test_a_call_that_is_not_done_yet_makes_nothing_stale(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON, "PROCESSING"), Known(2, NOON, "PENDING")])
    assert not tick(lab).run_requests


# Once


def test_days_are_not_asked_for_while_they_have_a_run(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON), Known(2, NOON - timedelta(days=1))])
    first = tick(lab)
    [request] = first.run_requests or []
    job = lab.definitions.resolve_job_def(REFRESH)
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
        run = create_run_for_test(
            lab.instance, REFRESH, tags={**job.tags, **request.tags}, status=status
        )
        second = tick(lab, first.cursor)
        assert not second.run_requests and "2 days have a run" in said(second)
        lab.instance.delete_run(run.run_id)
    assert asked(tick(lab, first.cursor)) == asked(first) == [("2026-03-01", "2026-03-02")]


def test_a_run_that_a_person_asked_for_counts_too(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    create_run_for_test(
        lab.instance,
        "__ASSET_JOB",
        tags={"dagster/partition": "2026-03-02"},
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({dg.AssetKey("daily_calls")}),
    )
    assert not tick(lab).run_requests


def test_a_run_that_failed_is_not_asked_for_again_at_once(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    create_run_for_test(
        lab.instance,
        REFRESH,
        tags={"dagster/partition": "2026-03-02"},
        status=dg.DagsterRunStatus.FAILURE,
    )
    result = tick(lab)
    assert not result.run_requests and "1 day has a run already, or one that failed" in said(result)


@pytest.mark.parametrize("job", [REFRESH, "purge_dagster", "purge_calls"])
def test_runs_of_upkeep_go_one_at_a_time_after_those_of_calls(lab: Lab, job: str) -> None:
    """dagster.yaml limits the tag; calls have priority 0 and more."""
    tags = lab.definitions.resolve_job_def(job).tags
    assert UPKEEP_TAG in tags and int(tags["dagster/priority"]) < 0


# The cursor


def test_a_look_takes_up_where_the_last_one_ended(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    make(lab, asked(tick(lab)))
    cursor = tick(lab).cursor
    assert cursor
    change(lab, "DELETE FROM daily_calls")
    assert not tick(lab, cursor).run_requests, "what changed long ago is not looked at again"
    assert asked(tick(lab, None)) == [("2026-03-02", "2026-03-02")]


@pytest.mark.parametrize("cursor", ["", "[]", "{}", '{"from": 1, "since": 2}', "gibberish"])
def test_a_cursor_that_says_nothing_is_a_look_at_everything(lab: Lab, cursor: str) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    assert len(asked(tick(lab, cursor))) == 1


def test_what_has_not_been_made_is_found_again(lab: Lab) -> None:
    apart = [Known(number, NOON - timedelta(days=2 * number)) for number in range(5)]
    enter(lab.storage.database, apart)
    result, found = tick(lab), list[tuple[str, str]]()
    while result.run_requests:
        assert len(result.run_requests) <= 3
        make(lab, asked(result))
        found += asked(result)
        result = tick(lab, result.cursor)
    ended = "SELECT FROM analytics.calls WHERE state IN ('COMPLETED', 'FAILED') AND NOT EXISTS ({})"
    uncounted = ended.format("SELECT FROM daily_calls d WHERE d.day = calls.day")
    assert rows(lab, uncounted) == []
    assert found == sorted(found, reverse=True)


def test_another_first_day_is_a_look_at_everything(lab: Lab) -> None:
    enter(lab.storage.database, [Known(1, NOON)])
    make(lab, asked(tick(lab)))
    late = tick(lab, sensor=stale_days(DAY + timedelta(days=1)))
    assert not late.run_requests
    assert json.loads(late.cursor or "")["from"] == "2026-03-03"
    change(lab, "DELETE FROM daily_calls")
    assert len(asked(tick(lab, late.cursor))) == 1


def test_days_of_which_calls_went_when_their_time_was_over_are_left_alone(lab: Lab) -> None:
    old, asked_for = Known(1, NOON), Known(2, NOON + timedelta(days=1))
    enter(lab.storage.database, [old, asked_for])
    erasures, now = lab.storage.erasures, datetime.now(UTC)
    change(lab, f"UPDATE calls SET completed_at = '{NOON}'")
    assert erasures.begin([old.call_id], keep_recording=True, ended_before=now)
    assert erasures.begin([asked_for.call_id], keep_recording=True)
    change(lab, "UPDATE calls SET updated_at = now() - interval '1 hour'")
    assert asked(tick(lab)) == [("2026-03-03", "2026-03-03")]


def test_days_before_the_first_and_far_in_the_future_are_left_alone(lab: Lab) -> None:
    enter(
        lab.storage.database,
        [Known(1, datetime(2019, 1, 1, tzinfo=UTC)), Known(2, datetime(2099, 1, 1, tzinfo=UTC))],
    )
    result = tick(lab)
    assert not result.run_requests and "every call" in said(result)
