"""Fill a database with synthetic calls, as many as an installation has after a year.

Run with `DATABASE_URL=… python -m benchmarks.synthetic_calls --calls 100000`, on a migrated
database without calls; 100,000 calls with 2 million segments take two to three minutes. Words
follow Zipf's law: the most common ones on the telephone, then those of a dictionary. The data is
deterministic.
"""

import argparse
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg import Connection

from benchmarks.synthetic_data import (
    CALL_COLUMNS,
    COMPETITORS,
    PHRASES,
    DatasetSize,
    Row,
    SyntheticCall,
    generate_calls,
    vocabulary,
    zipf,
)
from callpipeline.domain.calls.call import Stage
from callpipeline.storage.postgres.tables import columns

SIDES = (("left", "agent"), ("right", "customer"))
SENTIMENTS = ("positive", "neutral", "negative", "mixed")
SCORES = {"positive": 0.6, "neutral": 0.0, "negative": -0.6, "mixed": 0.0}
ENGINES = ("pyav", "silero", "faster-whisper base", None, "lexicon")
SWITCHING = {0: "leaving_to", 25: "considering"}
"""Switching intents by the number of the mention: one in 25 has one."""
CATALOG = "synthetic"


def fill(url: str, size: DatasetSize, *, now: datetime | None = None) -> None:
    """Insert the calls and all their results into a migrated database without calls."""
    rng = np.random.default_rng(size.seed)
    calls = list(generate_calls(size, rng, now or datetime.now(UTC)))
    done = [call for call in calls if call.segments]
    with psycopg.connect(url, options="-c search_path=callpipeline") as connection:
        connection.execute(
            "INSERT INTO catalog_versions (version, content) VALUES (%s, '{}')", [CATALOG]
        )
        _copy(connection, f"calls ({', '.join(CALL_COLUMNS)})", (c.row for c in calls))
        _copy_audio(connection, done, rng)
        _copy_segments(connection, done, rng, size)
        _copy_mentions(connection, done, rng, size)
        connection.commit()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _copy_audio(
    connection: Connection[Any], done: list[SyntheticCall], rng: np.random.Generator
) -> None:
    lengths = {call.call_id: call.segments * 7.5 for call in done}
    items = lengths.items()
    flags = ('[{"flag": "clipped", "detail": "3 % of the samples are clipped", "channel": "left"}]', "[]")  # noqa: E501  # fmt: skip
    _copy(connection, "recordings", (
        (each, "wav", "pcm_s16le", 8000, 2, length, length, 0, flags[n % 50 > 0])
        for n, (each, length) in enumerate(items)))  # fmt: skip
    _copy(connection, "channels", (
        (each, channel, speaker, f"calls/{each}/{channel}.flac", 8000, length, -23.0, 400_000,
         "ab" * 32, f"[[0.5, {length / 2:.1f}], [{length * 0.6:.1f}, {length * 0.9:.1f}]]")
        for each, length in items for channel, speaker in SIDES))  # fmt: skip
    _copy(connection, "call_metrics", (
        (each, length, length * 0.4, length * 0.35, 0, length * 0.25, 8, 2, "silero")
        for each, length in items))  # fmt: skip
    _copy(connection, "transcripts", (
        (each, channel, speaker, ENGINES[2], "en", int(length), 0.9, True,
         f"calls/{each}/transcript.{channel}.json")
        for each, length in items for channel, speaker in SIDES))  # fmt: skip
    took = rng.exponential(4.0, (len(done), len(Stage)))
    _copy(connection, "call_stages", (
        (call.call_id, stage, "synthetic-run", ENGINES[place],
         CATALOG if place > 2 else None, float(took[n][place]),
         call.created_at + timedelta(seconds=10 * (place + 1)))
        for n, call in enumerate(done) for place, stage in enumerate(Stage)))  # fmt: skip


COPY_SEGMENTS = (
    "COPY segments (call_id, channel, segment_index, speaker, start_s, end_s, text) FROM STDIN"
)


def _copy_segments(
    connection: Connection[Any],
    done: list[SyntheticCall],
    rng: np.random.Generator,
    size: DatasetSize,
) -> None:
    """Copy the segments. The word index is created at the end, which is five times as fast."""
    words = vocabulary()
    competitors = COMPETITORS[: size.competitors]
    many = len(done) > 10_000
    if many:
        connection.execute("DROP INDEX segments_by_words")
        connection.execute("SET session_replication_role = replica")  # foreign keys hold
    with connection.cursor() as cursor, cursor.copy(COPY_SEGMENTS) as copy:
        for piece in range(0, len(done), 2_000):
            calls = done[piece : piece + 2_000]
            texts = _texts(sum(c.segments for c in calls), words, competitors, rng)
            copy.write("".join(_segment_lines(calls, texts)).encode())
    if many:
        connection.execute("SET session_replication_role = origin")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("CREATE INDEX segments_by_words ON segments USING gin (lexemes)")


