"""The daily marts: what the calls of each day come to, counted from their assets.

How it is counted is in `pipeline/daily.py`; which days are asked for, in `stale_days.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from math import isnan
from typing import TYPE_CHECKING, Any

import dagster as dg

from callpipeline.defs.jobs import UPKEEP
from callpipeline.defs.told import told
from callpipeline.domain.call import Stage
from callpipeline.domain.stale_days import LONGEST_DAYS
from callpipeline.pipeline import daily
from callpipeline.storage.marts import Marts
from callpipeline.wiring import Storage

if TYPE_CHECKING:
    from pandas import DataFrame
else:  # Dagster reads annotations when definitions load, and pandas takes a second to import.
    DataFrame = Any

GROUP = "marts"
REFRESH = "refresh_marts"
ALL_CALLS = dg.AllPartitionMapping()
"""Any call may be of any day; the IO manager loads those of the run's days."""
LOADED = (Stage.CALL_METRICS, Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
ASKED = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
"""Of these the database is asked just how long they took."""
FROM_CALLS = (Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
PARENTS: Mapping[str, Sequence[str]] = {
    "daily_calls": ("recordings", *LOADED, *ASKED),
    "daily_competitors": ("recordings", *FROM_CALLS),
    "daily_agents": FROM_CALLS,
}
DESCRIPTIONS = {
    "daily_calls": (
        "Each day in one row: calls, how many were completed and failed, hours of sound, and how "
        "long the engines worked on a call (median, and the time that 95 of 100 calls stayed "
        "under). Its plots show calls a day, failures by reason, and slow engines."
    ),
    "daily_competitors": (
        "Each competitor on each day on which it was named: calls, mentions by customers and by "
        "agents, how it was spoken of, and its share of that day's talk."
    ),
    "daily_agents": "Which competitors came up in whose calls, day by day.",
}


def daily_marts(first: date) -> dg.AssetsDefinition:
    """The marts of the days from `first` until today.

    One step makes all three, so that they count the same calls. Days of which a call went when its
    time was over are refused: what was counted of them stays.
    """

    @dg.multi_asset(
        name="daily_marts",
        group_name=GROUP,
        partitions_def=dg.DailyPartitionsDefinition(first.isoformat(), end_offset=1),
        backfill_policy=dg.BackfillPolicy.multi_run(LONGEST_DAYS),
        ins={stage.value: dg.AssetIn(partition_mapping=ALL_CALLS) for stage in LOADED},
        deps=[dg.AssetDep(stage.value, partition_mapping=ALL_CALLS) for stage in ASKED],
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
        of = daily.CallsOfDays(days, *loaded, _work(storage, days))
        # The earliest: what changes after it makes the day stale, whether it was read or not.
        made_at = min(frame.attrs["read_at"] for frame in loaded)
        yield from _outputs(context, of, made_at)

    return marts


def _outputs(
    context: dg.AssetExecutionContext, of: daily.CallsOfDays, made_at: datetime
) -> Iterator[dg.Output]:
    agents, competitors = daily.by_agent(of), daily.by_competitor(of)
    calls = daily.by_day(of, made_at)
    for day in of.days:
        _tell(context, day, competitors, agents)
        _tell_calls(context, day, calls, daily.failures(of.calls, day))
    yield dg.Output(agents, "daily_agents")
    yield dg.Output(competitors, "daily_competitors")
    # The last: by its `made_at` the day counts as made, with all of its marts.
    yield dg.Output(calls, "daily_calls")


def _out(name: str) -> dg.AssetOut:
    return dg.AssetOut(
        description=DESCRIPTIONS[name],
        io_manager_key="postgres",
        kinds={"postgres", "pandas"},
        metadata={"table": name, "partition_column": "day"},
    )


def _days(context: dg.AssetExecutionContext, storage: Storage) -> list[date]:
    """The days of the run. Raises Failure where there are none, or calls of one were deleted."""
    days = [date.fromisoformat(key) for key in context.partition_keys]
    if not days:
        raise dg.Failure(
            "The run selects no day: a range must begin with its earlier day.", allow_retries=False
        )
    with told():
        closed = Marts(storage.database).closed_days(days)
    if closed:
        listed = ", ".join(map(str, closed))
        raise dg.Failure(
            f"Calls of these days were deleted when their time was over: {listed}. Their marts "
            "keep what they counted before, and are not made again: choose other days.",
            allow_retries=False,
        )
    return days


def _work(storage: Storage, days: Sequence[date]) -> DataFrame:
    import pandas as pd

    with told():
        rows = Marts(storage.database).work(days)
    return pd.DataFrame(rows, columns=["day", "stage", "took_s"]).astype({"took_s": float})


def _tell(
    context: dg.AssetExecutionContext, day: date, competitors: DataFrame, agents: DataFrame
) -> None:
    named, of_agents = competitors.query("day == @day"), agents.query("day == @day")
    sums = named[["mentions", "positive", "negative"]].sum().to_dict()
    context.add_asset_metadata(
        {"competitors": len(named), **sums}, "daily_competitors", day.isoformat()
    )
    counted = {"agents": len(set(of_agents["agent"])), "rows": len(of_agents)}
    context.add_asset_metadata(counted, "daily_agents", day.isoformat())


def _tell_calls(
    context: dg.AssetExecutionContext, day: date, calls: DataFrame, failures: Mapping[str, int]
) -> None:
    """Numbers, since Dagster's UI plots those over the days; what is not known is left out."""
    [row] = calls.query("day == @day").drop(columns=["day", "made_at"]).to_dict("records")
    told_of = {str(name): value for name, value in row.items() if not isnan(value)}
    reasons = {f"failed: {reason}": count for reason, count in failures.items()}
    context.add_asset_metadata(told_of | reasons, "daily_calls", day.isoformat())


refresh_marts_job = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    tags=UPKEEP,
    description="Counts days anew: their calls, competitors and agents.",
)
