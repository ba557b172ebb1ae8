"""Playback of a call: a virtual WAV file, read by byte ranges, and its waveform.

Browsers seek in WAV by byte ranges, which map to samples by arithmetic; in FLAC or MP3 they would
have to guess. No audio is stored twice, and only the requested range is decoded.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from callpipeline.domain.audio import Channel, ChannelAudio, Peaks, WavLayout
from callpipeline.engines.ports import PeakMeter
from callpipeline.errors import MissingObject
from callpipeline.storage.ports.results import CallAudioReader, CallAudioStore

VERSION = 1
"""Version of the conversion; a change invalidates the copies that browsers have cached."""


@dataclass(frozen=True, slots=True)
class Playback:
    """The audio of a call, or one channel as mono.

    It has the length of the longest channel and the highest sample rate of all. `etag` changes with
    any of its bytes.
    """

    call_id: str
    channels: tuple[ChannelAudio, ...]
    wav: WavLayout
    audio: CallAudioReader

    @property
    def size_bytes(self) -> int:
        return self.wav.size_bytes

    @property
    def duration_s(self) -> float:
        return self.wav.duration_s

    @property
    def etag(self) -> str:
        parts = [VERSION, *((each.channel, each.sha256) for each in self.channels)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end`, in blocks of 64 KB at most.

        Raises MissingObject or StoreUnavailable, if possible before the first block.
        """
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        header = self.wav.header()
        if start < min(end, len(header)):
            yield header[start : min(end, len(header))]
        first, last = max(0, start - len(header)), end - len(header)
        if first < last:
            yield from self._pcm_bytes(first, last)

    def _pcm_bytes(self, first: int, last: int) -> Iterator[bytes]:
        from callpipeline.pipeline.reading.pcm import read_pcm

        files = [self.audio.open_channel(self.call_id, each.channel) for each in self.channels]
        yield from read_pcm(files, self.wav, first, last)


def open_playback(audio: CallAudioReader, call_id: str, only: Channel | None = None) -> Playback:
    """Open the audio of a call, or of one channel. Raises MissingObject.

    Costs a query, and a request per object.
    """
    split = audio.split_recording(call_id)
    channels = tuple(c for c in _in_order(split.channels) if only in (None, c.channel))
    if not channels:
        raise MissingObject(f"Call {call_id} has no channel {only}.")
    for each in channels:
        audio.open_channel(call_id, each.channel).close()
    return Playback(call_id, channels, wav_layout(channels), audio)


def wav_layout(channels: Sequence[ChannelAudio]) -> WavLayout:
    """Return the layout of a WAV file with these channels."""
    rate_hz = max(each.sample_rate_hz for each in channels)
    return WavLayout(max(_frames(each, rate_hz) for each in channels), len(channels), rate_hz)


def _frames(channel: ChannelAudio, rate_hz: int) -> int:
    """Return the number of samples of a channel at a given rate."""
    own = round(channel.duration_s * channel.sample_rate_hz)
    return -(-own * rate_hz // channel.sample_rate_hz)


def _in_order(channels: Sequence[ChannelAudio]) -> list[ChannelAudio]:
    return sorted(channels, key=lambda each: each.channel.position)


@dataclass(frozen=True, slots=True)
class WaveformChannel:
    """One channel of a waveform; `is_stored` is False if it was measured just now."""

    channel: ChannelAudio
    peaks: Peaks
    is_stored: bool


def waveform(
    audio: CallAudioStore, call_id: str, measure: PeakMeter, *, workspace: Path | None = None
) -> Sequence[WaveformChannel]:
    """Return the waveform of each channel; missing ones are measured and stored.

    Measuring takes about a second per hour of a channel. Raises MissingObject.
    """
    channels = _in_order(audio.split_recording(call_id).channels)
    waveforms = [_channel_waveform(audio, call_id, each, measure, workspace) for each in channels]
    measured = {each.channel.channel: each.peaks for each in waveforms if not each.is_stored}
    if measured:
        audio.save_peaks(call_id, measured)
    return waveforms


def _channel_waveform(
    audio: CallAudioStore,
    call_id: str,
    channel: ChannelAudio,
    measure: PeakMeter,
    workspace: Path | None,
) -> WaveformChannel:
    if stored := audio.peaks(call_id, channel.channel, channel.sha256):
        return WaveformChannel(channel, stored, is_stored=True)
    with TemporaryDirectory(dir=workspace) as folder:
        copy = Path(folder) / "channel.flac"
        audio.fetch(call_id, channel.channel, copy)
        return WaveformChannel(channel, measure(copy, channel.sha256), is_stored=False)
