"""All that is known of one call, but for the words: those are with the transcripts in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from callpipeline.domain.audio import Channel, Flag, Interval, QualityFlag, Speaker
from callpipeline.domain.call import Stage
from callpipeline.domain.mention import MentionStatus
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.database import Database, Row
from callpipeline.storage.reading.calls import CallRow, of_ids


@dataclass(frozen=True, slots=True)
class StageKept:
    """A stage that is stored; `took_s` is seconds of work."""

    stage: Stage
    stored_at: datetime
    engine: str | None
    took_s: float
    catalog_version: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class ChannelSeen:
    """A channel and its transcript, whose part is None until it is there."""

    channel: Channel
    speaker: Speaker
    sample_rate_hz: int
    duration_s: float
    rms_dbfs: float
    speech: tuple[Interval, ...]
    object_key: str
    transcript_key: str | None
    engine: str | None
    language: str | None
    word_count: int | None
    confidence: float | None
    is_reliable: bool | None


@dataclass(frozen=True, slots=True)
class MentionSeen:
    """A mention with the segment it was said in, and how it is judged, or why it is not.

    Times are seconds from the beginning of the call. `judged_again_at` is None where it is not
    tried by itself any more.
    """

    mention_id: str
    competitor: str
    alias: str
    said: str
    channel: Channel
    speaker: Speaker
    segment_index: int
    char_start: int
    char_end: int
    start_s: float
    end_s: float
    confidence: float | None
    status: MentionStatus
    reason: str
    sentiment: Sentiment | None
    score: float | None
    rule: str | None
    quote: str | None
    engine: str | None
    not_judged_because: str | None
    judged_again_at: datetime | None
    segment_text: str | None
    segment_start_s: float | None
    segment_end_s: float | None

    @property
    def counts(self) -> bool:
        return self.status is MentionStatus.ACCEPTED


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
class CallSeen:
    """One call; `call` is what lists show of it, `metadata` what the recording's name tells."""

    call: CallRow
    metadata: Mapping[str, str]
    size_bytes: int
    attempts: int
    retries: int
    run_id: str | None
    container: str | None
    codec: str | None
    sample_rate_hz: int | None
    channel_count: int | None
    flags: tuple[QualityFlag, ...]
    metrics: CallMetrics | None
    stages: tuple[StageKept, ...]
    channels: tuple[ChannelSeen, ...]
    mentions: tuple[MentionSeen, ...]

    @property
    def sentiment_results(self) -> tuple[SentimentResult, ...]:
        """The judged mentions as the API tells of them, in the order of speech."""
        at = {stage.stage: stage.stored_at for stage in self.stages}
        judged_at = at.get(Stage.COMPETITOR_SENTIMENT)
        judged = (m for m in self.mentions if m.counts and m.sentiment)
        return tuple(_result(self.call.call_id, mention, judged_at) for mention in judged)


def one_call(database: Database, call_id: str) -> CallSeen | None:
    """The call with this very id; None where there is none."""
    calls = of_ids(database, [call_id])
    if not calls:
        return None
    which = {"call_id": call_id}
    details = database.rows("reading/details", which)
    if not details:  # it was deleted meanwhile
        return None
    row = details[0]
    metrics = database.rows("reading/metrics_of", which)
    channels = database.rows("reading/channels_of", {"call_ids": [call_id]})
    plain = ("metadata", "size_bytes", "attempts", "retries", "container", "codec")
    audio = ("sample_rate_hz", "channel_count")
    return CallSeen(
        call=calls[0],
        run_id=row["claimed_by"],
        flags=tuple(_flag(flag) for flag in row["flags"]),
        metrics=CallMetrics(**metrics[0]) if metrics else None,
        stages=tuple(_stage(each) for each in database.rows("reading/stages_of", which)),
        channels=tuple(_channel(each) for each in channels),
        mentions=tuple(_mention(each) for each in database.rows("reading/mentions_of", which)),
        **{name: row[name] for name in (*plain, *audio)},
    )


def sentiment_results(
    database: Database, call_ids: Sequence[str]
) -> dict[str, tuple[SentimentResult, ...]]:
    """The judged mentions of some calls, as the API tells of them, by call."""
    found: dict[str, tuple[SentimentResult, ...]] = {}
    for call_id in call_ids:
        rows = database.rows("reading/mentions_of", {"call_id": call_id})
        kept = database.rows("reading/stages_of", {"call_id": call_id})
        at = {row["stage"]: row["stored_at"] for row in kept}
        judged = [m for m in map(_mention, rows) if m.counts and m.sentiment]
        judged_at = at.get(Stage.COMPETITOR_SENTIMENT)
        found[call_id] = tuple(_result(call_id, mention, judged_at) for mention in judged)
    return found


def _result(call_id: str, mention: MentionSeen, at: datetime | None) -> SentimentResult:
    """The times are those of the segment, as the old service had them; else of the mention."""
    is_there = mention.segment_text is not None
    return SentimentResult(
        id=f"{call_id}.{mention.mention_id}",
        job_id=call_id,
        competitor_name=mention.competitor,
        segment_text=mention.segment_text or mention.quote or "",
        sentiment=str(mention.sentiment),
        detection_method=mention.engine or "",
        detection_details=mention.rule or "",
        segment_id=mention.segment_index,
        start_time=mention.segment_start_s or 0.0 if is_there else mention.start_s,
        end_time=mention.segment_end_s or 0.0 if is_there else mention.end_s,
        context=mention.competitor,
        created_at=at,
    )


def _flag(flag: Row) -> QualityFlag:
    channel = flag["channel"]
    return QualityFlag(Flag(flag["flag"]), flag["detail"], Channel(channel) if channel else None)


def _stage(row: Row) -> StageKept:
    typed: Row = {"stage": Stage(row["stage"])}
    return StageKept(**(row | typed))


def _channel(row: Row) -> ChannelSeen:
    facts: Row = {field.name: row[field.name] for field in fields(ChannelSeen)}
    typed: Row = {"speech": tuple(Interval(*edges) for edges in row["speech"])}
    return ChannelSeen(**(facts | _sides(row) | typed))


def _mention(row: Row) -> MentionSeen:
    sentiment = row["sentiment"]
    typed: Row = {
        "status": MentionStatus(row["status"]),
        "sentiment": Sentiment(sentiment) if sentiment else None,
    }
    return MentionSeen(**(row | _sides(row) | typed))


def _sides(row: Row) -> Row:
    return {"channel": Channel(row["channel"]), "speaker": Speaker(row["speaker"])}
