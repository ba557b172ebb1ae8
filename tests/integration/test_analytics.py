"""Schema `analytics`: documented, on the call's own time, closed to others, and right on data whose
answers are known."""

import importlib.util
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from callpipeline.config import CHECKOUT
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.competitors.find_mentions import OWN_REASON
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.reading.analytics import Analytics
from tests.integration.databases import execute_sql, new_database

_spec = importlib.util.spec_from_file_location("docs", CHECKOUT / "docs" / "make_analytics.py")
assert _spec and _spec.loader
make_analytics = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_analytics)
QUESTIONS: dict[str, LiteralString] = make_analytics.QUESTIONS
PAGE: Path = make_analytics.PAGE

# Call, time, agent, length, talk time of agent and customer (seconds), state.
CALLS = [
    (1, "2026-03-02T09:00:00Z", "ann", 100, 30, 50, "COMPLETED"),
    (2, "2026-03-03T23:30:00-02:00", "ann", 200, 60, 100, "COMPLETED"),  # the 4th, by UTC
    (3, "2026-03-10T10:00:00Z", "bob", 300, 100, 100, "COMPLETED"),
    (4, "2026-03-11T10:00:00Z", "bob", 60, 20, 30, "COMPLETED"),
    (5, "2026-03-12T10:00:00Z", None, 50, 10, 20, "COMPLETED"),
    (6, "2026-04-01T10:00:00Z", "ann", 80, 20, 20, "COMPLETED"),
    (7, "2026-03-05T10:00:00Z", "ann", 90, 20, 20, "ERASED"),
    (8, "2026-03-05T11:00:00Z", "bob", 90, 20, 20, "DUPLICATE"),
    (9, "2026-03-06T11:00:00Z", "bob", 90, 20, 20, "FAILED"),
]
# Call, competitor, speaker, start, status, sentiment, score, rule.
MENTIONS = [
    (1, "Vodafone", "customer", 10, "counted", "positive", 0.5, "joining: 'switching to'"),
    (1, "Vodafone", "agent", 20, "counted", "neutral", 0.0, "no word of tone"),
    (1, "Sky", "agent", 5, "dismissed", None, None, None),
    (2, "Vodafone", "customer", 70, "counted", "negative", -0.5, "leaving: 'fed up with'"),
    (2, "Virgin Media", "customer", 80, "counted", "negative", -0.7, "comparison: 'worse than'"),
    (3, "Vodafone", "agent", 15, "counted", "positive", 0.3, "praise: 'good'"),
    (3, "Virgin Media", "customer", 200, "counted", "negative", -0.5, "leaving: 'away from'"),
    (3, "Virgin Media", "agent", 210, "counted", "negative", -0.5, "blame: 'slow'"),
    (4, "Three", "customer", 30, "needs_review", None, None, None),
    (6, "Vodafone", "customer", 3, "counted", "negative", -0.3, "leaving: 'not joining'"),
    (7, "Vodafone", "customer", 3, "counted", "positive", 0.9, "joining: 'erased'"),
]

SWITCHING = {"joining": "leaving_to", "leaving": "coming_from"}
"""Intent of the mentions, by the rule of their sentiment."""


def call_id(number: int) -> str:
    return f"2026-01-01-{number:012x}"


@pytest.fixture(scope="module")
def filled_url(shared_url: str) -> Iterator[str]:
    """A database with CALLS and MENTIONS only."""
    execute_sql(shared_url, "DELETE FROM calls")
    with psycopg.connect(shared_url, options="-c search_path=callpipeline") as connection:
        for number, at, agent, length, by_agent, by_customer, state in CALLS:
            _insert_call(connection, number, at, agent, state)
            if state != "FAILED":
                _insert_audio(connection, number, length, by_agent, by_customer)
        for place, mention in enumerate(MENTIONS):
            _insert_mention(connection, place, *mention)
    yield shared_url
    execute_sql(shared_url, "DELETE FROM calls")


def _insert_call(
    connection: psycopg.Connection, number: int, at: str, agent: str | None, state: str
) -> None:
    connection.execute(
        "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, "
        "metadata, state, error_message, error_class) VALUES (%s, 'b', %s, 'e', 1, "
        "'2026-05-01', %s, jsonb_strip_nulls(jsonb_build_object('agent', %s::text)), %s, %s, %s)",
        [call_id(number), f"{number}.wav", at, agent, state]
        + (["broken", "UnsupportedAudio"] if state == "FAILED" else [None, None]),
    )


def _insert_audio(
    connection: psycopg.Connection, number: int, length: int, by_agent: int, by_customer: int
) -> None:
    connection.execute(
        "INSERT INTO recordings VALUES (%s, 'wav', 'pcm', 8000, 2, %s, NULL, 0, '[]')",
        [call_id(number), length],
    )
    connection.execute(
        "INSERT INTO call_metrics VALUES (%s, %s, %s, %s, 0, %s, 1, 0, 'by hand')",
        [call_id(number), length, by_agent, by_customer, length - by_agent - by_customer],
    )
    for channel, speaker in (("left", "agent"), ("right", "customer")):
        connection.execute(
            "INSERT INTO channels VALUES (%s, %s, %s, 'k', 8000, %s, -20, 1, 'x', "
            "'[[1, 3], [5, 6.5]]')",
            [call_id(number), channel, speaker, length],
        )
        connection.execute(
            "INSERT INTO transcripts VALUES (%s, %s, %s, 'by hand', 'en', 9, 0.9, true, 'k')",
            [call_id(number), channel, speaker],
        )


