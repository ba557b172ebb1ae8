"""A small made-up crowd of calls, and what Filters let through of it, found out call by call."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from hypothesis import strategies as st
from psycopg.rows import dict_row

from benchmarks.crowd_calls import Size
from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import SHOWN, Filters, Stance

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
SMALL = Size(calls=300, segments=4_000, mentions=500, agents=6, competitors=5, days=100)
FIRST, LAST = date(2026, 3, 20), date(2026, 7, 2)

FILTERS = st.builds(
    Filters,
    from_day=st.none() | st.dates(FIRST, LAST),
    to_day=st.none() | st.dates(FIRST, LAST),
    agent=st.sampled_from([None, None, None, "Ann Abbot", "bEN aBBOT", "", "nobody"]),
    source=st.sampled_from([None, None, None, "recordings", "archive"]),
    competitors=st.sampled_from([(), (), (), ("Sky",), ("ee", "Vodafone"), ("nobody",)]),
    sentiment=st.sampled_from([None, None, *Stance]),
    speaker=st.sampled_from([None, None, Speaker.AGENT, Speaker.CUSTOMER]),
    named=st.booleans(),
    states=st.sampled_from([None, None, (CallState.FAILED,), tuple(CallState), ()]),
    name=st.sampled_from(["", "", "ABBOT wav", "2026/05", "100%", "a_b"]),
)


@dataclass(frozen=True)
class Known:
    """All calls and mentions, read without callpipeline."""

    calls: dict[str, dict[str, Any]]
    mentions: list[dict[str, Any]]

    def behind(self, filters: Filters) -> set[str]:
        """The calls that the filters let through."""
        named = {m["call_id"] for m in self.named(filters)}
        calls = {i for i, call in self.calls.items() if _fits(call, filters)}
        return calls & named if filters.wants_mention else calls

    def named(self, filters: Filters) -> list[dict[str, Any]]:
        """The mentions that count, of calls that do, which the filters let through."""
        names = {name.lower() for name in filters.competitors}
        return [
            m
            for m in self.mentions
            if (not names or m["competitor"].lower() in names)
            and filters.sentiment in (None, m["stance"])
            and filters.speaker in (None, m["speaker"])
            and _fits(self.calls[m["call_id"]], filters)
            and self.calls[m["call_id"]]["state"] not in ("DUPLICATE", "ERASED")
        ]


def known(url: str) -> Known:
    with psycopg.connect(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        calls = cursor.execute(
            "SELECT call_id, state, key, bucket, coalesce(started_at, last_modified) AS at, "
            "metadata ->> 'agent' AS agent, created_at FROM callpipeline.calls"
        ).fetchall()
        mentions = cursor.execute(
            "SELECT m.*, coalesce(s.sentiment, 'unjudged') AS stance, s.score "
            "FROM callpipeline.mentions m LEFT JOIN callpipeline.sentiment s "
            "USING (call_id, mention_id) WHERE status = 'accepted'"
        ).fetchall()
    return Known({call["call_id"]: call for call in calls}, mentions)


def _fits(call: dict[str, Any], filters: Filters) -> bool:
    day = call["at"].astimezone(UTC).date()
    states = SHOWN if filters.states is None else filters.states
    return (
        call["state"] in states
        and (filters.from_day is None or day >= filters.from_day)
        and (filters.to_day is None or day <= filters.to_day)
        and (filters.agent is None or (call["agent"] or "").lower() == filters.agent.lower())
        and filters.source in (None, call["bucket"])
        and all(word.lower() in call["key"].lower() for word in filters.name.split())
    )
