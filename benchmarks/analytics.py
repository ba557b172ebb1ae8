"""Measure the ten queries of docs/analytics.md, searches and exports over many calls.

Uses 100,000 synthetic calls, 2 million segments and 200,000 mentions in a new Postgres. Run with
`python benchmarks/analytics.py`. It prints results and asserts nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import LiteralString

import psycopg

from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.postgres.sql import statements
from callpipeline.storage.reading.export import ExportFormat
from callpipeline.storage.reading.search import SearchRequest, SegmentSearch

QUESTIONS: dict[str, LiteralString] = {
    name: text for name, text in statements().items() if name.startswith("questions/")
}
TIMES = 3
NAMES = "ARRAY['Vodafone', 'Virgin Media', 'Sky', 'Three', 'EE', 'O2', 'BT', 'TalkTalk']"
RULES = "ARRAY['joining: ''switching to''', 'leaving: ''fed up with''', 'praise: ''good''', 'none']"

ROWS = (
    """
    INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, metadata,
                       state, completed_at)
    SELECT format('2026-01-01-%%s', lpad(to_hex(n), 12, '0')), 'b', n || '.wav', 'e', 1, now(),
           '2026-03-01'::timestamptz + n * interval '26 seconds',
           jsonb_build_object('agent', 'agent ' || n %% 50), 'COMPLETED', now()
    FROM generate_series(1, %(calls)s) AS n
    """,
    """
    INSERT INTO recordings SELECT call_id, 'wav', 'pcm', 8000, 2, 300, NULL, 0, '[]' FROM calls
    """,
    """
    INSERT INTO call_metrics
    SELECT call_id, 300, 100 + row_number() OVER () % 60, 120, 0, 60, 9, 1, 'synthetic' FROM calls
    """,
    """
    INSERT INTO transcripts
    SELECT call_id, c.channel, c.speaker, 'synthetic', 'en', 400, 0.9, true, 'k'
    FROM calls CROSS JOIN (VALUES ('left', 'agent'), ('right', 'customer')) AS c (channel, speaker)
    """,
    """
    INSERT INTO segments
    SELECT call_id, channel, n, speaker, n * 30, n * 30 + 9,
           CASE hashtext(call_id || channel || n) % 50 WHEN 0
                THEN 'so i want to cancel my contract today and go somewhere else with it'
                ELSE 'i have been thinking about it and that is really not what i was told' END
    FROM transcripts CROSS JOIN generate_series(0, 9) AS n
    """,
    f"""
    INSERT INTO mentions
    SELECT call_id, 'm' || n, name, name, name, channel, speaker, n, 5, 12, n * 30 + 1, n * 30 + 2,
           0.9, 'counted', 'unambiguous name'
    FROM (SELECT call_id, n, ({NAMES})[1 + abs(hashtext(n || call_id)) % 8] AS name,
                 CASE n % 2 WHEN 0 THEN 'right' ELSE 'left' END AS channel,
                 CASE n % 2 WHEN 0 THEN 'customer' ELSE 'agent' END AS speaker
          FROM calls CROSS JOIN generate_series(0, 3) AS n
          WHERE abs(hashtext(call_id)) % 2 = 0) AS named
    """,
    f"""
    INSERT INTO sentiment
    SELECT call_id, mention_id, competitor,
           (ARRAY['positive', 'neutral', 'negative'])[1 + h % 3], (h % 200 - 100) / 100.0,
           ({RULES})[1 + h % 4], 'a quote', 'synthetic'
    FROM (SELECT *, abs(hashtext(call_id || mention_id)) AS h FROM mentions) AS m
    """,
    "ANALYZE",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    with (
        # The server removes its own files while it stops.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)).running() as url,
    ):
        migrate(url)
        with psycopg.connect(url, options="-c search_path=callpipeline") as connection:
            _fill(connection, options.calls)
            for name, question in QUESTIONS.items():
                _ask(connection, name.removeprefix("questions/"), question)
        with Database(url) as database:
            _search(database)
        for format in ExportFormat:
            _export(url, format, Path(folder))


def _fill(connection: psycopg.Connection, calls: int) -> None:
    began = time.monotonic()
    for statement in ROWS:
        known = {"calls": calls} if "%(calls)s" in statement else None
        connection.execute(statement.encode(), known)
    connection.commit()
    counted = ", ".join(
        f"{_number(connection, table):,} {table}" for table in ("calls", "segments", "mentions")
    )
    print(f"{counted}, created in {time.monotonic() - began:.0f} s")


def _search(database: Database) -> None:
    for words in ('"cancel my contract"', "cancel -contract", "somewhere or nowhere"):
        took = [
            _timed(lambda w=words: SegmentSearch(database).best(SearchRequest(w)))
            for _ in range(TIMES)
        ]
        print(f"  search {words:24}{median(took):7.2f} s")


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _export(url: str, format: ExportFormat, folder: Path) -> None:
    """Export all segments with the command in a separate process, and print its memory."""
    file = folder / f"segments.{format}"
    command = ["export", "segments", "--format", format.value, "--output", str(file)]
    code = "from callpipeline.cli import app; app()"
    environment = os.environ | {"DATABASE_URL": url, "CALLPIPELINE_HOME": str(folder / "home")}
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code, *command], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    took_s = time.monotonic() - began
    print(
        f"  export as {format:8} {took_s:5.0f} s, {used.ru_maxrss / 1024:.0f} MB of memory, "
        f"a file of {file.stat().st_size / 1e6:.0f} MB, exit code {status}"
    )


def _number(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    return row[0] if row else 0


def _ask(connection: psycopg.Connection, name: str, question: LiteralString) -> None:
    took: list[float] = []
    rows = 0
    for _ in range(TIMES):
        began = time.monotonic()
        rows = len(connection.execute(question).fetchall())
        took.append(time.monotonic() - began)
    print(f"  {name:28}{median(took):7.2f} s, {rows:,} rows")


if __name__ == "__main__":
    main()
