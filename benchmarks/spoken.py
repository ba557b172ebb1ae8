"""Stored transcripts with their words for some calls of a crowd, which has none of its own."""

import random
from collections.abc import Iterator
from itertools import groupby

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcript import Segment, Transcript, Word
from callpipeline.storage import keys
from callpipeline.storage.database import Database, Row
from callpipeline.storage.documents import transcript_to_json
from callpipeline.storage.object_store import ObjectStore

WORD_S = 0.3


def store_words(
    database: Database, store: ObjectStore, count: int, dice: random.Random
) -> list[str]:
    """Complete calls, one in ten of them among the longest, of which words are stored now."""
    with database.transaction() as connection:
        done = [row["call_id"] for row in connection.execute(
            "SELECT call_id FROM calls JOIN call_metrics USING (call_id) "
            "WHERE state = 'COMPLETED' ORDER BY duration_s DESC, call_id"
        )]  # fmt: skip
        long = dice.sample(done[: len(done) // 1_000 + 10], min(count // 10, 10))
        calls = [*long, *dice.sample(done, min(count - len(long), len(done)))]
        rows = connection.execute(
            "SELECT * FROM segments WHERE call_id = ANY(%s) "
            "ORDER BY call_id, channel, segment_index",
            [calls],
        ).fetchall()
    for (call_id, channel), said in groupby(rows, key=lambda r: (r["call_id"], r["channel"])):
        document = transcript_to_json(_transcript(list(said)))
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