def _insert_mention(connection: psycopg.Connection, place: int, *mention: Any) -> None:
    number, competitor, speaker, start_s, status, sentiment, score, rule = mention
    channel, said = ("left" if speaker == "agent" else "right"), competitor.lower()
    connection.execute(
        "INSERT INTO segments VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [call_id(number), channel, place, speaker, start_s, start_s + 2, f"it is {said}"],
    )
    where = (channel, speaker, place)
    connection.execute(
        "INSERT INTO mentions VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 6, 12, %s, %s, 0.9, %s, 'r')",
        [
            *(call_id(number), f"m{place}", competitor, competitor, said),
            *(*where, start_s, start_s + 1, status),
        ],
    )
    if sentiment:
        connection.execute(
            "INSERT INTO sentiment VALUES (%s, %s, %s, %s, %s, %s, %s, 'by hand', 0.9, %s, %s)",
            [
                *(call_id(number), f"m{place}", competitor, sentiment, score, rule),
                *(f"about {said}", SWITCHING.get(rule.partition(":")[0]), f"about {said}"),
            ],
        )


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


# Documentation


def test_every_view_and_column_is_documented_in_the_database(filled_url: str) -> None:
    undocumented = rows(
        filled_url,
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "AND a.attnum > 0 WHERE c.relnamespace = 'analytics'::regnamespace "
        "AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
    )
    assert undocumented == []


def test_the_page_matches_the_database(filled_url: str) -> None:
    assert PAGE.read_text() == make_analytics.page(filled_url), "run `make docs`"


def test_comments_are_sentences(filled_url: str) -> None:
    told: list[str] = []
    for line in PAGE.read_text().splitlines():
        if found := re.match(r"\| `\w+` \| [\w ]+ \| (.+) \|$", line):
            told.append(found[1])
    assert len(told) > 90
    assert [text for text in told if not text.endswith(".")] == []


# Views


def test_the_day_is_that_of_the_call_in_utc(filled_url: str) -> None:
    days = dict(rows(filled_url, "SELECT call_id, day FROM analytics.calls"))
    assert days[call_id(2)] == date(2026, 3, 4)
    assert date(2026, 5, 1) not in days.values()


def test_erased_calls_and_duplicates_are_excluded(filled_url: str) -> None:
    for view in ("calls", "channels", "segments", "mentions", "sentiment", "call_metrics"):
        ids = {row[0] for row in rows(filled_url, f"SELECT call_id FROM analytics.{view}")}
        assert ids
        assert not ids & {call_id(7), call_id(8)}, view


def test_talk_times(filled_url: str) -> None:
    found = rows(filled_url, "SELECT DISTINCT speech_s FROM analytics.channels")
    assert found == [(3.5,)]


def test_the_counts_of_a_competitor_on_a_day(filled_url: str) -> None:
    found = rows(
        filled_url,
        "SELECT calls, mentions, by_customer, by_agent, positive, neutral, negative, mean_score, "
        "customer_score, agent_score FROM analytics.competitor_daily WHERE day = '2026-03-02'",
    )
    assert found == [(1, 2, 1, 1, 1, 1, 0, 0.25, 0.5, 0.0)]


def test_shares_of_a_day_add_up_to_one(filled_url: str) -> None:
    found = rows(
        filled_url,
        "SELECT day, sum(share_of_mentions), max(share_of_calls) FROM analytics.share_of_voice "
        "GROUP BY day ORDER BY day",
    )
    assert [(share, calls) for _, share, calls in found] == [(1.0, 1.0)] * 4


# Example queries

V, M = "Vodafone", "Virgin Media"
ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "questions/most_named": [(V, 4, 3, Decimal("60.0")), (M, 3, 2, Decimal("40.0"))],
    "questions/who_brings_them_up": [
        (M, "customer", 2, Decimal("140.0")),
        (V, "agent", 1, Decimal("15.0")),
        (V, "customer", 2, Decimal("40.0")),
    ],
    "questions/sentiment_by_week": [
        (date(2026, 3, 2), 3, 1, 1, Decimal("0.00"), None),
        (date(2026, 3, 9), 1, 1, 0, None, None),  # only an agent's
        (date(2026, 3, 30), 1, 0, 1, Decimal("-0.30"), Decimal("-0.30")),
    ],
    "questions/going_to_a_competitor": [(call_id(1), V, 10.0, "about vodafone")],
    "questions/coming_from": [(V, 2), (M, 1)],
    "questions/agents_who_name_them": [("bob", 2, 1, 2), ("ann", 1, 4, 2)],
    "questions/share_of_voice": [
        (date(2026, 3, 2), V, 3, Decimal("75.0")),
        (date(2026, 3, 2), M, 1, Decimal("25.0")),
        (date(2026, 3, 9), M, 2, Decimal("66.7")),
        (date(2026, 3, 9), V, 1, Decimal("33.3")),
        (date(2026, 3, 30), V, 1, Decimal("100.0")),
    ],
    "questions/named_early": [(call_id(1), V, Decimal("10.0"), "vodafone")],
    "questions/longer_calls": [
        (False, 2, Decimal("55.0"), Decimal("0.37")),
        (True, 4, Decimal("170.0"), Decimal("0.44")),
    ],
    "questions/what_is_said_badly": [
        (call_id(3), 200.0, -0.5, "about virgin media", "it is virgin media"),
        (call_id(2), 80.0, -0.7, "about virgin media", "it is virgin media"),
    ],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_example_query(question: str, filled_url: str) -> None:
    assert rows(filled_url, QUESTIONS[question]) == ANSWERS[question]


