"""Everything about a single call. The words of its transcripts are in the object store."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from callpipeline.domain.audio import CallMetrics, Channel, Interval, Speaker
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.calls.legacy import (
    IMPORTED_BUCKET,
    OldTranscriptPath,
    call_of_uuid,
    is_uuid,
)
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.domain.transcripts import Segment
from callpipeline.storage.ports.calls import CallSummary, ChannelObjects, OldTranscript
from callpipeline.storage.ports.results import MentionDetail
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.results.serialization import (
    mention_from_row,
    transcript_from_json,
    transcript_to_old_json,
)

DELETABLE_STAGES = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
"""Stages whose results retention deletes while the call stays."""
_TRANSCRIPT = re.compile(r"calls/(\d{4}-\d\d-\d\d-[0-9a-f]{12})/transcript\.\w+\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stored stage; `took_s` is seconds of work."""

    stage: Stage
    stored_at: datetime
    engine: str | None
    took_s: float
    catalog_version: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class ChannelDetail(ChannelObjects):
    """A channel and its transcript, whose fields are None until it is stored."""

    sample_rate_hz: int
    duration_s: float
    rms_dbfs: float
    speech: tuple[Interval, ...]
    engine: str | None
    language: str | None
    word_count: int | None
    confidence: float | None
    is_reliable: bool | None
    unheard_s: float | None


@dataclass(frozen=True, slots=True)
class SentimentResult:
    """A judged mention in the shape of the API (`sentiment_results[]` of a job)."""

    id: str
    job_id: str
    competitor_name: str
    segment_text: str
    sentiment: str
    detection_method: str
    detection_details: str
    segment_id: int
    start_time: float
    end_time: float
    context: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class CallDetail(CallSummary):
    """A call with its recording's format, its stages, channels and mentions."""

    channels: tuple[ChannelDetail, ...]
    size_bytes: int
    container: str | None
    codec: str | None
    sample_rate_hz: int | None
    channel_count: int | None
    metrics: CallMetrics | None
    stage_records: tuple[StageRecord, ...]
    mentions: tuple[MentionDetail, ...]

    @property
    def sentiment_results(self) -> tuple[SentimentResult, ...]:
        """Return the judged mentions in the shape of the API, in order of time."""
        return _sentiment_results(self.call_id, self.mentions, self.stage_records)


def load_detail(database: Database, summary: CallSummary) -> CallDetail | None:
    """Add the details of a call to its summary; return None if it was deleted meanwhile."""
    call = {"call_id": summary.call_id}
    rows = database.rows("reading/call_detail", call)
    if not rows:
        return None
    metrics = database.rows("reading/metrics_of_call", call)
    channels = database.rows("reading/list_channels", {"call_ids": [summary.call_id]})
    known = {field.name: getattr(summary, field.name) for field in fields(CallSummary)}
    details: Row = {
        "channels": tuple(map(_channel, channels)),
        "metrics": CallMetrics(**metrics[0]) if metrics else None,
        "stage_records": _stage_records(database, summary.call_id),
        "mentions": _mentions(database, summary.call_id),
    }
    return CallDetail(**(known | rows[0] | details))


def load_deletions(database: Database, call_id: str) -> dict[Stage, datetime]:
    """Return when stages were deleted since they were last stored; others are left out."""
    deleted: dict[Stage, datetime] = {}
    for stage in DELETABLE_STAGES:
        [row] = database.rows("erasure/deleted_on", {"call_id": call_id, "what": stage})
        if row["at"]:
            deleted[stage] = row["at"]
    return deleted


