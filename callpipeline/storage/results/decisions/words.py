"""Corrections of words by people: they apply at once, and again to later transcripts of the call.

A correction locks the call's row, as each write of a run does. The objects in the store keep what
the recogniser heard; the rows of segments, and with them search, have the corrected words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.calls.word_corrections import (
    WordCorrection,
    WordPlace,
    correct_words,
    find_corrections,
)
from callpipeline.domain.redaction.masking import RedactionPolicy, mask_transcripts
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.errors import CorrectionOutdated, MissingObject, UnknownCall, UnknownSegment
from callpipeline.storage.calls.descriptions import minutes_ago
from callpipeline.storage.erasure import explain_deletion
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.results import Redaction
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results.serialization import transcript_from_json

NOT_COMPLETE = "The call is being processed. Correct its words when that has ended."
TRANSCRIBED_AGAIN = "The call was transcribed again meanwhile. Reload the page."
NOT_MASKED = RedactionPolicy()

Transcripts = tuple[Transcript, ...]
Place = tuple[Channel, int]
"""Channel and index of a segment."""


@dataclass(frozen=True, slots=True)
class CorrectedWords:
    """A correction with its author and time."""

    correction: WordCorrection
    corrected_by: str | None
    corrected_at: datetime


class WordCorrections:
    """Table `word_corrections`."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def history(self, call_id: str) -> list[CorrectedWords]:
        """Return the corrections of a call, oldest first."""
        rows = self._database.rows("words/list", {"call_id": call_id})
        return [
            CorrectedWords(_correction(row), row["corrected_by"], row["corrected_at"])
            for row in rows
        ]

    def correct(
        self,
        call_id: str,
        position: Place,
        text: str,
        *,
        seen: str,
        by: str | None = None,
        policies: Mapping[str, RedactionPolicy] | None = None,
    ) -> bool:
        """Give a segment another text; return False if it has that text already.

        `position` is channel and index, and `seen` the text that the person saw: raises
        CorrectionOutdated if it has changed since. What the policy of the call's bucket masks is
        masked before it is stored, also the part of a number in another segment. The call is left
        for the next rematch. Raises UnknownCall, UnknownSegment and MissingObject.
        """
        place = {"call_id": call_id, "channel": position[0], "segment_index": position[1]}
        with (
            explain_deletion(self._database, call_id, Stage.TRANSCRIPTS),
            self._database.transaction() as connection,
        ):
            policy = (policies or {}).get(_lock(connection, call_id), NOT_MASKED)
            recognised = self._recognised(connection, call_id)
            earlier = _corrections(connection, call_id)
            current = _apply(recognised, earlier)
            segment = _segment(current, position)
            present = connection.execute(query("words/present"), place).fetchone()
            if present is None or present["text"] != seen or segment.text != seen:
                raise CorrectionOutdated(_outdated(present))
            wanted = _with_text(current, position, " ".join(sanitize_text(text).split()), policy)
            found = _differences(current, wanted)
            if not found:
                return False
            right = _apply(recognised, [*earlier, *found])
            if not _have_same_words(right, wanted):
                raise CorrectionOutdated(TRANSCRIBED_AGAIN)
            _insert(connection, call_id, found, sanitize_text(by) if by else None)
            _update_segments(connection, call_id, current, right)
        return True

    def _recognised(self, connection: Connection[DictRow], call_id: str) -> Transcripts:
        heads = tables.select(connection, "transcripts", "call_id", [call_id])
        return read_recognised(heads, self._store, call_id)


def read_recognised(heads: Sequence[Row], store: ObjectStore, call_id: str) -> Transcripts:
    """Return the transcripts as the recogniser heard them, by their rows. Raises MissingObject."""
    if not heads:
        raise MissingObject(f"Call {call_id} has no transcripts yet: materialize that asset first.")
    return tuple(transcript_from_json(store.read(head["object_key"])) for head in heads)


def apply(
    connection: Connection[DictRow],
    call_id: str,
    transcripts: Sequence[Transcript],
    redaction: Redaction | None = None,
) -> Transcripts:
    """Return transcripts with the corrected words, in the caller's transaction.

    Corrections of what `redaction` masks are deleted, and those whose own words its policy masks
    are replaced by masked ones. If the transcripts have the corrected words, all are deleted.
    """
    if redaction and redaction.is_corrected:
        connection.execute(query("words/forget_all"), {"call_id": call_id})
        return tuple(transcripts)
    for span in redaction.spans if redaction else ():
        _forget(connection, call_id, span.channel, span.start_s, span.end_s)
    right = _apply(transcripts, _corrections(connection, call_id))
    masked, spans, _ = mask_transcripts(right, redaction.policy if redaction else NOT_MASKED)
    if not spans:
        return right
    for span in spans:
        _forget(connection, call_id, span.channel, span.start_s, span.end_s)
    rest = _corrections(connection, call_id)
    found = _differences(_apply(transcripts, rest), masked)
    _insert(connection, call_id, found, None)
    return _apply(transcripts, [*rest, *found])


