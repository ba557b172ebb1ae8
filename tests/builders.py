"""Builders of domain values for tests, with sensible defaults."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import (
    AudioFormat,
    CallMetrics,
    Channel,
    ChannelAudio,
    Flag,
    Interval,
    QualityFlag,
    SplitRecording,
    compute_metrics,
    speaker_of,
)
from callpipeline.domain.calls.call import Call, Recording, Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.notifications import EventKind, Severity, wire_type
from callpipeline.domain.sentiment import Judgement, Sentiment, UnjudgedMention
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.notify.ports import CallLink, NotificationMessage
from callpipeline.storage.ports.results import StageWrite

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
    """Build a split recording; by default, two channels that speak in turn."""
    both = (a_channel(Channel.LEFT, (0.0, 4.0)), a_channel(Channel.RIGHT, (5.0, 9.5)))
    used = channels or both
    format = AudioFormat("wav", "pcm_s16le", 8000, len(used), used[0].duration_s, 21.0, 3)
    return SplitRecording(format, used, tuple(flags))


def a_flag(channel: Channel | None = None) -> QualityFlag:
    return QualityFlag(Flag.CLIPPED, "3 % of the samples are clipped", channel)


def channel_files(split: SplitRecording, folder: Path, content: str = "sound of") -> Path:
    """Write a file per channel into a folder, like a splitter."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel in split.channels:
        (folder / f"{channel.channel}.flac").write_text(f"{content} {channel.channel}")
    return folder


def a_segment(text: str, *, index: int = 0, channel: Channel = Channel.LEFT) -> Segment:
    """Build a segment with a word every 0.5 s, starting 10 s after the previous segment."""
    start_s = index * 10.0
    words = tuple(
        Word(word, start_s + n / 2, start_s + n / 2 + 0.4, 0.9)
        for n, word in enumerate(text.split())
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
    status: MentionStatus = MentionStatus.COUNTED,
    reason: str = "unambiguous name",
) -> Mention:
    start_s = segment_index * 10.0 + char_start / 10
    return Mention(
        competitor=competitor,
        alias=competitor,
        text=competitor.lower(),
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
    quote = f"I like {mention.text}"
    return Judgement(
        mention.mention_id, mention.competitor, sentiment, score, "praise", quote, "by hand"
    )


def an_unjudged(mention: Mention, *, transient: bool = True) -> UnjudgedMention:
    kind = "EngineUnavailable" if transient else "UnexpectedError"
    reason = "The judge did not answer."
    return UnjudgedMention(mention.mention_id, mention.competitor, reason, kind, transient)


def some_metrics() -> CallMetrics:
    return compute_metrics(20.0, a_split().channels, "by hand")


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
) -> NotificationMessage:
    links = [
        CallLink(f"2026-03-02-{n:012x}", f"call-{n}.wav", f"http://d/{n}") for n in range(calls)
    ]
    defaults = {
        "notification_id": "6f1c0f6e-5f0a-4b5e-9d43-1a2b3c4d5e6f",
        "thread_id": "1",
        "type": wire_type(kind, {}),
        "context": ("At 2026-03-02 09:30:00 UTC.", "What to do about it."),
        "at": A_MONDAY,
        "calls": tuple(links),
        "call_count": calls,
    }
    return NotificationMessage(kind=kind, severity=severity, title=title, **defaults | other)
