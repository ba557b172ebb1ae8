"""Documents of one call: JSON, subtitles, a CSV table; and pages of the review queue."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.mentions import Mention, Review
from callpipeline.domain.redaction.masking import count_kinds
from callpipeline.domain.transcripts import Segment, as_srt, as_vtt, escape_formula, interleave
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.ports.results import (
    DecisionReader,
    MissingJudgement,
    MissingJudgementReader,
    PendingReview,
    ResultReader,
    ReviewPosition,
    ReviewQueue,
)

COLUMNS = ("start_s", "end_s", "channel", "speaker", "text", "voice")

CONTEXT_CHARS = 160
"""Characters before and after a mention: two or three lines are enough to decide."""
ELLIPSIS = "…"


class CallDocumentSource(Protocol):
    """The readers that documents need; `wiring.Storage` has them all."""

    @property
    def results(self) -> ResultReader: ...

    @property
    def unjudged(self) -> MissingJudgementReader: ...

    @property
    def reviews(self) -> DecisionReader: ...


def call_document(storage: CallDocumentSource, record: CallSummary) -> dict[str, Any]:
    """Return everything stored of a call in plain types, as `show --json` prints it."""
    call_id, results = record.call_id, storage.results
    transcripts = results.transcripts(call_id) if Stage.TRANSCRIPTS in record.stages else ()
    return record_as_json(record) | {
        "metrics": results.metrics(call_id),
        "transcripts": [
            {
                "channel": transcript.channel,
                "speaker": transcript.speaker,
                "engine": transcript.engine,
                "words": transcript.word_count,
                "confidence": transcript.confidence,
                "reliable": transcript.is_reliable,
                "unheard_s": transcript.unheard_s,
            }
            for transcript in transcripts
        ],
        "segments": [
            {
                "start_s": s.start_s,
                "end_s": s.end_s,
                "speaker": s.speaker,
                "text": s.text,
                "voice": s.voice,
                "voice_confidence": s.voice_confidence,
            }
            for s in interleave(transcripts)
        ],
        "voices": [
            {"voice": voice.number, "speaker": voice.speaker, "talk_s": voice.talk_s}
            for transcript in transcripts
            for voice in transcript.voices
        ],
        "mentions": _mentions(storage, call_id),
        "redactions": count_kinds(results.redactions(call_id)),
    }


RECORD_FIELDS = (
    "call_id",
    "key",
    "state",
    "attempts",
    "claimed_by",
    "error_stage",
    "error_class",
    "error_message",
    "error_transient",
    "created_at",
    "updated_at",
    "completed_at",
    "duplicate_of",
    "lane",
    "retries",
    "started_at",
    "metadata",
    "duration_s",
)


def record_as_json(record: CallSummary) -> dict[str, Any]:
    """Return a ledger record in plain types."""
    values = {name: getattr(record, name) for name in RECORD_FIELDS}
    document = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    due_at = record.next_attempt_at
    return document | {
        "not_before": due_at and due_at.isoformat(),
        "stages": [str(stage) for stage in record.stages],
        "flags": [asdict(flag) for flag in record.flags],
    }


def _mentions(storage: CallDocumentSource, call_id: str) -> list[dict[str, Any]]:
    judgements = {
        judgement.mention_id: asdict(judgement) for judgement in storage.results.judgements(call_id)
    }
    missing = {one.mention_id: _missing(one) for one in storage.unjudged.of_calls([call_id])}
    reviews = storage.reviews.in_force(call_id)
    return [
        _mention(mention)
        | {
            "sentiment": judgements.get(mention.mention_id),
            "not_judged": missing.get(mention.mention_id),
            "review": _review(reviews.get(mention.mention_id)),
        }
        for mention in storage.results.mentions(call_id)
    ]


def _mention(mention: Mention) -> dict[str, Any]:
    """Return a mention in plain types; documents name its text `said`."""
    return {"said" if name == "text" else name: value for name, value in asdict(mention).items()}


def _review(review: Review | None) -> dict[str, Any] | None:
    """Return a decision without the reviewer, who is visible to reviewers only."""
    if review is None:
        return None
    return {"decision": review.decision, "decided_at": review.decided_at.isoformat()}


def _missing(missing: MissingJudgement) -> dict[str, Any]:
    """Return why a mention is not judged; without `next_try_at` there is no further attempt."""
    next_at = missing.next_attempt_at
    return {
        "reason": missing.reason,
        "error_class": missing.error_class,
        "tries": missing.tries,
        "next_try_at": next_at.isoformat() if next_at else None,
    }


class CallFormat(StrEnum):
    """The formats of a downloaded call."""

    SRT = "srt"
    VTT = "vtt"
    CSV = "csv"
    JSON = "json"

    @property
    def media_type(self) -> str:
        return {
            CallFormat.SRT: "application/x-subrip; charset=utf-8",
            CallFormat.VTT: "text/vtt; charset=utf-8",
            CallFormat.CSV: "text/csv; charset=utf-8",
            CallFormat.JSON: "application/json",
        }[self]


def file_name(record: CallSummary, format: CallFormat) -> str:
    """Return a file name made of the call id, which is not personal and needs no quoting."""
    return f"{record.call_id}.{format}"


def download(
    storage: CallDocumentSource, record: CallSummary, format: CallFormat
) -> Iterator[bytes]:
    """Return the file in pieces. Raises MissingObject at once for a call without transcripts.

    The JSON document is always available.
    """
    if format is CallFormat.JSON:
        return iter([json.dumps(call_document(storage, record), indent=2).encode() + b"\n"])
    writers: dict[CallFormat, Callable[[Iterable[Segment]], Iterator[str]]] = {
        CallFormat.SRT: as_srt,
        CallFormat.VTT: as_vtt,
        CallFormat.CSV: as_csv,
    }
    conversation = interleave(storage.results.transcripts(record.call_id))
    return (piece.encode() for piece in writers[format](conversation))


def as_csv(conversation: Iterable[Segment]) -> Iterator[str]:
    """Yield the lines of a CSV file, one per segment, safe to open in a spreadsheet."""
    buffer = _LineBuffer()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield buffer.text
    for segment in conversation:
        writer.writerow([escape_formula(getattr(segment, column)) for column in COLUMNS])
        yield buffer.text


class _LineBuffer:
    """Holds the row that `csv` wrote last."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


