"""Daily marts: totals by day, competitor and agent, and the sensor that refreshes stale days.

`pipeline/reading/daily_marts.py` computes them; `domain/time_buckets.py` decides which days are
refreshed, and when.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.defs.dagster_internals.tables import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
    PARTITION_NAME_TAG,
)
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.partitions import UPKEEP_TAGS
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.time_buckets import (
    MAX_RANGE_DAYS,
    MAX_WAIT,
    DayRange,
    StaleDay,
    next_scan_start,
    plan_refreshes,
)
from callpipeline.pipeline.reading import daily_marts as daily
from callpipeline.storage.reading.analytics import DailyMarts
from callpipeline.wiring import Storage

if TYPE_CHECKING:
    from pandas import DataFrame
else:  # Dagster evaluates annotations when definitions load; pandas takes a second.
    DataFrame = Any

GROUP = "marts"
REFRESH_JOB = "refresh_marts"
ALL_CALLS = dg.AllPartitionMapping()
"""A call's key does not determine its day; the I/O manager loads the calls of the run's days."""
LOADED = (Stage.CALL_METRICS, Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
TIMED = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
"""Only the durations of these stages are used, queried from the database."""
FROM_CALLS = (Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
PARENTS: Mapping[str, Sequence[str]] = {
    "daily_calls": ("recordings", *LOADED, *TIMED),
    "daily_competitors": ("recordings", *FROM_CALLS),
    "daily_agents": FROM_CALLS,
}
DESCRIPTIONS = {
    "daily_calls": (
        "One row a day: calls, completed and failed calls, hours of audio, and processing time of "
        "the engines (median and 95th percentile). Its plots show calls a day, failures by reason, "
        "and slow engines."
    ),
    "daily_competitors": (
        "One row for each competitor mentioned on a day: calls, mentions by customers and by "
        "agents, sentiment, and share of voice."
    ),
    "daily_agents": "One row a day for each agent and competitor: calls, mentions and sentiment.",
}


def daily_marts(first: date, zone: str = "UTC") -> dg.AssetsDefinition:
    """Return the marts of the days from `first` until today, in the time zone `zone`.

    One step computes all three, so that they count the same calls. Days with calls that were
    deleted by retention are rejected: their marts keep the old counts.
    """

    @dg.multi_asset(
        name="daily_marts",
        group_name=GROUP,
        partitions_def=dg.DailyPartitionsDefinition(first.isoformat(), timezone=zone, end_offset=1),
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_RANGE_DAYS),
        ins={stage.value: dg.AssetIn(partition_mapping=ALL_CALLS) for stage in LOADED},
        deps=[dg.AssetDep(stage.value, partition_mapping=ALL_CALLS) for stage in TIMED],
        outs={name: _out(name) for name in PARENTS},
        internal_asset_deps={
            name: {dg.AssetKey(str(parent)) for parent in parents}
            for name, parents in PARENTS.items()
        },
    )
    def marts(
        context: dg.AssetExecutionContext,
        storage: dg.ResourceParam[Storage],
        recordings: DataFrame,
        call_metrics: DataFrame,
        competitor_mentions: DataFrame,
        competitor_sentiment: DataFrame,
    ):  # not annotated: Dagster takes a generator's annotation for that of one output
        days = _days(context, storage)
        loaded = recordings, call_metrics, competitor_mentions, competitor_sentiment
        frames = daily.DailyFrames(days, *loaded, _work(storage, days))
        competitors = _competitors(storage, days)
        # The earliest: any later change makes the day stale, even one that was already read.
        made_at = min(frame.attrs["read_at"] for frame in loaded)
        yield from _outputs(context, frames, competitors, made_at)

    return marts


def _outputs(
    context: dg.AssetExecutionContext,
    frames: daily.DailyFrames,
    competitors: DataFrame,
    made_at: datetime,
) -> Iterator[dg.Output]:
    agents, calls = daily.by_agent(frames), daily.by_day(frames, made_at)
    for day in frames.days:
        _add_metadata(context, day, competitors, agents)
        _add_call_metadata(context, day, calls, daily.failures(frames.calls, day))
    yield dg.Output(agents, "daily_agents")
    yield dg.Output(competitors, "daily_competitors")
    # Last: its `made_at` marks all marts of the day as refreshed.
    yield dg.Output(calls, "daily_calls")


def _out(name: str) -> dg.AssetOut:
    return dg.AssetOut(
        description=DESCRIPTIONS[name],
        io_manager_key="postgres",
        kinds={"postgres", "pandas"},
        metadata={"table": name, "partition_column": "day"},
    )


def _days(context: dg.AssetExecutionContext, storage: Storage) -> list[date]:
    """Return the days of the run. Raises Failure if there are none, or calls were deleted."""
    days = [date.fromisoformat(key) for key in context.partition_keys]
    if not days:
        raise dg.Failure(
            "The run selects no days: a range must start with its earlier day.", allow_retries=False
        )
    with expose_errors():
        closed = DailyMarts(storage.database).closed_days(days)
    if closed:
        listed = ", ".join(map(str, closed))
        raise dg.Failure(
            f"Calls of these days were deleted by retention: {listed}. Their marts keep the old "
            "counts and can't be refreshed: select other days.",
            allow_retries=False,
        )
    return days


def _work(storage: Storage, days: Sequence[date]) -> DataFrame:
    import pandas as pd

    with expose_errors():
        rows = DailyMarts(storage.database).stage_durations(days)
    return pd.DataFrame(rows, columns=["day", "stage", "took_s"]).astype({"took_s": float})


def _competitors(storage: Storage, days: Sequence[date]) -> DataFrame:
    with expose_errors():
        return daily.by_competitor(DailyMarts(storage.database).competitors(days))


def _add_metadata(
    context: dg.AssetExecutionContext, day: date, competitors: DataFrame, agents: DataFrame
) -> None:
    named, of_agents = competitors.query("day == @day"), agents.query("day == @day")
    sums = named[["mentions", "positive", "negative"]].sum().to_dict()
    context.add_asset_metadata(
        {"competitors": len(named), **sums}, "daily_competitors", day.isoformat()
    )
    counted = {"agents": len(set(of_agents["agent"])), "rows": len(of_agents)}
    context.add_asset_metadata(counted, "daily_agents", day.isoformat())


def _add_call_metadata(
    context: dg.AssetExecutionContext, day: date, calls: DataFrame, failures: Mapping[str, int]
) -> None:
    """Add numbers, which Dagster plots over the days; missing values are left out."""
    [row] = calls.query("day == @day").drop(columns=["day", "made_at"]).to_dict("records")
    numbers = {str(name): value for name, value in row.items() if not isnan(value)}
    reasons = {f"failed: {reason}": count for reason, count in failures.items()}
    context.add_asset_metadata(numbers | reasons, "daily_calls", day.isoformat())


refresh_marts_job = dg.define_asset_job(
    REFRESH_JOB,
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    tags=UPKEEP_TAGS,
    description="Refreshes the daily marts: calls, competitors and agents.",
)


def stale_days(first: date, zone: str = "UTC") -> dg.SensorDefinition:
    """Return the sensor; days whose calls were deleted by retention are not refreshed."""

    @dg.sensor(
        name="stale_days",
        job_name=REFRESH_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description=(
            "Refreshes the daily marts of days with calls that were processed, failed or erased: a "
            "minute after the last change, or 15 minutes after the first. Clear its cursor to scan "
            "all calls again; only stale days are refreshed."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            since = _scan_start(context.cursor, first)
            stale, now = DailyMarts(storage.database).stale_days(first, since)
        busy = _busy_days(context.instance) if stale else set()
        ranges = plan_refreshes(stale, now.astimezone(ZoneInfo(zone)), busy)
        cursor = {"from": first.isoformat(), "since": next_scan_start(stale, now).isoformat()}
        return dg.SensorResult(
            [run_request(day_range) for day_range in ranges],
            skip_reason=None if ranges else describe(stale, busy),
            cursor=json.dumps(cursor),
        )

    return sensor


def run_request(day_range: DayRange) -> dg.RunRequest:
    """Return the run request for a range of days."""
    first, last = day_range.first.isoformat(), day_range.last.isoformat()
    if first == last:
        return dg.RunRequest(partition_key=first)
    span = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    return dg.RunRequest(tags=span)


def describe(stale: Sequence[StaleDay], busy: Collection[date]) -> str:
    """Return why no run is requested, for the sensor's page."""
    if not stale:
        return "The marts are up to date, except for days with calls deleted by retention."
    days = {each.day for each in stale}
    with_run = len(days & set(busy))
    parts: list[str] = []
    if with_run:
        have = "1 day has" if with_run == 1 else f"{with_run} days have"
        parts.append(f"{have} an unfinished run, or one that failed recently")
    if waiting := len(days) - with_run:
        wait = "1 day waits" if waiting == 1 else f"{waiting} days wait"
        parts.append(f"{wait} until no call has changed for a minute")
    return f"{'; '.join(parts)}."


