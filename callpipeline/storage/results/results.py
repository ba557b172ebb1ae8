"""Results of calls: rows in Postgres; audio, peaks and transcripts in the object store."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from psycopg import Connection
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from callpipeline.domain.audio import (
    CallMetrics,
    Channel,
    ChannelAudio,
    SplitRecording,
)
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.disambiguation.scoring import NameAnswers
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.redaction.masking import MaskedSpan
from callpipeline.domain.sentiment import Judgement, UnjudgedMention
from callpipeline.domain.transcripts import Transcript
from callpipeline.domain.voices import assign_roles
from callpipeline.errors import ClaimLost, DatabaseUnavailable, MissingObject
from callpipeline.storage.catalog.versions import save_version
from callpipeline.storage.erasure import explain_deletion
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.results import NO_PEAKS, ChannelPeaks, Redaction, StageWrite
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization, speakers, unjudged
from callpipeline.storage.results.decisions import reviews, words
from callpipeline.storage.results.serialization import (
    peaks_to_json,
    transcript_to_json,
)

Stored = TypeVar("Stored")


class Results:
    """Reads and writes the results of stages."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def save_audio(
        self,
        write: StageWrite,
        split: SplitRecording,
        folder: Path,
        peaks: ChannelPeaks = NO_PEAKS,
        *,
        withheld: bool = False,
    ) -> None:
        """Store each channel's `folder/<channel>.flac`, its peaks, and their metadata.

        If `withheld`, it can't be played until transcripts are stored, with muted audio.
        """
        call_id = write.call_id
        recording = serialization.recording_row(call_id, split) | {"withheld": withheld}
        channels = [serialization.channel_row(call_id, channel) for channel in split.channels]
        objects = _audio_objects(call_id, split.channels, folder, peaks)

        def store(connection: Connection[DictRow]) -> None:
            tables.replace(connection, "recordings", "call_id", [call_id], [recording])
            tables.replace(connection, "channels", "call_id", [call_id], channels)
            self._put(connection, write, objects)

        self._write(write, store)

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None:
        row = serialization.metrics_row(write.call_id, metrics)

        def store(connection: Connection[DictRow]) -> None:
            _replace(connection, "call_metrics", write, [row])
            speakers.apply_to_metrics(connection, write.call_id)

        self._write(write, store)

    def save_transcripts(
        self,
        write: StageWrite,
        transcripts: Sequence[Transcript],
        redaction: Redaction | None = None,
    ) -> tuple[Transcript, ...]:
        """Store transcripts and return them as people corrected them, in words and roles of voices.

        The objects keep what the recogniser heard. With `redaction`, also store what was masked,
        and replace the audio by the muted one.
        """
        call_id = write.call_id
        heads = [serialization.transcript_row(call_id, transcript) for transcript in transcripts]
        voices = [serialization.voice_row(call_id, v) for t in transcripts for v in t.voices]
        objects: dict[str, bytes | Path] = {
            keys.transcript(call_id, t.channel): transcript_to_json(t) for t in transcripts
        }
        if redaction and redaction.folder:
            objects |= _audio_objects(
                call_id, redaction.channels, redaction.folder, redaction.peaks
            )
            self._withhold_audio(write, redaction)

        def store(connection: Connection[DictRow]) -> tuple[Transcript, ...]:
            tables.replace(connection, "transcripts", "call_id", [call_id], heads)
            right = words.apply(connection, call_id, transcripts, redaction)
            segments = [serialization.segment_row(call_id, s) for t in right for s in t.segments]
            tables.insert(connection, "segments", segments)
            tables.replace(connection, "voices", "call_id", [call_id], voices)
            if voices:
                speakers.apply_to_segments(connection, call_id)
            speakers.apply_to_metrics(connection, call_id)
            agent_voice = speakers.agent_voice(connection, call_id) if voices else None
            _save_redaction(connection, call_id, redaction)
            self._put(connection, write, objects)
            return tuple(assign_roles(each, agent_voice) for each in right)

        return self._write(write, store)

    def _withhold_audio(self, write: StageWrite, redaction: Redaction) -> None:
        """Store what will be muted before the first file is replaced by a muted one.

        After a run that was killed in between, nothing can be played, and the next run mutes all.
        """

        def store(connection: Connection[DictRow]) -> None:
            _check_claim(connection, write)
            _save_spans(connection, write.call_id, redaction)
            connection.execute(query("results/withhold_audio"), {"call_id": write.call_id})

        self._database.with_retry(store)

    def redactions(self, call_id: str) -> tuple[MaskedSpan, ...]:
        """Return what was masked in a call, in the order of the numbers."""
        found = sorted(self._rows("redactions", call_id), key=lambda row: row["position"])
        return tuple(map(serialization.masked_span, found))

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """Store mentions and return them with the decisions of reviewers applied.

        Mentions that were found before keep their sentiment until it is judged again.
        """
        found = [serialization.mention_row(write.call_id, mention) for mention in mentions]
        ids = {"call_id": write.call_id, "mention_ids": [row["mention_id"] for row in found]}

        def store(connection: Connection[DictRow]) -> tuple[Mention, ...]:
            starts = {"starts": [mention.start_s for mention in mentions]}
            connection.execute(query("reviews/follow"), ids | starts)
            connection.execute(query("results/delete_other_mentions"), ids)
            tables.upsert(connection, "mentions", ("call_id", "mention_id"), found)
            speakers.apply_to_mentions(connection, write.call_id)
            return reviews.apply(connection, write.call_id, tuple(mentions))

        return self._write(write, store)

    def save_sentiment(
        self,
        write: StageWrite,
        judgements: Sequence[Judgement],
        missing: Sequence[UnjudgedMention] = (),
    ) -> None:
        """Store judgements of a call's mentions; those in `missing` are retried later."""
        judged = [serialization.judgement_row(write.call_id, judgement) for judgement in judgements]

        def store(connection: Connection[DictRow]) -> None:
            _replace(connection, "sentiment", write, judged)
            unjudged.replace(connection, write, missing)
            connection.execute(query("reviews/forget_set_aside"), {"call_id": write.call_id})
            # Decisions may have been made while the mentions were judged.
            reviews.reconcile_sentiment(connection, write.call_id)

        self._write(write, store)

    def save_catalog(self, catalog: Catalog) -> None:
        """Store a version of the catalog, for calls to refer to."""
        self._database.with_retry(lambda c: save_version(c, catalog))

    def audio(self, call_id: str) -> SplitRecording:
        """Return the split recording. Raises MissingObject before it is stored."""
        recordings = self._rows("recordings", call_id)
        if not recordings:
            raise MissingObject(
                f"Call {call_id} has no channel_audio yet: materialize that asset first."
            )
        return serialization.split_from_rows(recordings[0], self._rows("channels", call_id))

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None:
        """Copy one channel's FLAC to a local file. Raises MissingObject."""
        with explain_deletion(self._database, call_id, Stage.CHANNEL_AUDIO):
            self._store.fetch(keys.channel_audio(call_id, channel), into)

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]:
        """Return the transcripts with words, as people corrected them.

        Raises MissingObject before they are stored.
        """
        stored = self.recognised(call_id)

        def correct(connection: Connection[DictRow]) -> tuple[Transcript, ...]:
            right = words.apply(connection, call_id, stored)
            if not any(each.voices for each in stored):
                return right
            # Documents have the roles that were found; a person may have decided since.
            agent_voice = speakers.agent_voice(connection, call_id)
            return tuple(assign_roles(each, agent_voice) for each in right)

        return self._database.with_retry(correct)

    def recognised(self, call_id: str) -> tuple[Transcript, ...]:
        """Return the transcripts as the recogniser heard them. Raises MissingObject."""
        heads = self._rows("transcripts", call_id)
        with explain_deletion(self._database, call_id, Stage.TRANSCRIPTS):
            return words.read_recognised(heads, self._store, call_id)

    def mentions(self, call_id: str) -> tuple[Mention, ...]:
        """Return all mentions in order of time, including those that do not count."""
        found = map(serialization.mention_from_row, self._rows("mentions", call_id))
        return tuple(sorted(found, key=lambda mention: (mention.start_s, mention.mention_id)))

    def answers(self, competitors: Collection[str]) -> Mapping[str, NameAnswers]:
        """Return what reviewers said about the ambiguous names of these competitors."""
        return reviews.answers(self._database, competitors)

    def catalog_version(self, call_id: str) -> str | None:
        """Return the version of the catalog that the call's mentions were found with."""
        found = [row for row in self._rows("call_stages", call_id) if row["catalog_version"]]
        versions = {row["stage"]: row["catalog_version"] for row in found}
        return versions.get(Stage.COMPETITOR_MENTIONS)

    def metrics(self, call_id: str) -> Row | None:
        """Return the row of `call_metrics`, or None before it is stored."""
        found = self._rows("call_metrics", call_id)
        return found[0] if found else None

    def judgements(self, call_id: str) -> tuple[Judgement, ...]:
        return tuple(map(serialization.judgement_from_row, self._rows("sentiment", call_id)))

    def _rows(self, table: str, call_id: str) -> list[Row]:
        return self._database.with_retry(lambda c: tables.select(c, table, "call_id", [call_id]))

    def _write(self, write: StageWrite, store: Callable[[Connection[DictRow]], Stored]) -> Stored:
        """Lock the claim, store, and mark the stage as stored, in one transaction.

        Objects are put inside it, after the rows: the lock on the call's row keeps a late writer
        from replacing them, and if the transaction fails the next attempt writes the same keys.
        """
        claim = _claim(write)
        record = {"stage": write.stage, "took_s": write.took_s, "engine": write.engine}
        version = {"catalog_version": write.catalog_version, "rule_version": write.rule_version}

        def under_claim(connection: Connection[DictRow]) -> Stored:
            _check_claim(connection, write)
            stored = store(connection)
            connection.execute(query("results/save_stage"), claim | record | version)
            return stored

        try:
            return self._database.with_retry(under_claim)
        except ForeignKeyViolation:
            # After a failover, commits of the old server may be missing.
            raise DatabaseUnavailable("Postgres lost the results of an earlier stage.") from None

    def _put(
        self,
        connection: Connection[DictRow],
        write: StageWrite,
        objects: Mapping[str, bytes | Path],
    ) -> None:
        """Put objects, checking the run's claim before each.

        The connection of a run that was suspended and declared dead has been cut: it puts nothing
        more. A run that is suspended during a put may still finish it, since the store does not
        know about claims.
        """
        self._store.put_all(objects, lambda: _check_claim(connection, write))


