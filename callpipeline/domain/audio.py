"""Recordings and their channels: format, quality flags, talk time, waveforms and WAV layout."""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

WINDOW_S = 0.05
"""Length of the finest waveform window."""
MAX_WINDOWS = 72_000
"""One hour of the finest windows; longer calls get coarser ones. A screen has 4,000 columns."""
MAX_PEAK = 255

SAMPLE_BYTES = 2
MAX_UINT32 = 0xFFFF_FFFF
"""Largest size in a WAV header; larger files are RF64 (EBU Tech 3306)."""
PCM = 1


MAX_CHANNELS = 32
"""Channels of a recording, over all its tracks; no recorder of calls writes more."""
_NUMBER = re.compile(r"[1-9]\d?", re.ASCII)


class Channel(StrEnum):
    """A channel of a recording; a mono recording has the single channel MIXED.

    Where sound is on more than two channels, they are named by their numbers: `Channel("3")`.
    """

    LEFT = "left"
    RIGHT = "right"
    MIXED = "mixed"

    @classmethod
    def _missing_(cls, value: object) -> "Channel | None":
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            return None
        numbered = str.__new__(cls, value)
        numbered._name_, numbered._value_ = value, value
        # Kept, so that a channel is the same object wherever it comes from.
        known = cls._value2member_map_.setdefault(value, numbered)
        assert isinstance(known, cls)
        return known

    @property
    def position(self) -> int:
        """Return the place of the channel in its recording, for sorting."""
        named = (Channel.LEFT, Channel.RIGHT, Channel.MIXED)
        return named.index(self) if self in named else int(self.value) + len(named)


class Speaker(StrEnum):
    """The role of the speaker on a channel; UNKNOWN if both speakers share it."""

    AGENT = "agent"
    CUSTOMER = "customer"
    UNKNOWN = "unknown"


class Flag(StrEnum):
    """A defect that makes the results of a recording less reliable."""

    MONO = "mono"
    FAKE_STEREO = "fake_stereo"
    EXTRA_CHANNELS = "extra_channels"
    SILENT = "silent"
    CLIPPED = "clipped"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    REPAIRED_TRANSCRIPT = "repaired_transcript"
    UNREADABLE_TRANSCRIPT = "unreadable_transcript"
    UNREADABLE_METADATA = "unreadable_metadata"
    GAPS = "gaps"
    UNREAD = "unread"
    CROSSTALK = "crosstalk"


@dataclass(frozen=True, slots=True)
class QualityFlag:
    """A flag and its explanation; `channel` is None if it concerns the whole recording."""

    flag: Flag
    detail: str
    channel: Channel | None = None


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A time range in seconds from the start of the call."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format found by decoding a recording, whatever its name or header claims."""

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

    `rms_dbfs` is the loudness of the whole channel (−120 for digital silence), `speech` the
    intervals of detected speech.
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
    """A recording split into channels, with its format and quality flags."""

    format: AudioFormat
    channels: tuple[ChannelAudio, ...]
    flags: tuple[QualityFlag, ...] = ()


def speaker_of(channel: Channel, agent_channel: str) -> Speaker:
    """Return the role on `channel` if the agent is on `agent_channel` ("left" or "right").

    Of numbered channels, the first two have the roles of left and right; others are unknown.
    """
    side = {"1": "left", "2": "right"}.get(channel.value, channel.value)
    if side not in ("left", "right"):
        return Speaker.UNKNOWN
    return Speaker.AGENT if side == agent_channel else Speaker.CUSTOMER