@dataclass(frozen=True, slots=True)
class MentionInContext:
    """A mention with the text around it, which is empty if the transcript is gone."""

    pending: PendingReview
    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """A page of the queue, and the position of the next page; None after the last one."""

    items: Sequence[MentionInContext]
    next_after: ReviewPosition | None


def pending_reviews(
    reviews: ReviewQueue,
    *,
    competitor: str | None = None,
    after: ReviewPosition | None = None,
    limit: int = 50,
) -> ReviewPage:
    """Return a page of mentions that wait for review, most useful first."""
    found = reviews.pending(competitor=competitor, after=after, limit=limit + 1)
    shown = found[:limit]
    return ReviewPage(
        tuple(map(with_context, shown)), shown[-1].position if len(found) > limit else None
    )


def with_context(pending: PendingReview) -> MentionInContext:
    """Return the mention with the text around it, cut between words."""
    mention, text = pending.mention, pending.text
    # A new transcript may be stored before its mentions are.
    if text is None or text[mention.char_start : mention.char_end] != mention.text:
        return MentionInContext(pending, "", mention.text, "")
    before, after = text[: mention.char_start], text[mention.char_end :]
    if len(before) > CONTEXT_CHARS:
        before = f"{ELLIPSIS} {before[-CONTEXT_CHARS:].partition(' ')[2]}"
    if len(after) > CONTEXT_CHARS:
        after = f"{after[:CONTEXT_CHARS].rpartition(' ')[0]} {ELLIPSIS}"
    return MentionInContext(pending, before, mention.text, after)