def _audio_objects(
    call_id: str, channels: Sequence[ChannelAudio], folder: Path, peaks: ChannelPeaks
) -> dict[str, bytes | Path]:
    audio: dict[str, bytes | Path] = {
        keys.channel_audio(call_id, each.channel): folder / f"{each.channel}.flac"
        for each in channels
    }
    return audio | {keys.peaks(call_id, c): peaks_to_json(found) for c, found in peaks.items()}


def _save_redaction(
    connection: Connection[DictRow], call_id: str, redaction: Redaction | None
) -> None:
    """Store what was masked and the hashes of muted audio, which may be played from now on."""
    if redaction:
        _save_spans(connection, call_id, redaction)
        for each in redaction.channels:
            muted = {"channel": each.channel, "sha256": each.sha256, "size": each.size_bytes}
            connection.execute(query("results/mute_channel"), muted | {"call_id": call_id})
        # Their quotes are older than the masks.
        connection.execute(query("results/forget_replaced"), {"call_id": call_id})
    connection.execute(query("results/release_audio"), {"call_id": call_id})


def _save_spans(connection: Connection[DictRow], call_id: str, redaction: Redaction) -> None:
    spans = [serialization.masked_row(call_id, *each) for each in enumerate(redaction.spans)]
    tables.replace(connection, "redactions", "call_id", [call_id], spans)


def _claim(write: StageWrite) -> Row:
    return {"call_id": write.call_id, "run_id": write.run_id}


def _check_claim(connection: Connection[DictRow], write: StageWrite) -> None:
    if connection.execute(query("calls/lock_claim"), _claim(write)).fetchone() is None:
        raise ClaimLost(f"Call {write.call_id} is claimed by another run now.")


def _replace(
    connection: Connection[DictRow], table: str, write: StageWrite, found: Sequence[Row]
) -> int:
    return tables.replace(connection, table, "call_id", [write.call_id], found)