def merge_intervals(intervals: Iterable[Interval], gap_s: float = 0.0) -> tuple[Interval, ...]:
    """Join intervals that overlap or lie at most `gap_s` apart, in chronological order."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start_s - merged[-1].end_s <= gap_s:
            last = merged[-1]
            merged[-1] = Interval(last.start_s, max(last.end_s, interval.end_s))
        else:
            merged.append(interval)
    return tuple(merged)


def subtract_intervals(
    whole: Iterable[Interval], holes: Iterable[Interval]
) -> tuple[Interval, ...]:
    """Return what remains of the intervals without the holes, in chronological order."""
    cut = merge_intervals(holes)
    remaining: list[Interval] = []
    for interval in merge_intervals(whole):
        start_s = interval.start_s
        for hole in cut:
            if hole.end_s <= start_s or hole.start_s >= interval.end_s:
                continue
            if hole.start_s > start_s:
                remaining.append(Interval(start_s, hole.start_s))
            start_s = max(start_s, hole.end_s)
        if start_s < interval.end_s:
            remaining.append(Interval(start_s, interval.end_s))
    return tuple(remaining)


def overlap_s(one: Iterable[Interval], other: Iterable[Interval]) -> float:
    """Return the seconds covered by both; each argument must be merged already."""
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


@dataclass(frozen=True, slots=True)
class CallMetrics:
    """Talk time, silence and overlap of a call; the figures depend on `speech_detector`.

    `unknown_talk_s` is the speech in a mono recording, whose speakers are not distinguished.
    """

    duration_s: float
    agent_talk_s: float
    customer_talk_s: float
    unknown_talk_s: float
    silence_s: float
    longest_silence_s: float
    overlap_s: float
    speech_detector: str


def compute_metrics(
    duration_s: float, channels: tuple[ChannelAudio, ...], speech_detector: str
) -> CallMetrics:
    """Compute the metrics of a call from the speech detected on its channels."""
    speech = {
        speaker: merge_intervals(
            each for channel in channels if channel.speaker is speaker for each in channel.speech
        )
        for speaker in Speaker
    }
    all_speech = merge_intervals(interval for channel in channels for interval in channel.speech)
    agent, customer = speech.get(Speaker.AGENT, ()), speech.get(Speaker.CUSTOMER, ())
    return CallMetrics(
        duration_s=duration_s,
        agent_talk_s=_total(agent),
        customer_talk_s=_total(customer),
        unknown_talk_s=_total(speech.get(Speaker.UNKNOWN, ())),
        silence_s=max(0.0, duration_s - _total(all_speech)),
        longest_silence_s=_longest_gap(all_speech, duration_s),
        overlap_s=overlap_s(agent, customer),
        speech_detector=speech_detector,
    )


def _total(intervals: tuple[Interval, ...]) -> float:
    return sum(interval.duration_s for interval in intervals)


def _longest_gap(speech: tuple[Interval, ...], duration_s: float) -> float:
    edges = (Interval(0.0, 0.0), *speech, Interval(duration_s, duration_s))
    return max(0.0, *(later.start_s - earlier.end_s for earlier, later in pairwise(edges)))


@dataclass(frozen=True, slots=True)
class Peaks:
    """A channel's waveform: the peak amplitude of each window, as bytes from 0 to `MAX_PEAK`.

    `sha256` is that of the FLAC file that was measured.
    """

    window_s: float
    maxima: bytes
    sha256: str

    @property
    def duration_s(self) -> float:
        """Return the end of the last window, which may exceed that of the audio."""
        return len(self.maxima) * self.window_s


def window_samples(sample_count: int, sample_rate_hz: int) -> int:
    """Return the samples per window, so that no call has more than `MAX_WINDOWS`."""
    finest = max(1, round(sample_rate_hz * WINDOW_S))
    return max(finest, -(-sample_count // MAX_WINDOWS))


@dataclass(frozen=True, slots=True)
class WavLayout:
    """A 16-bit PCM WAV file: its header and size, for serving byte ranges.

    It has `frames` samples of each of its `channels`.
    """

    frames: int
    channels: int
    sample_rate_hz: int

    @property
    def frame_bytes(self) -> int:
        return SAMPLE_BYTES * self.channels

    @property
    def data_bytes(self) -> int:
        return self.frames * self.frame_bytes

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate_hz

    @property
    def size_bytes(self) -> int:
        return len(self.header()) + self.data_bytes

    def header(self) -> bytes:
        """Return the bytes before the samples."""
        rate = self.sample_rate_hz
        byte_rate = rate * self.frame_bytes
        format_chunk = struct.pack(
            "<4sIHHIIHH", b"fmt ", 16, PCM, self.channels, rate, byte_rate, self.frame_bytes, 16
        )
        riff_bytes = 4 + len(format_chunk) + 8 + self.data_bytes
        if riff_bytes <= MAX_UINT32:
            riff = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
            return riff + format_chunk + struct.pack("<4sI", b"data", self.data_bytes)
        sizes = struct.pack(
            "<4sIQQQI", b"ds64", 28, riff_bytes + 36, self.data_bytes, self.frames, 0
        )
        riff = struct.pack("<4sI4s", b"RF64", MAX_UINT32, b"WAVE")
        return riff + sizes + format_chunk + struct.pack("<4sI", b"data", MAX_UINT32)
