"""All that is known of a call as one document, in plain types: what `show --json` prints."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from callpipeline.domain.call import Stage
from callpipeline.domain.review import Review
from callpipeline.domain.transcript import interleave
from callpipeline.storage.ledger import CallRecord
from callpipeline.storage.results import Results
from callpipeline.storage.reviews import Reviews
from callpipeline.storage.unjudged import Missing


class MissingOf(Protocol):
    """What tells which mentions are not judged yet; the adapter is UnjudgedMentions."""

    def of_calls(self, call_ids: Collection[str]) -> Sequence[Missing]: ...


class Kept(Protocol):
    """What is kept of calls, as `wiring.Storage` has it."""

    @property
    def results(self) -> Results: ...

    @property
    def unjudged(self) -> MissingOf: ...

    @property
    def reviews(self) -> Reviews: ...


def call_document(kept: Kept, record: CallRecord) -> dict[str, Any]:
    """Everything known of a call, in plain types; what is not made yet is empty."""
    call_id, results = record.call_id, kept.results
    said = results.transcripts(call_id) if Stage.TRANSCRIPTS in record.stages else ()
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
            }
            for transcript in said
        ],
        "segments": [
            {"start_s": s.start_s, "end_s": s.end_s, "speaker": s.speaker, "text": s.text}
            for s in interleave(said)
        ],
        "mentions": _mentions(kept, call_id),
    }


def record_as_json(record: CallRecord) -> dict[str, Any]:
    """A ledger record in plain types."""
    document = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(record).items()
    }
    return document | {"flags": list(record.flags), "stages": [str(s) for s in record.stages]}


def _mentions(kept: Kept, call_id: str) -> list[dict[str, Any]]:
    judged = {
        judgement.mention_id: asdict(judgement) for judgement in kept.results.judgements(call_id)
    }
    missing = {one.mention_id: _missing(one) for one in kept.unjudged.of_calls([call_id])}
    decided = kept.reviews.holding(call_id)
    return [
        asdict(mention)
        | {
            "sentiment": judged.get(mention.mention_id),
            "not_judged": missing.get(mention.mention_id),
            "review": _review(decided.get(mention.mention_id)),
        }
        for mention in kept.results.mentions(call_id)
    ]


def _review(review: Review | None) -> dict[str, Any] | None:
    """What a person decided; not who, which is for those to see who review."""
    if review is None:
        return None
    return {"decision": review.decision, "decided_at": review.decided_at.isoformat()}


def _missing(missing: Missing) -> dict[str, Any]:
    """Why a mention is not judged; without `next_try_at` it is not tried again."""
    next_at = missing.not_before
    return {
        "reason": missing.reason,
        "error_class": missing.error_class,
        "tries": missing.tries,
        "next_try_at": next_at.isoformat() if next_at else None,
    }
