"""Domain values as rows of our tables, and back."""

from dataclasses import asdict, fields

from psycopg.types.json import Jsonb

from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    ChannelAudio,
    Flag,
    Interval,
    QualityFlag,
    Speaker,
    SplitRecording,
)
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcript import Segment, Transcript
from callpipeline.storage import keys
from callpipeline.storage.database import Row


def of_recording(call_id: str, split: SplitRecording) -> Row:
    flags = [asdict(flag) for flag in split.flags]
    return {"call_id": call_id, **asdict(split.format), "flags": Jsonb(flags)}


def of_channel(call_id: str, channel: ChannelAudio) -> Row:
    speech = [[interval.start_s, interval.end_s] for interval in channel.speech]
    object_key = keys.channel_audio(call_id, channel.channel)
    described = {"object_key": object_key, "speech": Jsonb(speech)}
    return {"call_id": call_id, **asdict(channel), **described}


def to_split(recording: Row, channels: list[Row]) -> SplitRecording:
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


def of_metrics(call_id: str, metrics: CallMetrics) -> Row:
    return {"call_id": call_id, **asdict(metrics)}


def of_transcript(call_id: str, transcript: Transcript) -> Row:
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
    }


def of_segment(call_id: str, segment: Segment) -> Row:
    return {
        "call_id": call_id,
        "channel": segment.channel,
        "segment_index": segment.index,
        "speaker": segment.speaker,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "text": segment.text,
    }


def of_mention(call_id: str, mention: Mention) -> Row:
    """As the rules found it: what people decided is applied to it afterwards."""
    known = {"call_id": call_id, "mention_id": mention.mention_id, **asdict(mention)}
    return known | {"found_status": None, "found_reason": None}


def to_mention(row: Row) -> Mention:
    facts: Row = {field.name: row[field.name] for field in fields(Mention)}
    typed: Row = {
        "channel": Channel(row["channel"]),
        "speaker": Speaker(row["speaker"]),
        "status": MentionStatus(row["status"]),
    }
    return Mention(**(facts | typed))


def of_judgement(call_id: str, judgement: Judgement) -> Row:
    return {"call_id": call_id, **asdict(judgement)}


def to_judgement(row: Row) -> Judgement:
    facts: Row = {field.name: row[field.name] for field in fields(Judgement)}
    typed: Row = {"sentiment": Sentiment(row["sentiment"])}
    return Judgement(**(facts | typed))
