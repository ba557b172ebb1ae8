"""The words of imported calls in storage, masked in place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.redaction.imported import MaskedTexts, StoredTexts
from callpipeline.domain.redaction.masking import MaskedSpan
from callpipeline.domain.sentiment import Judgement
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import MissingObject
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.imports import MaskTexts
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization
from callpipeline.storage.results.serialization import transcript_from_json, transcript_to_json
from callpipeline.storage.sources.imports import RUN


class ImportedTexts:
    """Reads and masks the stored texts of imported calls."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def texts(self, call_id: str) -> StoredTexts:
        """Return what is stored of the words of a call."""
        return self._database.with_retry(lambda connection: self._texts(connection, call_id))

    def mask(self, call_id: str, mask: MaskTexts) -> bool:
        """Mask the stored texts of a call in place; return False if there was nothing to mask.

        Decisions and corrections of people follow their mentions. Runs that read the texts before
        can't store anything about them any more. Raises DatabaseUnavailable or StoreUnavailable.
        """
        return self._database.with_retry(lambda c: self._mask(c, call_id, mask))

    def _mask(self, connection: Connection[DictRow], call_id: str, mask: MaskTexts) -> bool:
        found = connection.execute(
            query("imports/lock_imported"), {"call_id": call_id, "bucket": IMPORTED_BUCKET}
        ).fetchone()
        masked = mask(self._texts(connection, call_id)) if found else None
        if masked is None:
            return False
        earlier = _masked_spans(connection, call_id)
        first = 1 + max((span.number for span in earlier), default=-1)
        spans = [*earlier, *(replace(each, number=first + each.number) for each in masked.spans)]
        rows = [serialization.masked_row(call_id, *each) for each in enumerate(spans)]
        tables.replace(connection, "redactions", "call_id", [call_id], rows)
        _replace_mentions(connection, call_id, masked)
        if masked.spans:
            # The masked transcript has the corrected words; applied again, they would undo masks.
            connection.execute(query("words/forget_all"), {"call_id": call_id})
            self._put_transcripts(connection, call_id, masked.transcripts)
        changed: Row = {"call_id": call_id, "error_message": masked.error_message}
        changed |= {"run": RUN, "kinds": sorted(masked.counts)}
        connection.execute(query("imports/record_masks"), changed)
        return True

    def _put_transcripts(
        self, connection: Connection[DictRow], call_id: str, transcripts: Sequence[Transcript]
    ) -> None:
        heads = [serialization.transcript_row(call_id, each) for each in transcripts]
        segments = [serialization.segment_row(call_id, s) for t in transcripts for s in t.segments]
        tables.replace(connection, "transcripts", "call_id", [call_id], heads)
        tables.insert(connection, "segments", segments)
        for transcript in transcripts:
            key = keys.transcript(call_id, transcript.channel)
            self._store.put(key, transcript_to_json(transcript))

    def _texts(self, connection: Connection[DictRow], call_id: str) -> StoredTexts:
        heads = tables.select(connection, "transcripts", "call_id", [call_id])
        try:
            documents = [self._store.read(head["object_key"]) for head in heads]
        except MissingObject:  # retention deletes them
            documents = []
        segments = tables.select(connection, "segments", "call_id", [call_id])
        said = {(row["channel"], row["segment_index"]): row["text"] for row in segments}
        mentions = tables.select(connection, "mentions", "call_id", [call_id])
        judged = tables.select(connection, "sentiment", "call_id", [call_id])
        error = connection.execute(query("imports/error_message"), {"call_id": call_id}).fetchone()
        return StoredTexts(
            tuple(_as_in_database(transcript_from_json(each), said) for each in documents),
            tuple(serialization.mention_from_row(_as_found(row)) for row in mentions),
            tuple(serialization.judgement_from_row(_as_judged(row)) for row in judged),
            error["error_message"] if error else None,
        )


def _as_in_database(transcript: Transcript, said: Mapping[tuple[str, int], str]) -> Transcript:
    """Return a stored transcript with the segments of the database, which count.

    A command that was killed may have masked the document alone.
    """
    segments = (
        segment
        if (text := said.get((segment.channel, segment.index), segment.text)) == segment.text
        else replace(segment, text=text, words=())
        for segment in transcript.segments
    )
    return replace(transcript, segments=tuple(segments))


def _masked_spans(connection: Connection[DictRow], call_id: str) -> list[MaskedSpan]:
    rows = tables.select(connection, "redactions", "call_id", [call_id])
    return [serialization.masked_span(row) for row in sorted(rows, key=lambda r: r["position"])]


def _as_found(row: Row) -> Row:
    """Return the row of a mention with the reason of the rules, not that of a person."""
    return row | {"reason": row["found_reason"] or row["reason"]}


def _as_judged(row: Row) -> Row:
    """Return the row of a judgement with the rule of the judge, not that of a person."""
    return row | {"rule": row["judged"]["rule"] if row["judged"] else row["rule"]}


def _replace_mentions(connection: Connection[DictRow], call_id: str, masked: MaskedTexts) -> None:
    """Replace the mentions of a call by the masked ones, and what belongs to them."""
    ids: Row = {"call_id": call_id}
    ids |= {"mention_ids": [each.mention_id for each in masked.mentions.values()]}
    starts: Row = {"starts": [each.start_s for each in masked.mentions.values()]}
    connection.execute(query("reviews/follow"), ids | starts)
    connection.execute(query("results/forget_replaced"), {"call_id": call_id})
    stored = {
        table: [
            row
            for row in tables.select(connection, table, "call_id", [call_id])
            if row["mention_id"] in masked.mentions
        ]
        for table in ("mentions", "sentiment", "unjudged")
    }
    mentions = [_masked_mention(row, masked.mentions) for row in stored["mentions"]]
    tables.replace(connection, "mentions", "call_id", [call_id], mentions)
    judged = [_masked_judgement(row, masked.judgements) for row in stored["sentiment"]]
    tables.insert(connection, "sentiment", judged)
    waiting: list[Row] = [
        row | {"mention_id": masked.mentions[row["mention_id"]].mention_id, "asked_by": None}
        for row in stored["unjudged"]
    ]
    tables.insert(connection, "unjudged", waiting)


def _masked_mention(row: Row, mentions: Mapping[str, Mention]) -> Row:
    mention = mentions[row["mention_id"]]
    names = ("mention_id", "alias", "text", "char_start", "char_end", "phrase")
    reason = "found_reason" if row["found_reason"] else "reason"
    return row | {name: getattr(mention, name) for name in names} | {reason: mention.reason}


def _masked_judgement(row: Row, judgements: Mapping[str, Judgement]) -> Row:
    judgement = judgements[row["mention_id"]]
    names = ("mention_id", "quote", "switching_quote")
    new = row | {name: getattr(judgement, name) for name in names}
    if not row["judged"]:
        return new | {"rule": judgement.rule}
    return new | {"judged": Jsonb(row["judged"] | {"rule": judgement.rule})}
