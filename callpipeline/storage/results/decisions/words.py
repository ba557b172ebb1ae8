"""Corrections of words by people: they apply at once, and again to later transcripts of the call.

A correction locks the call's row, as each write of a run does. The objects in the store keep what
the recogniser heard; the rows of segments, and with them search, have the corrected words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.word_corrections import (
    WordCorrection,
    correct_words,
    find_corrections,
)
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.errors import CorrectionOutdated, UnknownCall, UnknownSegment
from callpipeline.storage.calls.descriptions import minutes_ago
from callpipeline.storage.ports.results import Redaction
from callpipeline.storage.postgres.database import Database, sanitize_text
from callpipeline.storage.postgres.sql import query

NOT_COMPLETE = "The call is being processed. Correct its words when that has ended."


@dataclass(frozen=True, slots=True)
class CorrectedWords:
    """A correction with its author and time."""

    correction: WordCorrection
    corrected_by: str | None
    corrected_at: datetime


class WordCorrections:
    """Table `word_corrections`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        transcripts: Sequence[Transcript],
        position: tuple[Channel, int],
        text: str,
        *,
        seen: str,
        by: str | None = None,
    ) -> bool:
        """Give a segment another text; return False if it has that text already.

        `transcripts` are the corrected ones of the call, `position` is channel and index, and
        `seen` the text that the person saw: raises CorrectionOutdated if it has changed since.
        Raises UnknownCall and UnknownSegment.
        """
        channel, index = position
        place = {"call_id": call_id, "channel": channel, "segment_index": index}
        transcript = next((each for each in transcripts if each.channel == channel), None)
        segment = _segment(transcript, index)
        found = find_corrections(segment, sanitize_text(text))
        with self._database.transaction() as connection:
            _lock(connection, call_id)
            present = connection.execute(query("words/present"), place).fetchone()
            if present is None or present["text"] != seen or segment.text != seen:
                raise CorrectionOutdated(_outdated(present))
            if not found or transcript is None:
                return False
            author = {"call_id": call_id, "by": sanitize_text(by) if by else None}
            for each in found:
                connection.execute(query("words/insert"), _row(each) | author)
            right = correct_words(transcript, found)
            changed = place | {"word_count": right.word_count}
            connection.execute(
                query("words/update_segment"), changed | {"text": _segment(right, index).text}
            )
            connection.execute(query("reviews/touch_call"), place)
        return True


def apply(
    connection: Connection[DictRow],
    call_id: str,
    transcripts: Sequence[Transcript],
    redaction: Redaction | None = None,
) -> tuple[Transcript, ...]:
    """Return transcripts with the corrected words, in the caller's transaction.

    Corrections of what `redaction` masks are deleted.
    """
    for span in redaction.spans if redaction else ():
        masked = {"channel": span.channel, "start_s": span.start_s, "end_s": span.end_s}
        connection.execute(query("words/forget_masked"), masked | {"call_id": call_id})
    rows = connection.execute(query("words/list"), {"call_id": call_id}).fetchall()
    corrections = [_correction(row) for row in rows]
    return tuple(correct_words(each, corrections) for each in transcripts)


def _segment(transcript: Transcript | None, index: int) -> Segment:
    for segment in transcript.segments if transcript else ():
        if segment.index == index:
            return segment
    raise UnknownSegment("The transcript has no such segment.")


def _lock(connection: Connection[DictRow], call_id: str) -> None:
    row = connection.execute(query("reviews/lock_call"), {"call_id": call_id}).fetchone()
    if row is None:
        raise UnknownCall(f"Call {call_id!r} not found.")
    if row["state"] != CallState.COMPLETED:
        raise CorrectionOutdated(NOT_COMPLETE)


def _outdated(present: DictRow | None) -> str:
    if present is None or present["minutes"] is None:
        return "The call was transcribed again meanwhile. Reload the page."
    who = present["corrected_by"] or "Another person"
    return f"{who} corrected these words {minutes_ago(present['minutes'])}."


def _correction(row: DictRow) -> WordCorrection:
    times = (row["start_s"], row["end_s"])
    return WordCorrection(Channel(row["channel"]), *times, row["original"], row["text"])


def _row(correction: WordCorrection) -> dict[str, object]:
    return {
        "channel": correction.channel,
        "start_s": correction.start_s,
        "end_s": correction.end_s,
        "original": correction.original,
        "text": correction.text,
    }
