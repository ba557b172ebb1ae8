"""What the calls of some days come to, counted by day from DataFrames for the daily marts.

The frames are rows of the views of schema `analytics`. pandas takes a second to import, so that
this is done where it is used.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from callpipeline.domain.call import CallState, Stage

if TYPE_CHECKING:
    import pandas as pd

TIMED = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS, Stage.COMPETITOR_SENTIMENT)
"""The stages whose engines a person wants to see getting slower."""
ENDED = (CallState.COMPLETED, CallState.FAILED)
TALKED = ("agent_talk", "customer_talk", "silence")
PERCENTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class CallsOfDays:
    """All that is known of the calls of some days; `work` has the seconds that each stage took."""

    days: Sequence[date]
    calls: "pd.DataFrame"
    metrics: "pd.DataFrame"
    mentions: "pd.DataFrame"
    sentiment: "pd.DataFrame"
    work: "pd.DataFrame"


def by_day(of: CallsOfDays, made_at: datetime) -> "pd.DataFrame":
    """A row for each day, also for one without calls; times are in hours and in seconds."""
    import pandas as pd

    ended = {state.lower(): of.calls["state"] == state for state in ENDED}
    counted = [
        _summed(of.calls.assign(calls=1, **ended), "calls", *ended, audio_h="duration_s"),
        _summed(_that_count(of.mentions).assign(mentions=1), "mentions"),
        _summed(of.metrics, **{f"{name}_h": f"{name}_s" for name in TALKED}),
    ]
    rows = pd.DataFrame(index=pd.Index(of.days, name="day", dtype=object)).join(counted).fillna(0)
    whole = dict.fromkeys(("calls", *ended, "mentions"), int)
    hours = {name: rows[name] / 3600 for name in rows if str(name).endswith("_h")}
    timed = rows.astype(whole).assign(**hours).join([_times(of.work, stage) for stage in TIMED])
    return timed.reset_index().assign(made_at=made_at)


def by_competitor(of: CallsOfDays) -> "pd.DataFrame":
    """A row for each day and competitor that was named on it, with its share of that day's talk."""
    named = _judged(of)
    counted = named.groupby(["day", "competitor"], as_index=False).agg(
        calls=("call_id", "nunique"),
        mentions=("call_id", "size"),
        **_sums("by_customer", "by_agent", "positive", "neutral", "negative", "unsure"),
        mean_score=("score", "mean"),
    )
    completed = of.calls[of.calls["state"] == CallState.COMPLETED].groupby("day").size()
    return counted.assign(
        share_of_mentions=counted["mentions"] / counted.groupby("day")["mentions"].transform("sum"),
        share_of_calls=counted["calls"] / completed.reindex(counted["day"]).to_numpy(),
    )


def by_agent(of: CallsOfDays) -> "pd.DataFrame":
    """A row for each day, agent and competitor that was named in the agent's calls of it."""
    # Calls whose agent is not known are left out by groupby.
    return (
        _judged(of)
        .groupby(["day", "agent", "competitor"], as_index=False)
        .agg(
            calls=("call_id", "nunique"),
            mentions=("call_id", "size"),
            **_sums("by_agent", "by_customer", "positive", "negative"),
            mean_score=("score", "mean"),
        )
    )


def failures(calls: "pd.DataFrame", day: date) -> dict[str, int]:
    """How many calls of a day failed with which class of error, the commonest first."""
    failed = calls.query("day == @day and state == 'FAILED'")
    return dict(Counter(failed["error_class"].fillna("an unknown error")).most_common())


def _that_count(mentions: "pd.DataFrame") -> "pd.DataFrame":
    return mentions.query("status == 'accepted'")


def _judged(of: CallsOfDays) -> "pd.DataFrame":
    """The mentions that count, with columns of yes and no by speaker and by sentiment."""
    verdicts = of.sentiment[["call_id", "mention_id", "sentiment", "score"]]
    named = _that_count(of.mentions).merge(verdicts, how="left", on=["call_id", "mention_id"])
    kinds = ("positive", "neutral", "negative", "unsure")
    return named.assign(
        score=named["score"].astype(float),
        by_customer=named["speaker"] == "customer",
        by_agent=named["speaker"] == "agent",
        **{kind: named["sentiment"] == kind for kind in kinds},
    )


def _sums(*columns: str) -> dict[str, tuple[str, str]]:
    return {column: (column, "sum") for column in columns}


def _summed(frame: "pd.DataFrame", *columns: str, **renamed: str) -> "pd.DataFrame":
    """The sums of each day; columns without a number in them, as of no calls, have no type."""
    wanted = {column: column for column in columns} | renamed
    numbers = frame.astype(dict.fromkeys(wanted.values(), float))
    return numbers.groupby("day").agg(**{name: (of, "sum") for name, of in wanted.items()})


def _times(work: "pd.DataFrame", stage: Stage) -> "pd.DataFrame":
    """The percentiles of what the stage took on each day."""
    by_name = {f"{stage}_{name}_s": share for name, share in PERCENTILES.items()}
    of_days = work.query("stage == @stage").groupby("day")
    return of_days.agg(
        **{name: ("took_s", lambda took, q=q: took.quantile(q)) for name, q in by_name.items()}
    )
