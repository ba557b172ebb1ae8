"""What was found out about each call, in Postgres; audio and full transcripts in the store.

Every write replaces what the stage stored before, in one transaction that first checks that the
run still holds the call: the late write of a run that lost its claim changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from psycopg import Connection
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.call import Stage
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.mention import Mention
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.sentiment import Judgement, Unjudged
from callpipeline.domain.transcript import Transcript
from callpipeline.errors import ClaimLost, DatabaseUnavailable, MissingObject
from callpipeline.storage import keys, reviews, rows, tables, unjudged
from callpipeline.storage.database import Database, Row
from callpipeline.storage.deleted import explained
from callpipeline.storage.documents import (
    catalog_to_jsonable,
    peaks_to_json,
    transcript_from_json,
    transcript_to_json,
)
from callpipeline.storage.objects import ObjectStore
from callpipeline.storage.ports import NONE, ChannelPeaks, StageWrite
from callpipeline.storage.sql import query

Stored = TypeVar("Stored")


class Results:
    """Reads and writes what the stages make."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def save_audio(
        self, write: StageWrite, split: SplitRecording, folder: Path, peaks: ChannelPeaks = NONE
    ) -> None:
        """Store each channel's `folder/<channel>.flac`, its peaks, and what is known of it all."""
        call_id = write.call_id
        recording = rows.of_recording(call_id, split)
        channels = [rows.of_channel(call_id, channel) for channel in split.channels]

        objects: dict[str, bytes | Path] = {
            keys.channel_audio(call_id, channel.channel): folder / f"{channel.channel}.flac"
            for channel in split.channels
        }
        objects |= {keys.peaks(call_id, c): peaks_to_json(found) for c, found in peaks.items()}

        def store(connection: Connection[DictRow]) -> None:
            tables.replace(connection, "recordings", "call_id", [call_id], [recording])
            tables.replace(connection, "channels", "call_id", [call_id], channels)
            self._put(connection, write, objects)

        self._write(write, store)

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None:
        row = rows.of_metrics(write.call_id, metrics)
        self._write(write, lambda c: _replace(c, "call_metrics", write, [row]))

    def save_transcripts(self, write: StageWrite, transcripts: Sequence[Transcript]) -> None:
        call_id = write.call_id
        heads = [rows.of_transcript(call_id, transcript) for transcript in transcripts]
        segments = [rows.of_segment(call_id, s) for t in transcripts for s in t.segments]
        objects = {keys.transcript(call_id, t.channel): transcript_to_json(t) for t in transcripts}

        def store(connection: Connection[DictRow]) -> None:
            tables.replace(connection, "transcripts", "call_id", [call_id], heads)
            tables.insert(connection, "segments", segments)
            self._put(connection, write, objects)

        self._write(write, store)

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """Mentions that are found again keep their sentiment until it is judged anew.

        Returns them as they stand: what people decided about them holds.
        """
        found = [rows.of_mention(write.call_id, mention) for mention in mentions]
        vanished = {"call_id": write.call_id, "mention_ids": [row["mention_id"] for row in found]}

        def store(connection: Connection[DictRow]) -> tuple[Mention, ...]:
            connection.execute(query("results/delete_vanished_mentions"), vanished)
            tables.upsert(connection, "mentions", ("call_id", "mention_id"), found)
            return reviews.apply(connection, write.call_id, tuple(mentions))

        return self._write(write, store)

    def save_sentiment(
        self, write: StageWrite, judgements: Sequence[Judgement], missing: Sequence[Unjudged] = ()
    ) -> None:
        """Store verdicts on the mentions of a call, and which of them are `missing`, and why."""
        judged = [rows.of_judgement(write.call_id, judgement) for judgement in judgements]

        def store(connection: Connection[DictRow]) -> None:
            _replace(connection, "sentiment", write, judged)
            unjudged.replace(connection, write, missing)
            # Of what was decided while it was judged.
            reviews.settle(connection, write.call_id)

        self._write(write, store)

    def remember_catalog(self, catalog: Catalog) -> None:
        """Keep the competitor list under its version, for calls to refer to."""
        content = Jsonb(catalog_to_jsonable(catalog))
        version = {"version": catalog.version, "content": content}
        self._database.patiently(lambda c: c.execute(query("results/save_catalog"), version))

    def audio(self, call_id: str) -> SplitRecording:
        """What the recording was split into. Raises MissingObject before that stage was stored."""
        recordings = self._rows("recordings", call_id)
        if not recordings:
            raise MissingObject(
                f"Call {call_id} has no channel_audio yet: materialize that asset first."
            )
        return rows.to_split(recordings[0], self._rows("channels", call_id))

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None:
        """Copy one channel's FLAC to a local file. Raises MissingObject."""
        with explained(self._database, call_id, Stage.CHANNEL_AUDIO):
            self._store.fetch(keys.channel_audio(call_id, channel), into)

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]:
        """The transcripts with their words. Raises MissingObject before that stage was stored."""
        heads = self._rows("transcripts", call_id)
        if not heads:
            raise MissingObject(
                f"Call {call_id} has no transcripts yet: materialize that asset first."
            )
        with explained(self._database, call_id, Stage.TRANSCRIPTS):
            read = [self._store.read(head["object_key"]) for head in heads]
        return tuple(map(transcript_from_json, read))

    def mentions(self, call_id: str) -> tuple[Mention, ...]:
        """All mentions, also those that do not count, in order of time."""
        found = map(rows.to_mention, self._rows("mentions", call_id))
        return tuple(sorted(found, key=lambda mention: (mention.start_s, mention.mention_id)))

    def catalog_version(self, call_id: str) -> str | None:
        """The version of the competitor list with which the call's mentions were found."""
        found = [row for row in self._rows("call_stages", call_id) if row["catalog_version"]]
        versions = {row["stage"]: row["catalog_version"] for row in found}
        return versions.get(Stage.COMPETITOR_MENTIONS)

    def metrics(self, call_id: str) -> Row | None:
        """The row of `call_metrics`, None before that stage was stored."""
        found = self._rows("call_metrics", call_id)
        return found[0] if found else None

    def judgements(self, call_id: str) -> tuple[Judgement, ...]:
        return tuple(map(rows.to_judgement, self._rows("sentiment", call_id)))

    def _rows(self, table: str, call_id: str) -> list[Row]:
        return self._database.patiently(lambda c: tables.select(c, table, "call_id", [call_id]))

    def _write(self, write: StageWrite, store: Callable[[Connection[DictRow]], Stored]) -> Stored:
        """In one transaction: hold the run's claim, store, and mark the stage as stored.

        Objects are put inside it, after the rows: the lock on the call's row keeps a late writer
        from replacing them, and if the transaction fails the same keys are written again by the
        next try.
        """
        claim = _claim(write)
        made = {"stage": write.stage, "took_s": write.took_s, "engine": write.engine}
        version = {"catalog_version": write.catalog_version}

        def under_claim(connection: Connection[DictRow]) -> Stored:
            _hold(connection, write)
            stored = store(connection)
            connection.execute(query("results/save_stage"), claim | made | version)
            return stored

        try:
            return self._database.patiently(under_claim)
        except ForeignKeyViolation:
            # A server that took the place of another may lack what the other one had committed.
            raise DatabaseUnavailable("Postgres lost what an earlier stage had stored.") from None

    def _put(
        self,
        connection: Connection[DictRow],
        write: StageWrite,
        objects: Mapping[str, bytes | Path],
    ) -> None:
        """Put objects while the run holds the call, which is asked again before each.

        The connection of a run that was stopped meanwhile and taken for dead has been cut: it
        puts nothing more. What remains is a run that is stopped between the answer and the end
        of the put, since no store knows of our claims.
        """
        for key, content in objects.items():
            _hold(connection, write)
            self._store.put(key, content)


def _claim(write: StageWrite) -> Row:
    return {"call_id": write.call_id, "run_id": write.run_id}


def _hold(connection: Connection[DictRow], write: StageWrite) -> None:
    if connection.execute(query("calls/hold_claim"), _claim(write)).fetchone() is None:
        raise ClaimLost(f"Call {write.call_id} belongs to another run now.")


def _replace(
    connection: Connection[DictRow], table: str, write: StageWrite, found: Sequence[Row]
) -> int:
    return tables.replace(connection, table, "call_id", [write.call_id], found)
