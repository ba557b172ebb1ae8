"""Calls with results inserted as rows, for tests of totals."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.storage.postgres.database import Database

COMPETITORS = ("Vodafone", "Virgin Media", "Three")
SENTIMENTS = ("positive", "neutral", "negative", "mixed", None)


@dataclass(frozen=True, slots=True)
class SampleMention:
    """A mention of a competitor and its sentiment."""

    competitor: str
    speaker: str = "customer"
    status: str = "counted"
    sentiment: str | None = "neutral"
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class SampleCall:
    """A call with all results; `changed_s` is the age of its last change."""

    number: int
    at: datetime
    state: str = "COMPLETED"
    agent: str | None = "ann"
    mentions: Sequence[SampleMention] = ()
    took_s: float = 1.0
    error_class: str = "UnsupportedAudio"
    changed_s: float = 3600.0

    @property
    def call_id(self) -> str:
        return f"2026-01-01-{self.number:012x}"


def insert_calls(database: Database, calls: Sequence[SampleCall]) -> None:
    """Insert calls with recordings of 100 s: 30 of the agent, 50 of the customer."""
    with database.transaction() as connection:
        for call in calls:
            _insert_call(connection, call)
            for number, mention in enumerate(call.mentions):
                _insert_mention(connection, call, number, mention)


def _insert_call(connection: Connection[DictRow], call: SampleCall) -> None:
    failed = call.state == "FAILED"
    claimed_by = "a run" if call.state == "PROCESSING" else None
    connection.execute(
        "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, "
        "metadata, state, claimed_by, error_message, error_class, updated_at) VALUES (%s, 'b', %s, "
        "'e', 1, '2026-06-01', %s, jsonb_strip_nulls(jsonb_build_object('agent', %s::text)), %s, "
        "%s, %s, %s, now() - %s * interval '1 second')",
        [
            *(call.call_id, f"{call.number}.wav", call.at, call.agent, call.state, claimed_by),
            *(("broken", call.error_class) if failed else (None, None)),
            call.changed_s,
        ],
    )
    if failed:
        return
    connection.execute(
        "INSERT INTO recordings VALUES (%s, 'wav', 'pcm', 8000, 2, 100, NULL, 0, '[]')",
        [call.call_id],
    )
    connection.execute(
        "INSERT INTO call_metrics VALUES (%s, 100, 30, 50, 0, 20, 1, 0, 'manual')", [call.call_id]
    )
    for stage in ("channel_audio", "transcripts", "competitor_sentiment"):
        connection.execute(
            "INSERT INTO call_stages (call_id, stage, run_id, took_s) VALUES (%s, %s, 'r', %s)",
            [call.call_id, stage, call.took_s],
        )


def _insert_mention(
    connection: Connection[DictRow], call: SampleCall, number: int, mention: SampleMention
) -> None:
    who = (call.call_id, f"m{number}", mention.competitor)
    connection.execute(
        "INSERT INTO mentions VALUES (%s, %s, %s, 'alias', 'said', 'right', %s, 0, 0, 4, 1, 2, "
        "0.9, %s, 'reason')",
        [*who, mention.speaker, mention.status],
    )
    if mention.sentiment:
        connection.execute(
            "INSERT INTO sentiment VALUES (%s, %s, %s, %s, %s, 'rule', 'quote', 'manual')",
            [*who, mention.sentiment, mention.score],
        )


def random_calls(count: int, first: date, days: int, *, seed: int = 1) -> list[SampleCall]:
    """Return calls in every state over some days, with mentions of every kind."""
    chance = random.Random(seed)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)

    def mention() -> SampleMention:
        status = chance.choice(("counted", "counted", "counted", "needs_review", "dismissed"))
        sentiment = chance.choice(SENTIMENTS) if status == "counted" else None
        speaker = chance.choice(("agent", "customer", "unknown"))
        score = round(chance.uniform(-1, 1), 2)
        return SampleMention(chance.choice(COMPETITORS), speaker, status, sentiment, score)

    return [
        SampleCall(
            number,
            midnight + timedelta(seconds=chance.randrange(days * 86400)),
            chance.choice(("COMPLETED",) * 5 + ("FAILED", "PROCESSING", "DUPLICATE", "ERASED")),
            chance.choice(("ann", "bob", None)),
            tuple(mention() for _ in range(chance.randrange(4))),
            chance.uniform(0.1, 9),
        )
        for number in range(count)
    ]
