"""The sensor that lets days be counted anew after their calls have changed.

Which days, and when, is decided in `domain/stale_days.py`.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from callpipeline.defs.marts import PARENTS, REFRESH
from callpipeline.defs.told import told
from callpipeline.domain.stale_days import PATIENCE, StaleDay, Stretch, look_from, plan
from callpipeline.storage.marts import Marts
from callpipeline.wiring import Storage

UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def stale_days(first: date) -> dg.SensorDefinition:
    """The sensor for days from `first` on, but for those whose calls were deleted by their age."""

    @dg.sensor(
        name="stale_days",
        job_name=REFRESH,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description=(
            "Lets the daily marts be made anew for each day of which a call was processed, failed "
            "or was erased since: a minute after the last change, or 15 minutes after the first. "
            "When its cursor is cleared it looks through all calls again, and makes nothing twice."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with told():
            since = _looked_from(context.cursor, first)
            stale, now = Marts(storage.database).stale_days(first, since)
        busy = _busy_days(context.instance) if stale else set()
        asked = plan(stale, now, busy)
        cursor = {"from": first.isoformat(), "since": look_from(stale, now).isoformat()}
        return dg.SensorResult(
            [run_request(stretch) for stretch in asked],
            skip_reason=None if asked else in_words(stale, busy),
            cursor=json.dumps(cursor),
        )

    return sensor


def run_request(stretch: Stretch) -> dg.RunRequest:
    """The request of one run for days in a row."""
    first, last = stretch.first.isoformat(), stretch.last.isoformat()
    if first == last:
        return dg.RunRequest(partition_key=first)
    span = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    return dg.RunRequest(tags=span)


def in_words(stale: Sequence[StaleDay], busy: Collection[date]) -> str:
    """Why no run is asked for, for a person who looks at the sensor."""
    if not stale:
        return "The marts have every call that has ended, but for days of which some went by age."
    days = {each.day for each in stale}
    with_run = len(days & set(busy))
    said: list[str] = []
    if with_run:
        are = "1 day has" if with_run == 1 else f"{with_run} days have"
        said.append(f"{are} a run already, or one that failed just now")
    if waiting := len(days) - with_run:
        are = "1 day waits" if waiting == 1 else f"{waiting} days wait"
        said.append(f"{are} until no call changes for a minute")
    return f"{'; '.join(said)}."


def _looked_from(cursor: str | None, first: date) -> datetime | None:
    """Where the last look ended; None where it was over other days, or of another version."""
    try:
        last = json.loads(cursor or "")
        is_same = last["from"] == first.isoformat()
        return datetime.fromisoformat(last["since"]) if is_same else None
    except (ValueError, TypeError, KeyError):
        return None


def _busy_days(instance: dg.DagsterInstance) -> set[date]:
    """Days that have a run, or had one that failed a short while ago: it is not tried at once."""
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
    failed = instance.get_runs(
        filters=dg.RunsFilter(
            job_name=REFRESH,
            statuses=[dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.now(UTC) - PATIENCE,
        )
    )
    return {day for run in (*unfinished, *failed) if _makes_marts(run) for day in _days_of(run)}


def _makes_marts(run: dg.DagsterRun) -> bool:
    """Whether the sensor asked for it, or a person for marts."""
    chosen = {key.to_user_string() for key in run.asset_selection or ()}
    return run.job_name == REFRESH or bool(chosen & set(PARENTS))


def _days_of(run: dg.DagsterRun) -> Iterator[date]:
    one = run.tags.get(PARTITION_NAME_TAG)
    first, last = (
        run.tags.get(tag, one)
        for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
    )
    if first and last:
        day, end = date.fromisoformat(first), date.fromisoformat(last)
        while day <= end:
            yield day
            day += timedelta(days=1)
