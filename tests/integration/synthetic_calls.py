"""Synthetic calls, and a simple implementation of their filters to compare with."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import psycopg
from hypothesis import strategies as st
from psycopg.rows import dict_row

from benchmarks.synthetic_data import DatasetSize
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import LISTED_STATES, CallFilters, MentionSentiment
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading.analytics import Analytics
from callpipeline.storage.reading.api_analytics import ApiAnalytics
from callpipeline.storage.reading.calls import CallReader
from callpipeline.storage.reading.search import SegmentSearch

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
SMALL = DatasetSize(calls=300, segments=4_000, mentions=500, agents=6, competitors=5, days=100)
FIRST, LAST = date(2026, 3, 20), date(2026, 7, 2)

FILTERS = st.builds(
    CallFilters,
    from_day=st.none() | st.dates(FIRST, LAST),
    to_day=st.none() | st.dates(FIRST, LAST),
    agent=st.sampled_from([None, None, None, "Ann Abbot", "bEN aBBOT", "", "nobody"]),
    source=st.sampled_from([None, None, None, "recordings", "archive"]),
    competitors=st.sampled_from([(), (), (), ("Sky",), ("ee", "Vodafone"), ("nobody",)]),
    sentiment=st.sampled_from([None, None, *MentionSentiment]),
    speaker=st.sampled_from([None, None, Speaker.AGENT, Speaker.CUSTOMER]),
    named=st.booleans(),
    states=st.sampled_from([None, None, (CallState.FAILED,), tuple(CallState), ()]),
    name=st.sampled_from(["", "", "ABBOT wav", "2026/05", "100%", "a_b"]),
)


@dataclass(frozen=True, slots=True)
class Readers:
    """Everything that reads the synthetic calls."""

    calls: CallReader
    analytics: Analytics
    api: ApiAnalytics
    search: SegmentSearch

    @classmethod
    def of(cls, database: Database) -> Self:
        return cls(
            CallReader(database),
            Analytics(database),
            ApiAnalytics(database),
            SegmentSearch(database),
        )


@dataclass(frozen=True)
class SyntheticCalls:
    """All calls and mentions, read without callpipeline."""

    calls: dict[str, dict[str, Any]]
    mentions: list[dict[str, Any]]

    def matching_calls(self, filters: CallFilters) -> set[str]:
        """Return the calls that match the filters."""
        named = {m["call_id"] for m in self.matching_mentions(filters)}
        calls = {i for i, call in self.calls.items() if _matches(call, filters)}
        return calls & named if filters.requires_mention else calls

    def matching_mentions(self, filters: CallFilters) -> list[dict[str, Any]]:
        """Return the counted mentions of listed calls that match the filters."""
        names = {name.lower() for name in filters.competitors}
        return [
            m
            for m in self.mentions
            if (not names or m["competitor"].lower() in names)
            and filters.sentiment in (None, m["stance"])
            and filters.speaker in (None, m["speaker"])
            and _matches(self.calls[m["call_id"]], filters)
            and self.calls[m["call_id"]]["state"] not in ("DUPLICATE", "ERASED")
        ]


def read_synthetic_calls(url: str) -> SyntheticCalls:
    with psycopg.connect(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        calls = cursor.execute(
            "SELECT call_id, state, key, bucket, coalesce(started_at, last_modified) AS at, "
            "metadata ->> 'agent' AS agent, created_at FROM callpipeline.calls"
        ).fetchall()
        mentions = cursor.execute(
            "SELECT m.*, coalesce(s.sentiment, 'unjudged') AS stance, s.score "
            "FROM callpipeline.mentions m LEFT JOIN callpipeline.sentiment s "
            "USING (call_id, mention_id) WHERE status = 'counted'"
        ).fetchall()
    return SyntheticCalls({call["call_id"]: call for call in calls}, mentions)


def _matches(call: dict[str, Any], filters: CallFilters) -> bool:
    day = call["at"].astimezone(UTC).date()
    states = LISTED_STATES if filters.states is None else filters.states
    return (
        call["state"] in states
        and (filters.from_day is None or day >= filters.from_day)
        and (filters.to_day is None or day <= filters.to_day)
        and (filters.agent is None or (call["agent"] or "").lower() == filters.agent.lower())
        and filters.source in (None, call["bucket"])
        and all(word.lower() in call["key"].lower() for word in filters.name.split())
    )
