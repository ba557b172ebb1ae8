"""Small domain values for tests: each has a sensible default for all that a test does not say."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    ChannelAudio,
    Flag,
    Interval,
    QualityFlag,
    SplitRecording,
    speaker_of,
)
from callpipeline.domain.call import Call, Recording, Stage
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.metrics import CallMetrics, measure
from callpipeline.domain.notification import EventKind, Severity, wire_type
from callpipeline.domain.sentiment import Judgement, Sentiment, Unjudged
from callpipeline.domain.transcript import Segment, Transcript, Word
from callpipeline.notify.message import CallLine, Message
from callpipeline.storage.ports import StageWrite

A_MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CATALOG = Catalog((Competitor("Vodafone"), Competitor("Sky", ambiguous=True)))


def a_recording(
    key: str = "call.wav",
    *,
    bucket: str = "recordings",
    etag: str = "1-abc",
    size_bytes: int = 1000,
    last_modified: datetime = A_MONDAY,
) -> Recording:
    return Recording(bucket, key, etag, size_bytes, last_modified)


def a_call(recording: Recording | None = None, *, done: Sequence[Stage] = ()) -> Call:
    recording = recording or a_recording()
    return Call(recording.call_id, recording, "left", frozenset(done))


def a_channel(
    channel: Channel = Channel.LEFT, *speech: tuple[float, float], duration_s: float = 20.0
) -> ChannelAudio:
    return ChannelAudio(
        channel=channel,
        speaker=speaker_of(channel, "left"),
        sample_rate_hz=8000,
        duration_s=duration_s,
        rms_dbfs=-23.5,
        size_bytes=4321,
        sha256="ab" * 32,
        speech=tuple(Interval(*edges) for edges in speech),
    )


def a_split(*channels: ChannelAudio, flags: Sequence[QualityFlag] = ()) -> SplitRecording:
    """Two channels that speak in turn, unless others are given."""
    both = (a_channel(Channel.LEFT, (0.0, 4.0)), a_channel(Channel.RIGHT, (5.0, 9.5)))
    taken = channels or both
    facts = AudioFormat("wav", "pcm_s16le", 8000, len(taken), taken[0].duration_s, 21.0, 3)
    return SplitRecording(facts, taken, tuple(flags))


def a_flag(channel: Channel | None = None) -> QualityFlag:
    return QualityFlag(Flag.CLIPPED, "3 % of the samples are clipped", channel)


def channel_files(split: SplitRecording, folder: Path, content: str = "sound of") -> Path:
    """A folder with a file for each channel, as a splitter leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel in split.channels:
        (folder / f"{channel.channel}.flac").write_text(f"{content} {channel.channel}")
    return folder


def a_segment(text: str, *, index: int = 0, channel: Channel = Channel.LEFT) -> Segment:
    """Words half a second apart; each segment begins ten seconds after the one before."""
    start_s = index * 10.0
    words = tuple(
        Word(word, start_s + place / 2, start_s + place / 2 + 0.4, 0.9)
        for place, word in enumerate(text.split())
    )
    end_s = words[-1].end_s if words else start_s
    return Segment(index, start_s, end_s, channel, speaker_of(channel, "left"), text, words)


def a_transcript(
    *texts: str, channel: Channel = Channel.LEFT, engine: str = "by hand"
) -> Transcript:
    segments = tuple(a_segment(t, index=i, channel=channel) for i, t in enumerate(texts))
    return Transcript(channel, speaker_of(channel, "left"), engine, segments)


def a_mention(
    competitor: str = "Vodafone",
    *,
    segment_index: int = 0,
    char_start: int = 5,
    channel: Channel = Channel.RIGHT,
    status: MentionStatus = MentionStatus.ACCEPTED,
    reason: str = "unambiguous name",
) -> Mention:
    start_s = segment_index * 10.0 + char_start / 10
    return Mention(
        competitor=competitor,
        alias=competitor,
        said=competitor.lower(),
        channel=channel,
        speaker=speaker_of(channel, "left"),
        segment_index=segment_index,
        char_start=char_start,
        char_end=char_start + len(competitor),
        start_s=start_s,
        end_s=start_s + 0.6,
        confidence=0.8,
        status=status,
        reason=reason,
    )


def a_judgement(mention: Mention, sentiment: Sentiment = Sentiment.POSITIVE) -> Judgement:
    score = {Sentiment.POSITIVE: 0.7, Sentiment.NEGATIVE: -0.7}.get(sentiment, 0.0)
    quote = f"I like {mention.said}"
    return Judgement(
        mention.mention_id, mention.competitor, sentiment, score, "praise", quote, "by hand"
    )


def an_unjudged(mention: Mention, *, transient: bool = True) -> Unjudged:
    kind = "EngineUnavailable" if transient else "UnexpectedError"
    reason = "The judge did not answer."
    return Unjudged(mention.mention_id, mention.competitor, reason, kind, transient)


def some_metrics() -> CallMetrics:
    return measure(20.0, a_split().channels, "by hand")


def a_write(
    call_id: str, stage: Stage, run_id: str = "run-1", *, catalog: Catalog | None = None
) -> StageWrite:
    return StageWrite(call_id, run_id, stage, 0.25, "by hand", catalog.version if catalog else None)


def a_message(
    *,
    title: str = "A call failed at transcripts (EngineUnavailable)",
    calls: int = 1,
    kind: EventKind = EventKind.CALL_FAILED,
    severity: Severity = Severity.ERROR,
    **other: Any,
) -> Message:
    lines = [
        CallLine(f"2026-03-02-{n:012x}", f"call-{n}.wav", f"http://d/{n}") for n in range(calls)
    ]
    known = {
        "notification_id": "6f1c0f6e-5f0a-4b5e-9d43-1a2b3c4d5e6f",
        "thread_id": "1",
        "type": wire_type(kind, {}),
        "context": ("At 2026-03-02 09:30:00 UTC.", "What to do about it."),
        "at": A_MONDAY,
        "calls": tuple(lines),
        "call_count": calls,
    }
    return Message(kind=kind, severity=severity, title=title, **known | other)
