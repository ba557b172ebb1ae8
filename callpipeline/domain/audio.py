"""Channels, what is wrong with a recording, and where speech is in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """A side of the recording; a mono recording has the one channel MIXED."""

    LEFT = "left"
    RIGHT = "right"
    MIXED = "mixed"


class Speaker(StrEnum):
    """Who speaks on a channel; UNKNOWN where both share one."""

    AGENT = "agent"
    CUSTOMER = "customer"
    UNKNOWN = "unknown"


class Flag(StrEnum):
    """What a person should know about a recording before trusting its results."""

    MONO = "mono"
    FAKE_STEREO = "fake_stereo"
    EXTRA_CHANNELS = "extra_channels"
    SILENT = "silent"
    CLIPPED = "clipped"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class QualityFlag:
    """A flag with the sentence that explains it; `channel` is None where it is of the whole."""

    flag: Flag
    detail: str
    channel: Channel | None = None


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time in seconds from the start of the call."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the recording is, as found by decoding it (not as its name or header claims)."""

    container: str
    codec: str
    sample_rate_hz: int
    channel_count: int
    duration_s: float
    declared_duration_s: float | None = None
    bad_packets: int = 0


@dataclass(frozen=True, slots=True)
class ChannelAudio:
    """One channel, decoded: mono 16-bit FLAC at the recording's own rate.

    `rms_dbfs` is the loudness of the whole channel (−120 for digital silence), `speech` where a
    voice was found.
    """

    channel: Channel
    speaker: Speaker
    sample_rate_hz: int
    duration_s: float
    rms_dbfs: float
    size_bytes: int
    sha256: str
    speech: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitRecording:
    """A recording taken apart: its format, its channels and what is wrong with it."""

    format: AudioFormat
    channels: tuple[ChannelAudio, ...]
    flags: tuple[QualityFlag, ...] = ()


def speaker_of(channel: Channel, agent_channel: str) -> Speaker:
    """Who speaks on `channel` when the agent is on `agent_channel` ("left" or "right")."""
    if channel is Channel.MIXED:
        return Speaker.UNKNOWN
    return Speaker.AGENT if channel.value == agent_channel else Speaker.CUSTOMER


def merge(intervals: Iterable[Interval], gap_s: float = 0.0) -> tuple[Interval, ...]:
    """Join intervals that overlap or lie at most `gap_s` apart, in order of time."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start_s - merged[-1].end_s <= gap_s:
            last = merged[-1]
            merged[-1] = Interval(last.start_s, max(last.end_s, interval.end_s))
        else:
            merged.append(interval)
    return tuple(merged)


def overlap_s(one: Iterable[Interval], other: Iterable[Interval]) -> float:
    """Seconds in which both hold; each side must be merged."""
    left, right = list(one), list(other)
    total, i, j = 0.0, 0, 0
    while i < len(left) and j < len(right):
        total += max(
            0.0, min(left[i].end_s, right[j].end_s) - max(left[i].start_s, right[j].start_s)
        )
        if left[i].end_s <= right[j].end_s:
            i += 1
        else:
            j += 1
    return total
