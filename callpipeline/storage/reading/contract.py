"""The answers of the API's analytics routes, in its own shapes and words (CONTRACT section 2)."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from callpipeline.domain.filters import Filters, Stance
from callpipeline.storage.database import Database, Row
from callpipeline.storage.reading import calls, cursors, numbers
from callpipeline.storage.reading.asking import ask, named_as_known

LIST = "mentions"
TOP = 10


@dataclass(frozen=True, slots=True)
class NameCount:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class SentimentCount:
    """`percentage` is of all mentions, 0..100."""

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
    """`total_jobs` is what a list of all calls counts."""

    total_jobs: int
    total_competitors: int
    top_competitors: tuple[NameCount, ...]
    sentiment_distribution: tuple[SentimentCount, ...]


@dataclass(frozen=True, slots=True)
class MentionRow:
    """A mention with the segment it was said in; times are seconds from the call's beginning."""

    call_id: str
    mention_id: str
    competitor: str
    stance: Stance
    score: float | None
    took_place_at: datetime
    said: str
    channel: str
    speaker: str
    segment_index: int
    char_start: int
    char_end: int
    start_s: float
    end_s: float
    rule: str | None
    quote: str | None
    engine: str | None
    segment_text: str | None
    segment_start_s: float | None
    segment_end_s: float | None
    key: str
    agent: str | None


@dataclass(frozen=True, slots=True)
class MentionPage:
    """Mentions, and the cursor of those after them; None where there are none."""

    mentions: tuple[MentionRow, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class CompetitorDetail:
    """One competitor; `segments` are the first page of its mentions, the newest call first."""

    competitor_name: str
    total_mentions: int
    unique_calls: int
    sentiment_breakdown: tuple[SentimentCount, ...]
    segments: tuple[MentionRow, ...]
    after: str | None


def overview(database: Database, filters: Filters) -> Overview:
    """The numbers of the page of all analytics."""
    found = numbers.by_competitor(database, filters)
    by_stance = {stance: sum(each.counts.of(stance) for each in found) for stance in Stance}
    return Overview(
        calls.count(database, filters),
        len(found),
        tuple(NameCount(each.name, each.counts.mentions) for each in found[:TOP]),
        _distribution(by_stance),
    )


def competitor(
    database: Database, name: str, filters: Filters, *, limit: int = 100, after: str | None = None
) -> CompetitorDetail | None:
    """One competitor, whose name may be written in any case; None where it is named nowhere."""
    wanted = replace(filters, competitors=(name,))
    found = numbers.by_competitor(database, wanted)
    if not found:
        return None
    by_stance = {stance: sum(each.counts.of(stance) for each in found) for stance in Stance}
    page = mentions(database, wanted, limit=limit, after=after)
    unique = found[0].calls if len(found) == 1 else numbers.totals(database, wanted).calls_with_mention  # noqa: E501  # fmt: skip
    return CompetitorDetail(
        found[0].name,
        sum(each.counts.mentions for each in found),
        unique,
        _distribution(by_stance),
        page.mentions,
        page.after,
    )


def competitor_list(database: Database, filters: Filters) -> tuple[NameCount, ...]:
    """All competitors with their mentions, those named most first."""
    return tuple(
        NameCount(each.name, each.counts.mentions)
        for each in numbers.by_competitor(database, filters)
    )


def sentiment_trends(database: Database, filters: Filters) -> tuple[TrendCount, ...]:
    """Mentions of each sentiment by the day of the call."""
    rows = ask(database, "reading/mention_days", named_as_known(database, filters))
    return tuple(TrendCount(row["day"], row["stance"], row["mentions"]) for row in rows)


def mentions(
    database: Database, filters: Filters, *, limit: int = 100, after: str | None = None
) -> MentionPage:
    """Mentions that are let through, the newest call first. Raises CursorInvalid."""
    at, call_id, mention_id = cursors.read(after, LIST, (str,)) if after else (None, None, None)
    where: dict[str, Any] = {"after_at": at, "after_id": call_id, "after_mention": mention_id}
    where |= {"limit": limit + 1}
    known = named_as_known(database, filters)
    rows = ask(database, "reading/segments_naming", known, where)
    found = tuple(map(_mention, rows[:limit]))
    if len(rows) <= limit or not found:
        return MentionPage(found, None)
    last = found[-1]
    return MentionPage(
        found, cursors.written(LIST, last.took_place_at, last.call_id, last.mention_id)
    )


def _mention(row: Row) -> MentionRow:
    typed: Row = {"stance": Stance(row["stance"])}
    return MentionRow(**(row | typed))


def _distribution(by_stance: dict[Stance, int]) -> tuple[SentimentCount, ...]:
    """Of those that occur."""
    total = sum(by_stance.values())
    return tuple(
        SentimentCount(str(stance), count, 100 * count / total)
        for stance, count in by_stance.items()
        if count
    )
