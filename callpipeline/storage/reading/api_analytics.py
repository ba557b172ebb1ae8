"""Documents of the API's analytics routes."""

from dataclasses import dataclass, replace
from datetime import date

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.storage.ports.analytics import CompetitorNumbers, ListedMention
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading.analytics import Analytics
from callpipeline.storage.reading.calls import CallReader
from callpipeline.storage.reading.filtered import ALL, resolve_competitors, select

TOP = 10


@dataclass(frozen=True, slots=True)
class NameCount:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class SentimentCount:
    """Mentions of a sentiment; `percentage` (0..100) is of all mentions."""

    sentiment: str
    count: int
    percentage: float


@dataclass(frozen=True, slots=True)
class TrendCount:
    date: date
    sentiment: str
    count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Numbers of all competitors; `total_jobs` is the length of the list of calls."""

    total_jobs: int
    total_competitors: int
    top_competitors: tuple[NameCount, ...]
    sentiment_distribution: tuple[SentimentCount, ...]


@dataclass(frozen=True, slots=True)
class CompetitorDetail:
    """Numbers of one competitor; `segments` are the first page of its mentions, newest first."""

    competitor_name: str
    total_mentions: int
    unique_calls: int
    sentiment_breakdown: tuple[SentimentCount, ...]
    customer_score: float | None
    agent_score: float | None
    segments: tuple[ListedMention, ...]
    after: str | None


class ApiAnalytics:
    """Reads the documents of the API's analytics routes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._analytics = Analytics(database)

    def overview(self, filters: CallFilters = ALL) -> Overview:
        found = self._analytics.by_competitor(filters)
        return Overview(
            CallReader(self._database).count(filters),
            len(found),
            tuple(NameCount(each.name, each.counts.mentions) for each in found[:TOP]),
            _distribution(found),
        )

    def competitor(
        self, name: str, filters: CallFilters = ALL, *, limit: int = 100, after: str | None = None
    ) -> CompetitorDetail | None:
        """Return a competitor by its case-insensitive name, or None if it has no mentions."""
        own = replace(filters, competitors=(name,))
        found = self._analytics.by_competitor(own)
        if not found:
            return None
        page = self._analytics.mentions(own, limit=limit, after=after)
        one = len(found) == 1
        return CompetitorDetail(
            found[0].name,
            sum(each.counts.mentions for each in found),
            found[0].calls if one else self._analytics.totals(own).calls_with_mention,
            _distribution(found),
            found[0].counts.customer_score if one else None,
            found[0].counts.agent_score if one else None,
            page.mentions,
            page.after,
        )

    def competitors(self, filters: CallFilters = ALL) -> tuple[NameCount, ...]:
        """Return all competitors with their mentions, most mentions first."""
        found = self._analytics.by_competitor(filters)
        return tuple(NameCount(each.name, each.counts.mentions) for each in found)

    def sentiment_trends(self, filters: CallFilters = ALL) -> tuple[TrendCount, ...]:
        """Return the mentions by sentiment and day of the call."""
        resolved = resolve_competitors(self._database, filters)
        rows = select(self._database, "reading/mentions_by_day", resolved)
        return tuple(TrendCount(row["day"], row["stance"], row["mentions"]) for row in rows)


def _distribution(found: tuple[CompetitorNumbers, ...]) -> tuple[SentimentCount, ...]:
    """Return the sentiments that occur."""
    counts = {s: sum(each.counts.of(s) for each in found) for s in MentionSentiment}
    total = sum(counts.values())
    return tuple(
        SentimentCount(str(sentiment), count, 100 * count / total)
        for sentiment, count in counts.items()
        if count
    )
