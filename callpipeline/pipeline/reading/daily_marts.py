# pandas has no type stubs.
# pyright: basic
"""Aggregation of calls by day for the daily marts.

The input frames are rows of the views of schema `analytics`. pandas takes a second to import, so it
is imported on first use.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from callpipeline.domain.calls.call import CallState, Stage

if TYPE_CHECKING:
    import pandas as pd

TIMED = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS, Stage.COMPETITOR_SENTIMENT)
"""Stages with engines that may get slower."""
ENDED = (CallState.COMPLETED, CallState.FAILED)
TALKED = ("agent_talk", "customer_talk", "silence")
PERCENTILES = {"p50": 0.5, "p95": 0.95}
COMPETITOR_COUNTS = (
    "calls",
    "mentions",
    "by_customer",
    "by_agent",
    "positive",
    "neutral",
    "negative",
    "mixed",
)
COMPETITOR_NUMBERS = (
    "mean_score",
    "customer_score",
    "agent_score",
    "share_of_mentions",
    "share_of_calls",
)


@dataclass(frozen=True, slots=True)
class DailyFrames:
    """Calls of some days and their results; `work` has the seconds that each stage took."""

    days: Sequence[date]
    calls: "pd.DataFrame"
    metrics: "pd.DataFrame"
    mentions: "pd.DataFrame"
    sentiment: "pd.DataFrame"
    work: "pd.DataFrame"


def by_day(frames: DailyFrames, made_at: datetime) -> "pd.DataFrame":
    """Return a row per day, including days without calls; times are in hours and seconds."""
    import pandas as pd

    ended = {state.lower(): frames.calls["state"] == state for state in ENDED}
    counted = [
        _summed(frames.calls.assign(calls=1, **ended), "calls", *ended, audio_h="duration_s"),
        _summed(_counted(frames.mentions).assign(mentions=1), "mentions"),
        _summed(frames.metrics, **{f"{name}_h": f"{name}_s" for name in TALKED}),
    ]
    rows = (
        pd.DataFrame(index=pd.Index(frames.days, name="day", dtype=object)).join(counted).fillna(0)
    )
    whole = dict.fromkeys(("calls", *ended, "mentions"), int)
    hours = {name: rows[name] / 3600 for name in rows if str(name).endswith("_h")}
    timed = rows.astype(whole).assign(**hours).join([_times(frames.work, stage) for stage in TIMED])
    return timed.reset_index().assign(made_at=made_at)


def by_competitor(rows: Sequence[Mapping[str, object]]) -> "pd.DataFrame":
    """Return a row for each day and competitor mentioned on it, as counted by the SQL views."""
    import pandas as pd

    types = dict.fromkeys(COMPETITOR_COUNTS, int) | dict.fromkeys(COMPETITOR_NUMBERS, float)
    return pd.DataFrame(rows, columns=["day", "competitor", *types]).astype(types)


def by_agent(frames: DailyFrames) -> "pd.DataFrame":
    """Return a row per day, agent, and competitor mentioned in the agent's calls."""
    # groupby drops calls without an agent.
    return (
        _judged(frames)
        .groupby(["day", "agent", "competitor"], as_index=False)
        .agg(
            calls=("call_id", "nunique"),
            mentions=("call_id", "size"),
            **_sums("by_agent", "by_customer", "positive", "negative"),
            mean_score=("score", "mean"),
            customer_score=("customer_score", "mean"),
            agent_score=("agent_score", "mean"),
        )
    )


def failures(calls: "pd.DataFrame", day: date) -> dict[str, int]:
    """Count the failed calls of a day by class of error, most frequent first."""
    failed = calls.query("day == @day and state == 'FAILED'")
    return dict(Counter(failed["error_class"].fillna("an unknown error")).most_common())


def _counted(mentions: "pd.DataFrame") -> "pd.DataFrame":
    return mentions.query("status == 'counted'")


def _judged(frames: DailyFrames) -> "pd.DataFrame":
    """Return the counted mentions with a boolean column per speaker and sentiment."""
    judgements = frames.sentiment[["call_id", "mention_id", "sentiment", "score"]]
    mentions = _counted(frames.mentions).merge(judgements, how="left", on=["call_id", "mention_id"])
    kinds, score = ("positive", "negative"), mentions["score"].astype(float)
    is_agent = mentions["speaker"] == "agent"
    return mentions.assign(
        score=score,
        customer_score=score.mask(is_agent),
        agent_score=score.where(is_agent),
        by_customer=mentions["speaker"] == "customer",
        by_agent=is_agent,
        **{kind: mentions["sentiment"] == kind for kind in kinds},
    )


def _sums(*columns: str) -> dict[str, tuple[str, str]]:
    return {column: (column, "sum") for column in columns}


def _summed(frame: "pd.DataFrame", *columns: str, **renamed: str) -> "pd.DataFrame":
    """Return daily sums; columns are cast, since those of no calls have no numeric type."""
    wanted = {column: column for column in columns} | renamed
    numbers = frame.astype(dict.fromkeys(wanted.values(), float))
    return numbers.groupby("day").agg(**{name: (of, "sum") for name, of in wanted.items()})


def _times(work: "pd.DataFrame", stage: Stage) -> "pd.DataFrame":
    """Return the percentiles of a stage's processing time per day."""
    by_name = {f"{stage}_{name}_s": share for name, share in PERCENTILES.items()}
    of_days = work.query("stage == @stage").groupby("day")
    return of_days.agg(
        **{name: ("took_s", lambda took, q=q: took.quantile(q)) for name, q in by_name.items()}
    )