def _scan_start(cursor: str | None, first: date) -> datetime | None:
    """Return where the last scan ended; None if its cursor has another start date or format."""
    try:
        last = json.loads(cursor or "")
        is_same = last["from"] == first.isoformat()
        return datetime.fromisoformat(last["since"]) if is_same else None
    except (ValueError, TypeError, KeyError):
        return None


def _busy_days(instance: dg.DagsterInstance) -> set[date]:
    """Return days with an unfinished run, or one that failed recently and is retried later."""
    unfinished = instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    failed = instance.get_run_records(
        dg.RunsFilter(
            job_name=REFRESH_JOB,
            statuses=[dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.now(UTC) - MAX_WAIT,
        )
    )
    runs = (record.dagster_run for record in (*unfinished, *failed))
    return {day for run in runs if _refreshes_marts(run) for day in _days_of(run)}


def _refreshes_marts(run: dg.DagsterRun) -> bool:
    """Return True for runs of the job, and for runs that a user launched for marts."""
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    return run.job_name == REFRESH_JOB or bool(selected & set(PARENTS))


def _days_of(run: dg.DagsterRun) -> Iterator[date]:
    single = run.tags.get(PARTITION_NAME_TAG)
    first, last = (
        run.tags.get(tag, single)
        for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
    )
    if first and last:
        day, end = date.fromisoformat(first), date.fromisoformat(last)
        while day <= end:
            yield day
            day += timedelta(days=1)
