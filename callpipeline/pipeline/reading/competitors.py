"""The competitors of a catalog with their numbers: mentions, trend, and what reviewers decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.time_buckets import BucketSize, TimeBucket, bucket_start
from callpipeline.storage.ports.analytics import CompetitorCounter, CompetitorNumbers
from callpipeline.storage.ports.results import DecisionCount, DecisionCounter

TREND_WEEKS = 12
COMPARED_WEEKS = 4


@dataclass(frozen=True, slots=True)
class ListedCompetitor:
    """An entry of the catalog; `mentions` are counted ones, `calls` hold one, of any time.

    An own name has `own_mentions` instead, which never count.

    `trend` has the mentions of each of the last weeks, of which the last one is not over.
    `to_review` are questions that wait for a person.
    """

    entry: Competitor
    mentions: int
    own_mentions: int
    calls: int
    share: float
    trend: tuple[int, ...]
    to_review: int
    decisions: DecisionCount

    @property
    def change(self) -> float | None:
        """Return the change of the last four full weeks from the four before, 0.5 for +50 %."""
        weeks = self.trend[:-1]
        last = sum(weeks[-COMPARED_WEEKS:])
        before = sum(weeks[-2 * COMPARED_WEEKS : -COMPARED_WEEKS])
        return (last - before) / before if before else None

    @property
    def is_new(self) -> bool:
        """Return true if it was mentioned in the last four full weeks, but not before."""
        weeks = self.trend[:-1]
        return any(weeks[-COMPARED_WEEKS:]) and not any(weeks[:-COMPARED_WEEKS])


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
    pending, decided = reviews.count_pending(), reviews.count_decisions()
    return CompetitorOverview(
        tuple(
            _listed(
                entry,
                totals.get(entry.name),
                own.get(entry.name, 0),
                trend.by_competitor.get(entry.name, (0,) * len(trend.buckets)),
                pending,
                decided,
            )
            for entry in catalog.competitors
        ),
        trend.buckets,
    )


def _listed(
    entry: Competitor,
    numbers: CompetitorNumbers | None,
    own_mentions: int,
    trend: Sequence[int],
    pending: Mapping[str, int],
    decided: Mapping[str, DecisionCount],
) -> ListedCompetitor:
    return ListedCompetitor(
        entry,
        numbers.counts.mentions if numbers else 0,
        own_mentions,
        numbers.calls if numbers else 0,
        numbers.share if numbers else 0.0,
        tuple(trend),
        pending.get(entry.name, 0),
        decided.get(entry.name, DecisionCount()),
    )