def _texts(
    count: int, words: list[str], competitors: tuple[str, ...], rng: np.random.Generator
) -> Iterator[str]:
    """Generate texts of 3 to 20 words; one in ten has a typical phrase or a competitor."""
    lengths = rng.integers(3, 21, count)
    ranks = iter(zipf(len(words), int(lengths.sum()), rng, steepness=1.1).tolist())
    extra = rng.random(count)
    phrases = zipf(len(PHRASES), count, rng)
    named = zipf(len(competitors), count, rng)
    for n, length in enumerate(lengths.tolist()):
        text = " ".join([words[rank] for rank in itertools.islice(ranks, length)])
        if extra[n] < 0.05:
            text = f"{text} {PHRASES[phrases[n]]}"
        elif extra[n] < 0.1:
            text = f"{text} with {competitors[named[n]].lower()}"
        yield text


def _segment_lines(calls: Iterable[SyntheticCall], texts: Iterator[str]) -> Iterator[str]:
    for call in calls:
        for n in range(call.segments):
            channel, speaker = SIDES[n % 2]
            at = n * 7.5
            yield (
                f"{call.call_id}\t{channel}\t{n // 2}\t{speaker}\t{at}\t{at + 6.5}\t{next(texts)}\n"
            )


def _copy_mentions(
    connection: Connection[Any],
    done: list[SyntheticCall],
    rng: np.random.Generator,
    size: DatasetSize,
) -> None:
    """Copy mentions: every second call has some, longer calls more."""
    weights = np.array([call.segments for call in done], dtype=float)
    weights *= rng.random(len(done)) < 0.5
    if not weights.sum():
        return
    rows = list(_mentions(done, weights / weights.sum(), rng, size))
    _copy(connection, "mentions", (row[:15] for row in rows))
    _copy(connection, "sentiment", (
        (row[0], row[1], row[2], row[15], SCORES[row[15]] + 0.01 * (n % 30), "praise: 'good'",
         f"about {row[4]}", "lexicon", None, SWITCHING.get(n % 50))
        for n, row in enumerate(rows) if row[15] and row[13] == "counted"))  # fmt: skip
    _copy(connection, "unjudged", (
        (*row[:3], "The judge did not respond.", "EngineUnavailable", True)
        for row in rows if not row[15] and row[13] == "counted"))  # fmt: skip


def _mentions(
    done: list[SyntheticCall], weights: np.ndarray, rng: np.random.Generator, size: DatasetSize
) -> Iterator[Row]:
    """Generate rows of `mentions` with their sentiment, which one in a hundred lacks."""
    names = COMPETITORS[: size.competitors]
    places = np.sort(rng.choice(len(done), size.mentions, p=weights))
    named = zipf(len(names), size.mentions, rng, steepness=0.8)
    status = rng.choice(
        ["counted", "needs_review", "dismissed"], size.mentions, p=[0.88, 0.08, 0.04]
    )
    sentiment = rng.choice([*SENTIMENTS, ""], size.mentions, p=[0.25, 0.44, 0.24, 0.06, 0.01])
    where = rng.random(size.mentions)
    for n, place in enumerate(places.tolist()):
        call, name = done[place], names[named[n]]
        segment = int(where[n] * call.segments)
        channel, speaker = SIDES[segment % 2]
        at = segment * 7.5 + 2
        yield (
            *(call.call_id, f"{channel}.{segment // 2}.{n}.{name}", name, name, name.lower()),
            *(channel, speaker, segment // 2, 5, 5 + len(name), at, at + 0.6, 0.9),
            *(str(status[n]), "unambiguous name", str(sentiment[n])),
        )


def _copy(connection: Connection[Any], table: str, rows: Iterable[Row]) -> None:
    """Copy rows into a table; without column names, they have its first columns."""
    rows = iter(rows)
    if (first := next(rows, None)) is None:
        return
    if "(" not in table:
        table = f"{table} ({', '.join(columns(connection, table)[: len(first)])})"
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
        for row in itertools.chain([first], rows):
            copy.write_row(row)


def dataset_size(calls: int) -> DatasetSize:
    """Return the size for this many calls: 20 segments and 2 mentions each on average."""
    return DatasetSize(calls, calls * 20, calls * 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    began = time.monotonic()
    fill(os.environ["DATABASE_URL"], dataset_size(options.calls))
    print(f"{options.calls:,} calls created in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