def test_there_are_ten_example_queries() -> None:
    assert list(QUESTIONS) == list(ANSWERS)
    assert len(QUESTIONS) == 10


# Roles


def test_analysts_can_read_the_views_and_nothing_else(filled_url: str) -> None:
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("SET ROLE callpipeline_analyst")
        for question in QUESTIONS.values():
            assert connection.execute(question).fetchall()
        views = connection.execute(
            "SELECT format('analytics.%I', relname) FROM pg_class "
            "WHERE relnamespace = 'analytics'::regnamespace AND relkind = 'v'"
        ).fetchall()
        assert len(views) == 17
        for (view,) in views:
            connection.execute(f"SELECT * FROM {view} LIMIT 1".encode())
        for refused in (
            "SELECT * FROM callpipeline.calls",
            "SELECT * FROM callpipeline.outbox",
            "UPDATE analytics.segments SET text = ''",
            "DELETE FROM analytics.calls",
            "CREATE TABLE analytics.mine (x int)",
        ):
            with pytest.raises(psycopg.errors.Error):
                connection.execute(refused.encode())


def test_a_user_who_cannot_create_roles_can_migrate(postgres: str) -> None:
    with new_database(postgres) as url:
        execute_sql(url, "DROP ROLE IF EXISTS humble")
        execute_sql(url, "CREATE ROLE humble LOGIN PASSWORD 'humble-password'")
        name = url.rsplit("/", 1)[1]
        execute_sql(url, f'GRANT CREATE ON DATABASE "{name}" TO humble')
        host = url.rsplit("@", 1)[1]
        humble = f"postgresql://humble:humble-password@{host}"
        assert migrate(humble)
        assert rows(humble, "SELECT count(*) FROM analytics.calls") == [(0,)]
        execute_sql(url, "DROP OWNED BY humble CASCADE")
    execute_sql(postgres, "DROP ROLE humble")


def test_competitors_beside_the_own_brand_are_listed(filled_url: str) -> None:
    """Only in the utterance that names both, and only what counts."""
    with psycopg.connect(filled_url, options="-c search_path=callpipeline") as connection:
        for place, text in ((0, "Acme"), (2, "Acme")):
            connection.execute(
                "INSERT INTO mentions (call_id, mention_id, competitor, alias, text, channel, "
                "speaker, segment_index, char_start, char_end, start_s, end_s, status, reason) "
                "SELECT call_id, 'own' || segment_index, %s, %s, 'acme', channel, speaker, "
                "segment_index, 0, 4, start_s, end_s, 'dismissed', %s FROM mentions "
                "WHERE mention_id = %s",
                [text, text, OWN_REASON, f"m{place}"],
            )
    found = rows(
        filled_url,
        "SELECT call_id, competitor, own_name, speaker, sentiment, said "
        "FROM analytics.own_brand_comparisons",
    )
    assert found == [(call_id(1), "Vodafone", "Acme", "customer", "positive", "it is vodafone")]
    execute_sql(filled_url, "DELETE FROM callpipeline.mentions WHERE mention_id LIKE 'own%'")


def test_calls_that_wait_change_no_rate(filled_url: str) -> None:
    """A backlog is in no denominator; the mentions of a call in progress are in no rate."""
    with Database(filled_url) as database:
        before = Analytics(database).rates(CallFilters())
        execute_sql(
            filled_url,
            "INSERT INTO callpipeline.calls (call_id, bucket, key, etag, size_bytes, "
            "last_modified, state) SELECT '2026-01-02-' || lpad(n::text, 12, '0'), 'b', "
            "'waits' || n, 'e', 1, '2026-03-02', 'PENDING' FROM generate_series(1, 200) AS n",
        )
        try:
            assert Analytics(database).rates(CallFilters()) == before
        finally:
            execute_sql(filled_url, "DELETE FROM callpipeline.calls WHERE key LIKE 'waits%'")
    vodafone = before.of("Vodafone")
    assert before.completed == 6 and before.with_mention == 4
    assert (vodafone.all.events, vodafone.all.calls, vodafone.all.of) == (5, 4, 6)
    assert (vodafone.by_customer.events, vodafone.by_agent.events) == (3, 2)
    assert before.of("Nobody") == before.of("Missing")
