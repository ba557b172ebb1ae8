"""Measure rematches of 10,000 finished calls, and what live calls wait meanwhile.

Run with `python -m benchmarks.rematch`. A new Postgres gets calls with stored transcripts of two
channels and 360 words; one in five names a competitor of the first list, one in twenty one that is
added later. Measured are, as the command line runs them: new rules (every call is computed), a
competitor added, and its undo. Each time is that of the command, with the start of its process and
of the Dagster run. It asserts that nothing was transcribed.

Then `callpipeline up` runs: recordings with transcripts are dropped one by one, first alone, then
while all calls are rematched under new rules. Each time is from the drop to the results.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from benchmarks.synthetic_data import vocabulary, zipf
from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.storage.objects import keys
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.results import serialization
from callpipeline.wiring import load_catalog, open_storage
from tests.e2e.installation import Up, recording, start_up
from tests.processes import until

SEGMENTS = 15
WORDS = 12
FIRST = "competitors: [Vodafone, TalkTalk, Lebara]\n"
SECOND = "competitors: [Vodafone, TalkTalk, Lebara, Zentel]\n"
SIDES = ((Channel.LEFT, Speaker.AGENT), (Channel.RIGHT, Speaker.CUSTOMER))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=15, help="calls dropped alone, and during it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "data"
        home.mkdir()
        with EmbeddedPostgres(home / "postgres").running() as url:
            _measure_commands(home, url, options.calls)
        if options.live:
            _measure_live_calls(home, options.live)


def _measure_commands(home: Path, url: str, calls: int) -> None:
    (home / "competitors.yaml").write_text(FIRST)
    migrate(url)
    began = time.monotonic()
    _fill(url, home, calls)
    print(f"{calls:,} calls created in {time.monotonic() - began:.0f} s", flush=True)
    environment = os.environ | {"CALLPIPELINE_HOME": str(home), "DATABASE_URL": url}
    (home / "second.yaml").write_text(SECOND)
    (home / "first.yaml").write_text(FIRST)
    for name, words in (
        ("new rules, all calls", ("resume",)),
        ("preview of an added name", ("preview", str(home / "second.yaml"))),
        ("a competitor added", ("apply", str(home / "second.yaml"))),
        ("undone", ("apply", str(home / "first.yaml"))),
    ):
        _measure(name, words, environment, url)


def _measure_live_calls(home: Path, count: int) -> None:
    up = start_up(home)
    try:
        with EmbeddedPostgres(home / "postgres").running() as url:
            _drop(up, url, "warm-up")
            alone = [_drop(up, url, f"alone-{number}") for number in range(count)]
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "UPDATE callpipeline.call_stages SET rule_version = 0 "
                    "WHERE stage = 'competitor_mentions'"
                )
            until(lambda: _waiting_calls(url) is not None, "a rematch", 120, every_s=0.2)
            during: list[float] = []
            began, first = time.monotonic(), _waiting_calls(url) or 0
            while len(during) < count and _waiting_calls(url):
                during.append(_drop(up, url, f"during-{len(during)}"))
            rematched = first - (_waiting_calls(url) or 0)
            took_s = time.monotonic() - began
    finally:
        up.stop()
    print(f"{rematched:,} calls rematched beside them, {rematched / took_s:.0f} a second")
    print(f"{'drop to results, s':30}{'p50':>8}{'p95':>8}")
    for name, times in (("alone", alone), ("during a rematch", during)):
        slowest = statistics.quantiles(times, n=20)[-1]
        print(f"  {name:28}{statistics.median(times):8.2f}{slowest:8.2f}", flush=True)
    print(f"ratio of the medians: {statistics.median(during) / statistics.median(alone):.2f}")


def _drop(up: Up, url: str, name: str) -> float:
    """Drop a recording; return the seconds until its results are there."""
    began = time.monotonic()
    recording(up.home / "recordings", name, "I am leaving you for Vodafone")
    query = "SELECT 1 FROM callpipeline.calls WHERE key = %s AND state = 'COMPLETED'"

    def is_complete() -> bool:
        with psycopg.connect(url) as connection:
            return connection.execute(query, [f"{name}.wav"]).fetchone() is not None

    until(is_complete, f"results of {name}", 180, every_s=0.1)
    return time.monotonic() - began


def _waiting_calls(url: str) -> int | None:
    """Return how many calls the open rematch has left; None if none is open."""
    with psycopg.connect(url, options="-c search_path=callpipeline") as connection:
        row = connection.execute(
            "SELECT count(c.call_id) FROM rematches r LEFT JOIN rematch_calls c USING (rematch_id) "
            "WHERE r.ended_at IS NULL GROUP BY r.rematch_id"
        ).fetchone()
    return row[0] if row else None


def _measure(name: str, words: tuple[str, ...], environment: dict[str, str], url: str) -> None:
    began = time.monotonic()
    program = str(Path(sys.executable).with_name("callpipeline"))
    command = [program, "catalog", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took_s = time.monotonic() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    with psycopg.connect(url, options="-c search_path=callpipeline") as connection:
        transcribed = connection.execute(
            "SELECT count(*) FROM call_stages WHERE stage = 'transcripts' AND run_id <> 'first'"
        ).fetchone()
    assert transcribed == (0,)
    print(f"  {name:30}{took_s:7.1f} s  {' '.join(done.stdout.split())[-150:]}", flush=True)


def _fill(url: str, home: Path, count: int) -> None:
    settings = Settings(home=home, database_url=SecretStr(url), _env_file=None)  # pyright: ignore[reportCallIssue]
    with open_storage(settings, url) as storage:
        catalog = load_catalog(settings, storage.catalogs)
        for start in range(0, count, 500):
            numbers = range(start, min(start + 500, count))
            calls = {f"2026-01-01-{n:012x}": list(_transcripts(n)) for n in numbers}
            for call_id, transcripts in calls.items():
                for each in transcripts:
                    key = keys.transcript(call_id, each.channel)
                    storage.store.put(key, serialization.transcript_to_json(each))
            with storage.database.transaction() as connection:
                _insert(connection, calls, catalog.version)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _insert(
    connection: Connection[DictRow], calls: dict[str, list[Transcript]], version: str
) -> None:
    stored = {"state": "COMPLETED", "completed_at": NOW, "created_at": NOW, "last_modified": NOW}
    tables.insert(
        connection,
        "calls",
        [
            {"call_id": c, "bucket": "b", "key": f"{c}.wav", "etag": "e", "size_bytes": 1} | stored
            for c in calls
        ],
    )
    everything = [(c, each) for c, transcripts in calls.items() for each in transcripts]
    heads = [serialization.transcript_row(c, each) for c, each in everything]
    tables.insert(connection, "transcripts", heads)
    segments = [serialization.segment_row(c, s) for c, each in everything for s in each.segments]
    tables.insert(connection, "segments", segments)
    tables.insert(
        connection,
        "call_stages",
        [
            {
                "call_id": call_id,
                "stage": stage,
                "run_id": "first",
                "catalog_version": version if place > 2 else None,
                "rule_version": 0 if stage is Stage.COMPETITOR_MENTIONS else None,
                "took_s": 1.0,
                "stored_at": NOW + timedelta(minutes=1),
            }
            for call_id in calls
            for place, stage in enumerate(Stage)
        ],
    )


@cache
def _spoken_words() -> list[str]:
    """Return a million words by Zipf's law."""
    words = vocabulary()
    ranks = zipf(len(words), 1_000_000, np.random.default_rng(0), steepness=1.1)
    return [words[rank] for rank in ranks.tolist()]


def _transcripts(number: int) -> Iterator[Transcript]:
    spoken_words = _spoken_words()
    start = number * 2 * SEGMENTS * WORDS % (len(spoken_words) - 2 * SEGMENTS * WORDS)
    said_words = iter(spoken_words[start : start + 2 * SEGMENTS * WORDS])
    named = {0: "Vodafone"} if number % 5 == 0 else {}
    named |= {3: "Zentel"} if number % 20 == 0 else {}
    for side, (channel, speaker) in enumerate(SIDES):
        segments: list[Segment] = []
        for index in range(SEGMENTS):
            said = list(itertools.islice(said_words, WORDS))
            if side and index in named:
                said[5] = named[index]
            at = index * 10.0 + side * 5
            spoken = tuple(
                Word(word, at + place * 0.4, at + place * 0.4 + 0.3, 0.9)
                for place, word in enumerate(said)
            )
            text = " ".join(said)
            segments.append(Segment(index, at, at + 4.8, channel, speaker, text, spoken))
        yield Transcript(channel, speaker, "faster-whisper base", tuple(segments))


if __name__ == "__main__":
    main()
