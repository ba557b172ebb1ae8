"""The competitors of a catalog with their numbers: mentions, trend, and what reviewers decided."""

from dataclasses import dataclass
from datetime import date, timedelta

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.rates import RateChange
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.time_buckets import BucketSize, TimeBucket, bucket_start
from callpipeline.storage.ports.analytics import CompetitorCounter
from callpipeline.storage.ports.results import DecisionCount, DecisionCounter

TREND_WEEKS = 12
COMPARED_WEEKS = 4


@dataclass(frozen=True, slots=True)
class ListedCompetitor:
    """An entry of the catalog; `mentions` are counted ones, `calls` hold one, of any time.

    An own name has `own_mentions` instead, which never count.

    `trend` has the mentions of each of the last weeks, of which the last one is not over. `change`
    is that of mentions per completed call, of the last four full weeks from the four before.
    `to_review` are questions that wait for a person.
    """

    entry: Competitor
    mentions: int
    own_mentions: int
    calls: int
    share: float
    trend: tuple[int, ...]
    change: RateChange
    to_review: int
    decisions: DecisionCount


@dataclass(frozen=True, slots=True)
class CompetitorOverview:
    """The entries of a catalog in its order, and the weeks of their trends."""

    competitors: tuple[ListedCompetitor, ...]
    weeks: tuple[TimeBucket, ...]


def load_competitors(
    analytics: CompetitorCounter, reviews: DecisionCounter, catalog: Catalog, today: date
) -> CompetitorOverview:
    """Load the numbers of all competitors of a catalog."""
    first = bucket_start(today, BucketSize.WEEK) - timedelta(weeks=TREND_WEEKS - 1)
    trend = analytics.over_time(CallFilters(from_day=first, to_day=today))
    totals = {each.name: each for each in analytics.by_competitor(CallFilters())}
    own = analytics.own_mentions([each.name for each in catalog.competitors if each.own])
    this_week = bucket_start(today, BucketSize.WEEK)
    last, before = (
        analytics.rates(
            CallFilters(
                from_day=this_week - timedelta(weeks=weeks),
                to_day=this_week - timedelta(weeks=weeks - COMPARED_WEEKS, days=1),
            )
        )
        for weeks in (COMPARED_WEEKS, 2 * COMPARED_WEEKS)
    )
    pending, decided = reviews.count_pending(), reviews.count_decisions()
    none = (0,) * len(trend.buckets)
    listed: list[ListedCompetitor] = []
    for entry in catalog.competitors:
        name, numbers = entry.name, totals.get(entry.name)
        listed.append(
            ListedCompetitor(
                entry,
                numbers.counts.mentions if numbers else 0,
                own.get(name, 0),
                numbers.calls if numbers else 0,
                numbers.share if numbers else 0.0,
                tuple(trend.by_competitor.get(name, none)),
                RateChange(last.of(name).all, before.of(name).all),
                pending.get(name, 0),
                decided.get(name, DecisionCount()),
            )
        )
    return CompetitorOverview(tuple(listed), trend.buckets)
