"""Measure each check of the last day's calls among many other calls.

The ledger, in a new Postgres, has 100,000 synthetic calls, 10,000 of them of the last day, with 30
intervals of speech per channel. Run with `python benchmarks/checks.py`; `--explain` prints query
plans. It asserts nothing.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psycopg

from callpipeline.pipeline.quality.checks import CHECKS, CallCheck, CheckRunner
from callpipeline.storage.notifications import Outbox
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.postgres.sql import query

TIMES = 3
NAMES = "ARRAY(SELECT 'Competitor ' || n FROM generate_series(0, 199) AS n)"
ROWS = (
    """
    INSERT INTO catalog_versions
    SELECT 'v' || v, jsonb_build_object('competitors', (
               SELECT jsonb_agg(jsonb_build_object('name', 'Competitor ' || n, 'aliases', '[]'))
               FROM generate_series(0, 199 + v) AS n)), now() - (60 - v) * interval '1 day'
    FROM generate_series(0, 19) AS v
    """,
    # Ten days of calls, 2 % of them failed.
    """
    INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, state, error_message,
                       error_class, error_stage, created_at, updated_at, completed_at)
    SELECT format('2026-01-01-%%s', lpad(to_hex(n), 12, '0')), 'b', n || '.wav', 'e', 1, now(),
           CASE WHEN n %% 50 = 0 THEN 'FAILED' ELSE 'COMPLETED' END,
           CASE WHEN n %% 50 = 0 THEN 'x' END, CASE WHEN n %% 50 = 0 THEN 'UnsupportedAudio' END,
           CASE WHEN n %% 50 = 0 THEN 'channel_audio' END, at, at, at
    FROM (SELECT n, now() - n * interval '10 days' / %(calls)s AS at
          FROM generate_series(1, %(calls)s) AS n) AS made
    """,
    """
    INSERT INTO call_stages
    SELECT call_id, stage, 'r', 'synthetic', 'v19', 1, completed_at
    FROM calls, unnest(ARRAY['channel_audio', 'call_metrics', 'transcripts', 'competitor_mentions',
                             'competitor_sentiment']) AS stage
    WHERE state = 'COMPLETED'
    """,
    """
    INSERT INTO recordings
    SELECT call_id, 'wav', 'pcm', 8000, 2, 300, NULL, 0,
           CASE WHEN abs(hashtext(call_id)) % 20 = 0
                THEN '[{"flag": "clipped", "detail": "x", "channel": "left"}]'::jsonb
                ELSE '[]' END
    FROM calls WHERE state = 'COMPLETED'
    """,
    """
    INSERT INTO channels
    SELECT call_id, channel, speaker, 'k', 8000, 300, -20, 1, 's', speech
    FROM calls CROSS JOIN (VALUES ('left', 'agent'), ('right', 'customer')) AS c (channel, speaker),
         (SELECT jsonb_agg(jsonb_build_array(n * 10, n * 10 + 4.5)) AS speech
          FROM generate_series(0, 29) AS n) AS s
    WHERE state = 'COMPLETED'
    """,
    """
    INSERT INTO transcripts
    SELECT call_id, channel, speaker, 'synthetic', 'en',
           CASE abs(hashtext(call_id)) % 100 WHEN 0 THEN 0 WHEN 1 THEN 30 ELSE 350 END,
           0.8, abs(hashtext(call_id)) % 30 <> 0, 'k'
    FROM channels
    """,
    f"""
    INSERT INTO mentions
    SELECT call_id, 'm' || n, name, name, name, 'left', 'agent', n, 5, 12, 1, 2, 0.9, 'counted', ''
    FROM (SELECT call_id, n, ({NAMES})[1 + abs(hashtext(n || call_id)) % 190] AS name
          FROM calls CROSS JOIN generate_series(0, 1) AS n WHERE state = 'COMPLETED') AS named
    """,
    "ANALYZE",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args()
    with (
        # The server removes its own files while it stops.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)).running() as url,
    ):
        migrate(url)
        with psycopg.connect(url, options="-c search_path=callpipeline") as connection:
            for statement in ROWS:
                known = {"calls": options.calls} if "%(calls)s" in statement else None
                connection.execute(statement.encode(), known)
        with Database(url) as database:
            runner = CheckRunner(database, Outbox(database), 24.0)
            for check in CHECKS:
                _run_check(runner, check)
                if options.explain:
                    _explain(database, check)


def _run_check(runner: CheckRunner, check: CallCheck) -> None:
    took: list[float] = []
    description = ""
    for _ in range(TIMES):
        began = time.monotonic()
        description = runner.evaluate(check, datetime.now(UTC)).description
        took.append(time.monotonic() - began)
    print(f"  {check.name:40}{median(took):6.3f} s  {description[:90]}")


def _explain(database: Database, check: CallCheck) -> None:
    with database.transaction() as connection:
        plan = b"EXPLAIN ANALYZE " + query(check.query).encode()
        for row in connection.execute(plan, check.query_parameters(datetime.now(UTC))).fetchall():
            print("     ", row["QUERY PLAN"])


if __name__ == "__main__":
    main()