def _apply(transcripts: Sequence[Transcript], corrections: Sequence[WordCorrection]) -> Transcripts:
    return tuple(correct_words(each, corrections) for each in transcripts)


def _with_text(
    current: Transcripts, position: Place, text: str, policy: RedactionPolicy
) -> Transcripts:
    """Return transcripts in which a segment has another text, masked.

    Of other segments, only what the new text makes part of a number is masked.
    """
    new = _map_segments(current, {position: text})
    if not policy.kinds:
        return new
    before, after = (_texts(mask_transcripts(each, policy)[0]) for each in (current, new))
    masked = {
        place: said
        for place, said in after.items()
        if place == position or said != before.get(place)
    }
    return _map_segments(new, masked)


def _map_segments(transcripts: Transcripts, texts: Mapping[Place, str]) -> Transcripts:
    """Return transcripts in which some segments have other texts, at the times of their words."""

    def changed(segment: Segment) -> Segment:
        text = texts.get((segment.channel, segment.index))
        if text is None:
            return segment
        only = Transcript(segment.channel, segment.speaker, "", (segment,))
        return correct_words(only, find_corrections(segment, text)).segments[0]

    return tuple(replace(each, segments=tuple(map(changed, each.segments))) for each in transcripts)


def _texts(transcripts: Transcripts) -> dict[Place, str]:
    return {(s.channel, s.index): s.text for each in transcripts for s in each.segments}


def _differences(current: Transcripts, wanted: Transcripts) -> list[WordCorrection]:
    texts = _texts(wanted)
    segments = (segment for each in current for segment in each.segments)
    return [
        correction
        for segment in segments
        for correction in find_corrections(segment, texts[segment.channel, segment.index])
    ]


def _have_same_words(one: Transcripts, other: Transcripts) -> bool:
    said, wanted = _texts(one), _texts(other)
    return said.keys() == wanted.keys() and all(
        said[place].split() == wanted[place].split() for place in said
    )


def _segment(transcripts: Transcripts, position: Place) -> Segment:
    for transcript in transcripts:
        for segment in transcript.segments:
            if (segment.channel, segment.index) == position:
                return segment
    raise UnknownSegment("The transcript has no such segment.")


def _lock(connection: Connection[DictRow], call_id: str) -> str:
    """Lock a completed call; return its bucket. Raises UnknownCall and CorrectionOutdated."""
    row = connection.execute(query("words/lock_call"), {"call_id": call_id}).fetchone()
    if row is None:
        raise UnknownCall(f"Call {call_id!r} not found.")
    if row["state"] != CallState.COMPLETED:
        raise CorrectionOutdated(NOT_COMPLETE)
    return row["bucket"]


def _outdated(present: DictRow | None) -> str:
    if present is None or present["minutes"] is None:
        return TRANSCRIBED_AGAIN
    who = present["corrected_by"] or "Another person"
    return f"{who} corrected these words {minutes_ago(present['minutes'])}."


def _forget(
    connection: Connection[DictRow], call_id: str, channel: Channel, start_s: float, end_s: float
) -> None:
    masked = {"channel": channel, "start_s": start_s, "end_s": end_s}
    connection.execute(query("words/forget_masked"), masked | {"call_id": call_id})


def _insert(
    connection: Connection[DictRow],
    call_id: str,
    corrections: Sequence[WordCorrection],
    by: str | None,
) -> None:
    for each in corrections:
        connection.execute(query("words/insert"), _row(each) | {"call_id": call_id, "by": by})


def _update_segments(
    connection: Connection[DictRow], call_id: str, before: Transcripts, after: Transcripts
) -> None:
    """Store changed texts with the numbers of words, and let a rematch and the marts follow."""
    said = _texts(before)
    for transcript in after:
        head = {"call_id": call_id, "channel": transcript.channel}
        head |= {"word_count": transcript.word_count}
        for segment in transcript.segments:
            if segment.text != said[segment.channel, segment.index]:
                changed = head | {"segment_index": segment.index, "text": segment.text}
                connection.execute(query("words/update_segment"), changed)
    connection.execute(query("words/ask_rematch"), {"call_id": call_id})
    connection.execute(query("reviews/touch_call"), {"call_id": call_id})


def _corrections(connection: Connection[DictRow], call_id: str) -> list[WordCorrection]:
    rows = connection.execute(query("words/list"), {"call_id": call_id}).fetchall()
    return [_correction(row) for row in rows]


def _correction(row: Row) -> WordCorrection:
    times = (row["start_s"], row["end_s"])
    place = None
    if row["segment_index"] is not None:
        place = WordPlace(row["segment_index"], row["first_word"], row["end_word"])
    return WordCorrection(Channel(row["channel"]), *times, row["original"], row["text"], place)


def _row(correction: WordCorrection) -> Row:
    place = correction.place
    return {
        "channel": correction.channel,
        "start_s": correction.start_s,
        "end_s": correction.end_s,
        "original": correction.original,
        "text": correction.text,
        "segment_index": place.segment_index if place else None,
        "first_word": place.start if place else None,
        "end_word": place.end if place else None,
    }
