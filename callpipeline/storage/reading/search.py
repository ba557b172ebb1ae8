"""Full-text search in segments: the best hits at once, or all of them page by page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.reading.filtered import (
    ALL,
    decode_cursor,
    encode_cursor,
    resolve_competitors,
    select,
)

LIST = "words"
MAX_COUNT = 1_000
MAX_MATCHES = 20_000
"""Matches of the text index that are checked against the filters to count hits."""

NEAR_CALLS = 1_000
"""Newest calls that are scanned before the text index is used. The scan takes 10 to 25 ms, as long
as the index takes for a word in every thousandth segment."""

POSITION = ("after_at", "after_id", "after_s", "after_channel", "after_index")
START = (None,) * len(POSITION)

BEGIN, END = "⟦", "⟧"
"""Delimiters of matched words in `SearchHit.marked`."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Words to search for; `competitor` and `sentiment` belong to a mention in the same call."""

    words: str
    competitor: str | None = None
    speaker: Speaker | None = None
    sentiment: Sentiment | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A segment with the words; times are seconds from the start of the call."""

    call_id: str
    channel: str
    segment_index: int
    speaker: str
    start_s: float
    end_s: float
    text: str
    took_place_at: datetime
    agent: str | None
    rank: float
    marked: str


@dataclass(frozen=True, slots=True)
class HitPage:
    """A page of hits; `after` is the cursor of the next page, None for the last."""

    hits: tuple[SearchHit, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class HitCount:
    """Number of segments with the words; a lower bound if `is_more`."""

    segments: int
    is_more: bool


class SegmentSearch:
    """Full-text search in segments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def best(self, request: SearchRequest) -> list[SearchHit]:
        """Return the best of the newest 5,000 hits, best first."""
        return [
            SearchHit(**row) for row in self._database.rows("search/best_hits", asdict(request))
        ]

    def list(
        self, words: str, filters: CallFilters = ALL, *, limit: int = 20, after: str | None = None
    ) -> HitPage:
        """Return a page of hits, newest call first and in order of time within a call.

        `filters.speaker` is the speaker of the segment; competitors and sentiment belong to any
        mention in the call. Raises CursorInvalid.
        """
        position = decode_cursor(after, LIST, (float, str, int)) if after else START
        resolved, conditions = self._conditions(words, filters, position)
        page: Row = {"limit": limit + 1, "looked_at": None}
        rows = select(self._database, "search/list_hits", resolved, conditions | page)
        hits = tuple(SearchHit(**row) for row in rows[:limit])
        if len(rows) <= limit or not hits:
            return HitPage(hits, None)
        last = hits[-1]
        more = (float(last.start_s), last.channel, last.segment_index)
        return HitPage(hits, encode_cursor(LIST, last.took_place_at, last.call_id, *more))

    def count(self, words: str, filters: CallFilters = ALL) -> HitCount:
        """Count the hits up to 1,000 among the first 20,000 matches of the text index."""
        resolved, conditions = self._conditions(words, filters, START)
        limits: Row = {"limit": MAX_COUNT + 1, "looked_at": MAX_MATCHES}
        [row] = select(self._database, "search/count_matches", resolved, conditions | limits)
        found = row["segments"]
        return HitCount(min(found, MAX_COUNT), found > MAX_COUNT or row["may_be_more"])

    def has_only_stop_words(self, words: str) -> bool:
        """Return true if no word is searchable, as in `the` or `to`."""
        [row] = self._database.rows("search/has_only_stop_words", {"words": sanitize_text(words)})
        return row["is_empty"]

    def _conditions(
        self, words: str, filters: CallFilters, position: Sequence[object]
    ) -> tuple[CallFilters, Row]:
        """Move the speaker from the filters, which concern calls, to the segment."""
        speaker = str(filters.speaker) if filters.speaker else None
        resolved = resolve_competitors(self._database, replace(filters, speaker=None).counted())
        after: Row = dict(zip(POSITION, position, strict=True))
        own: Row = {"words": sanitize_text(words), "segment_speaker": speaker, "near": NEAR_CALLS}
        return resolved, own | after
