"""Transcript objects with word times for some synthetic calls, which are created without them."""

import random
from collections.abc import Iterator
from itertools import groupby

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.results.serialization import transcript_to_json

WORD_S = 0.3


def store_words(
    database: Database, store: ObjectStore, count: int, rng: random.Random
) -> list[str]:
    """Store words for completed calls, a tenth of them among the longest; returns their ids."""
    with database.transaction() as connection:
        done = [row["call_id"] for row in connection.execute(
            "SELECT call_id FROM calls JOIN call_metrics USING (call_id) "
            "WHERE state = 'COMPLETED' ORDER BY duration_s DESC, call_id"
        )]  # fmt: skip
        long = rng.sample(done[: len(done) // 1_000 + 10], min(count // 10, 10))
        calls = [*long, *rng.sample(done, min(count - len(long), len(done)))]
        rows = connection.execute(
            "SELECT * FROM segments WHERE call_id = ANY(%s) "
            "ORDER BY call_id, channel, segment_index",
            [calls],
        ).fetchall()
    for (call_id, channel), segments in groupby(rows, key=lambda r: (r["call_id"], r["channel"])):
        document = transcript_to_json(_transcript(list(segments)))
        store.put(keys.transcript(call_id, Channel(channel)), document)
    return calls


def _transcript(rows: list[Row]) -> Transcript:
    channel, speaker = Channel(rows[0]["channel"]), Speaker(rows[0]["speaker"])
    segments = tuple(
        Segment(
            index=row["segment_index"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            channel=channel,
            speaker=speaker,
            text=row["text"],
            words=tuple(_words(row)),
        )
        for row in rows
    )
    return Transcript(channel, speaker, "faster-whisper base", segments)


def _words(row: Row) -> Iterator[Word]:
    for n, word in enumerate(row["text"].split()):
        at = row["start_s"] + n * WORD_S
        yield Word(word, at, at + WORD_S, 0.9)