def load_segments(database: Database, call_id: str) -> tuple[Segment, ...]:
    """Return the segments of all channels in order of time, without words."""
    rows = database.rows("reading/segments", {"call_id": call_id})
    return tuple(
        Segment(
            index=row["segment_index"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            channel=Channel(row["channel"]),
            speaker=Speaker(row["speaker"]),
            text=row["text"],
            voice=row["voice"],
            voice_confidence=row["voice_confidence"],
        )
        for row in rows
    )


def load_sentiment_results(
    database: Database, call_ids: Sequence[str]
) -> dict[str, tuple[SentimentResult, ...]]:
    """Return the judged mentions of calls in the shape of the API, by call."""
    return {
        call_id: _sentiment_results(
            call_id, _mentions(database, call_id), _stage_records(database, call_id)
        )
        for call_id in call_ids
    }


def mention_detail(row: Row) -> MentionDetail:
    """Return a mention from the columns of `reading/mention_columns`."""
    added: Row = {field.name: row.get(field.name) for field in fields(MentionDetail)}
    judged = row.get("judged_sentiment")
    typed: Row = {
        "mention": mention_from_row(row),
        "sentiment": Sentiment(row["sentiment"]) if row["sentiment"] else None,
        "switching": SwitchingIntent(row["switching"]) if row["switching"] else None,
        "judged_sentiment": Sentiment(judged) if judged else None,
    }
    return MentionDetail(**(added | typed))


class StoredTranscripts:
    """Objects of the store that are transcripts of calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, key: str) -> bool:
        """Return true if the object is a transcript of a call that is not erased."""
        match = _TRANSCRIPT.fullmatch(key)
        if not match:
            return False
        [row] = self._database.rows("reading/is_transcript", {"call_id": match[1], "key": key})
        return row["is_transcript"]

    def call_of_job(self, job_id: str) -> str | None:
        """Return the call with this UUID; None if the text is no UUID, or no call can have it."""
        if (call_id := call_of_uuid(job_id)) or not is_uuid(job_id):
            return call_id
        job = {"imported": IMPORTED_BUCKET, "job": job_id.lower()}
        rows = self._database.rows("reading/imported_call", job)
        return rows[0]["call_id"] if rows else None

    def find_old(self, path: OldTranscriptPath) -> OldTranscript | None:
        """Return the transcript at a path of the old system, if a call has one there."""
        call_id = self.call_of_job(path.job_uuid)
        return (
            next(iter(self.list_old(str(path), limit=1, call_id=call_id)), None)
            if call_id
            else None
        )

    @staticmethod
    def in_old_format(document: bytes) -> bytes:
        """Return a stored transcript in the format of the old system. Raises TranscriptInvalid."""
        return transcript_to_old_json(transcript_from_json(document))

    def list_old(
        self,
        prefix: str = "",
        after: str | None = None,
        *,
        limit: int,
        call_id: str | None = None,
        newest: bool = False,
    ) -> list[OldTranscript]:
        """Return transcripts whose paths in the old system start with `prefix`.

        They are in the order of their paths, or the newest first. `call_id` limits them to a call.
        """
        wanted = {"imported": IMPORTED_BUCKET, "prefix": prefix, "after": after, "newest": newest}
        rows = self._database.rows(
            "reading/old_transcripts", wanted | {"limit": limit, "call_id": call_id}
        )
        return [OldTranscript(r["path"], r["object_key"], r["stored_at"]) for r in rows]


def _mentions(database: Database, call_id: str) -> tuple[MentionDetail, ...]:
    rows = database.rows("reading/mentions_of_call", {"call_id": call_id})
    return tuple(map(mention_detail, rows))


def _stage_records(database: Database, call_id: str) -> tuple[StageRecord, ...]:
    rows = database.rows("reading/stages_of_call", {"call_id": call_id})
    return tuple(map(_stage_record, rows))


def _stage_record(row: Row) -> StageRecord:
    typed: Row = {"stage": Stage(row["stage"])}
    return StageRecord(**(row | typed))


def _channel(row: Row) -> ChannelDetail:
    facts: Row = {field.name: row[field.name] for field in fields(ChannelDetail)}
    typed: Row = {
        "channel": Channel(row["channel"]),
        "speaker": Speaker(row["speaker"]),
        "speech": tuple(Interval(*edges) for edges in row["speech"]),
    }
    return ChannelDetail(**(facts | typed))


def _sentiment_results(
    call_id: str, mentions: Iterable[MentionDetail], stages: Iterable[StageRecord]
) -> tuple[SentimentResult, ...]:
    stored_at = {record.stage: record.stored_at for record in stages}
    judged_at = stored_at.get(Stage.COMPETITOR_SENTIMENT)
    judged = [each for each in mentions if each.mention.counts and each.sentiment]
    return tuple(_sentiment_result(call_id, each, judged_at) for each in judged)


def _sentiment_result(call_id: str, detail: MentionDetail, at: datetime | None) -> SentimentResult:
    """Use the times of the segment if it is stored, otherwise those of the mention."""
    mention, has_segment = detail.mention, detail.segment_text is not None
    return SentimentResult(
        id=f"{call_id}.{detail.mention_id}",
        job_id=call_id,
        competitor_name=mention.competitor,
        segment_text=detail.segment_text or detail.quote or "",
        sentiment=str(detail.sentiment),
        detection_method=detail.engine or "",
        detection_details=detail.rule or "",
        segment_id=mention.segment_index,
        start_time=detail.segment_start_s or 0.0 if has_segment else mention.start_s,
        end_time=detail.segment_end_s or 0.0 if has_segment else mention.end_s,
        context=mention.competitor,
        created_at=at,
    )
