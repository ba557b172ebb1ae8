"""Conversion of domain values to rows and JSON documents, and back."""

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, fields
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from callpipeline.domain.audio import (
    AudioFormat,
    CallMetrics,
    Channel,
    ChannelAudio,
    Flag,
    Interval,
    Peaks,
    QualityFlag,
    Speaker,
    SplitRecording,
)
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.redaction.masking import MaskedSpan
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.domain.transcripts import Segment, Transcript, Voice
from callpipeline.errors import CatalogInvalid, TranscriptInvalid
from callpipeline.storage.objects import keys
from callpipeline.storage.postgres.database import Row


def recording_row(call_id: str, split: SplitRecording) -> Row:
    flags = [asdict(flag) for flag in split.flags]
    return {"call_id": call_id, **asdict(split.format), "flags": Jsonb(flags)}


def channel_row(call_id: str, channel: ChannelAudio) -> Row:
    speech = [[interval.start_s, interval.end_s] for interval in channel.speech]
    object_key = keys.channel_audio(call_id, channel.channel)
    described = {"object_key": object_key, "speech": Jsonb(speech)}
    return {"call_id": call_id, **asdict(channel), **described}


def split_from_rows(recording: Row, channels: list[Row]) -> SplitRecording:
    facts: Row = {field.name: recording[field.name] for field in fields(AudioFormat)}
    flags = tuple(_flag(flag) for flag in recording["flags"])
    return SplitRecording(AudioFormat(**facts), tuple(map(_channel, channels)), flags)


def _flag(flag: Row) -> QualityFlag:
    channel = flag["channel"]
    return QualityFlag(Flag(flag["flag"]), flag["detail"], Channel(channel) if channel else None)


def _channel(row: Row) -> ChannelAudio:
    facts: Row = {field.name: row[field.name] for field in fields(ChannelAudio)}
    typed: Row = {
        "channel": Channel(row["channel"]),
        "speaker": Speaker(row["speaker"]),
        "speech": tuple(Interval(*edges) for edges in row["speech"]),
    }
    return ChannelAudio(**(facts | typed))


def masked_row(call_id: str, position: int, span: MaskedSpan) -> Row:
    return {"call_id": call_id, "position": position, **asdict(span)}


def masked_span(row: Row) -> MaskedSpan:
    kind, channel = Kind(row["kind"]), Channel(row["channel"])
    return MaskedSpan(row["number"], kind, channel, row["start_s"], row["end_s"])


def metrics_row(call_id: str, metrics: CallMetrics) -> Row:
    return {"call_id": call_id, **asdict(metrics)}


def transcript_row(call_id: str, transcript: Transcript) -> Row:
    return {
        "call_id": call_id,
        "channel": transcript.channel,
        "speaker": transcript.speaker,
        "engine": transcript.engine,
        "language": transcript.language,
        "word_count": transcript.word_count,
        "confidence": transcript.confidence,
        "reliable": transcript.is_reliable,
        "object_key": keys.transcript(call_id, transcript.channel),
        "unheard_s": transcript.unheard_s,
        "flags": Jsonb([asdict(flag) for flag in transcript.flags]),
    }


def segment_row(call_id: str, segment: Segment) -> Row:
    return {
        "call_id": call_id,
        "channel": segment.channel,
        "segment_index": segment.index,
        "speaker": segment.speaker,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "text": segment.text,
        "voice": segment.voice,
        "voice_confidence": segment.voice_confidence,
    }


def voice_row(call_id: str, voice: Voice) -> Row:
    return {
        "call_id": call_id,
        "voice": voice.number,
        "speaker": voice.speaker,
        "talk_s": voice.talk_s,
    }


def mention_row(call_id: str, mention: Mention) -> Row:
    """Return the row of a mention as found by the rules; decisions are applied afterwards."""
    known = {"call_id": call_id, "mention_id": mention.mention_id, **asdict(mention)}
    return known | {"found_status": None, "found_reason": None}


def mention_from_row(row: Row) -> Mention:
    facts: Row = {field.name: row[field.name] for field in fields(Mention)}
    typed: Row = {
        "channel": Channel(row["channel"]),
        "speaker": Speaker(row["speaker"]),
        "status": MentionStatus(row["status"]),
    }
    return Mention(**(facts | typed))


def judgement_row(call_id: str, judgement: Judgement) -> Row:
    return {"call_id": call_id, **asdict(judgement), "judged": None}


def judgement_from_row(row: Row) -> Judgement:
    facts: Row = {field.name: row[field.name] for field in fields(Judgement)}
    switching = row["switching"]
    typed: Row = {
        "sentiment": Sentiment(row["sentiment"]),
        "switching": SwitchingIntent(switching) if switching else None,
    }
    return Judgement(**(facts | typed))


TRANSCRIPT_VERSION = 1
PEAKS_VERSION = 1

_catalog = TypeAdapter(Catalog)


class _Document(BaseModel):
    # Errors must not quote the transcript.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: int
    transcript: Transcript


def transcript_to_json(transcript: Transcript) -> bytes:
    """Return a transcript with its words as stored in the object store."""
    document = _Document(version=TRANSCRIPT_VERSION, transcript=transcript)
    return document.model_dump_json(exclude_defaults=True).encode()


def transcript_from_json(document: bytes) -> Transcript:
    """Parse a stored transcript. Raises TranscriptInvalid."""
    try:
        read = _Document.model_validate_json(document)
    except ValidationError:
        raise TranscriptInvalid(
            "A stored transcript is damaged: materialize transcripts again."
        ) from None
    if read.version != TRANSCRIPT_VERSION:
        raise TranscriptInvalid(
            f"A stored transcript has version {read.version}, but this callpipeline reads "
            f"{TRANSCRIPT_VERSION}: materialize transcripts again."
        )
    return read.transcript


def transcript_to_old_json(transcript: Transcript) -> bytes:
    """Return a transcript in the format of the transcription service, as the old system stored."""
    segments = [
        {
            "id": segment.index,
            "start": segment.start_s,
            "end": segment.end_s,
            "text": segment.text,
            "words": [
                {"word": w.text, "start": w.start_s, "end": w.end_s, "probability": w.confidence}
                for w in segment.words
            ],
        }
        for segment in transcript.segments
    ]
    document = {
        "model": transcript.engine,
        "language": transcript.language,
        "text": " ".join(segment.text for segment in transcript.segments),
        "segments": segments,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def peaks_to_json(peaks: Peaks) -> bytes:
    """Return peaks as stored in the object store: a byte per window, in base64."""
    maxima = b64encode(peaks.maxima).decode()
    known = {"version": PEAKS_VERSION, "window_s": peaks.window_s, "sha256": peaks.sha256}
    return json.dumps(known | {"maxima": maxima}).encode()


def peaks_from_json(document: bytes) -> Peaks | None:
    """Parse stored peaks; return None if invalid, since peaks can be computed again."""
    try:
        read = json.loads(document)
        if read["version"] != PEAKS_VERSION:
            return None
        maxima = b64decode(read["maxima"], validate=True)
        return Peaks(float(read["window_s"]), maxima, str(read["sha256"]))
    except (ValueError, TypeError, KeyError):
        return None


def catalog_to_jsonable(catalog: Catalog) -> Any:
    return _catalog.dump_python(catalog, mode="json")


def catalog_from_jsonable(content: Any) -> Catalog | None:
    """Return a stored catalog; None if it is of a form that is not known any more."""
    try:
        return _catalog.validate_python(content)
    except (ValidationError, CatalogInvalid):
        return None
