"""What the daily marts ask of the database: the calls of a day, and the days that are stale."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from callpipeline.defs.resources import VIEWS
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.sql import SCHEMA, query
from callpipeline.storage.reading.analytics import DailyMarts
from tests.integration.databases import new_database

FIRST = date(2026, 3, 1)
CALLS = """
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, state,
                   updated_at)
SELECT format('2026-01-01-%s', lpad(to_hex(n), 12, '0')), 'b', n || '.wav', 'e', 1, '2026-06-01',
       '2026-03-01'::timestamptz + n * interval '20 minutes', 'COMPLETED',
       now() - n * interval '1 hour'
FROM generate_series(0, 4999) AS n;
INSERT INTO call_metrics SELECT call_id, 100, 30, 50, 0, 20, 1, 0, 'by hand' FROM calls;
INSERT INTO mentions SELECT call_id, 'm', 'EE', 'ee', 'ee', 'left', 'agent', 0, 0, 2, 1, 2, 0.9,
                            'counted', 'r' FROM calls;
INSERT INTO sentiment SELECT call_id, 'm', 'EE', 'neutral', 0, 'r', 'q', 'by hand' FROM calls;
ANALYZE
"""


@pytest.fixture(scope="module")
def filled_url(postgres: str, template: str) -> Iterator[str]:
    """5,000 calls over 70 days, the first of which changed last."""
    with new_database(postgres, template) as url:
        with psycopg.connect(url, options=f"-c search_path={SCHEMA}") as connection:
            connection.execute(CALLS)
        yield url


def plan(url: str, statement: str, wanted: object) -> str:
    with psycopg.connect(url, options=f"-c search_path={SCHEMA}") as connection:
        rows = connection.execute(f"EXPLAIN {statement}".encode(), wanted).fetchall()  # pyright: ignore
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("view", sorted(VIEWS.values()))
def test_the_calls_of_a_day_are_read_by_an_index(filled_url: str, view: str) -> None:
    found = plan(filled_url, f"SELECT * FROM {view} WHERE day = ANY(%s)", [["2026-03-15"]])
    assert "calls_by_day" in found


def test_stale_days_are_computed_from_recent_changes(filled_url: str) -> None:
    statement = query("reading/stale_days")
    since = datetime.now(UTC) - timedelta(minutes=10)
    assert "calls_by_state" in plan(filled_url, statement, {"first": FIRST, "since": since})


def test_stale_days_are_limited_by_the_first_day_and_the_last_check(filled_url: str) -> None:
    with Database(filled_url) as database:
        marts = DailyMarts(database)
        everything, now = marts.stale_days(FIRST)
        assert [each.day for each in everything] == [FIRST + timedelta(days=n) for n in range(70)]
        newest = everything[0]
        assert timedelta(hours=71) <= now - newest.first_changed_at < timedelta(hours=71.1)
        assert now - newest.last_changed_at < timedelta(minutes=6)
        [same], _ = marts.stale_days(FIRST, now - timedelta(hours=70))
        assert same.day == FIRST
        assert len(marts.stale_days(FIRST + timedelta(days=60))[0]) == 10


def test_the_stage_durations_of_a_day(filled_url: str) -> None:
    with Database(filled_url) as database:
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO call_stages (call_id, stage, run_id, took_s) "
                "SELECT call_id, 'transcripts', 'r', 2.5 FROM calls LIMIT 100"
            )
        work = DailyMarts(database).stage_durations([FIRST])
    assert len(work) == 72
    assert work[0] == {"day": FIRST, "stage": "transcripts", "took_s": 2.5}
