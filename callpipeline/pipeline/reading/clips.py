"""Clips: a few seconds of a call's audio, to play in a list or to download as WAV or MP3."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from callpipeline.domain.audio import WavLayout
from callpipeline.errors import MissingObject
from callpipeline.pipeline.reading.playback import Playback, open_playback
from callpipeline.storage.ports.results import CallAudioReader

AROUND_S = 8.0
"""Seconds of a clip before and after what it is about."""
MAX_CLIP_S = 120.0
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


class ClipFormat(StrEnum):
    """File formats of clips."""

    WAV = "wav"
    MP3 = "mp3"

    @property
    def media_type(self) -> str:
        return {ClipFormat.WAV: "audio/wav", ClipFormat.MP3: "audio/mpeg"}[self]


@dataclass(frozen=True, slots=True)
class Clip:
    """Part of a playback: `frames` samples of each channel, beginning with sample `first`."""

    playback: Playback
    first: int
    frames: int

    @property
    def etag(self) -> str:
        return f"{self.playback.etag}-{self.first}-{self.frames}"

    @property
    def wav(self) -> WavLayout:
        whole = self.playback.wav
        return WavLayout(self.frames, whole.channels, whole.sample_rate_hz)

    def content(self, format: ClipFormat) -> bytes:
        """Return the whole file. Raises MissingObject or StoreUnavailable."""
        if format is ClipFormat.WAV:
            return self.wav.header() + b"".join(self._samples())
        from callpipeline.pipeline.reading.pcm import encode_mp3  # takes 0.2 s

        return encode_mp3(b"".join(self._samples()), self.wav, MP3_RATES_HZ)

    def _samples(self) -> Iterator[bytes]:
        whole = self.playback.wav
        header = len(whole.header())
        start = header + self.first * whole.frame_bytes
        return self.playback.blocks(start, start + self.frames * whole.frame_bytes)


def open_clip(audio: CallAudioReader, call_id: str, start_s: float, end_s: float) -> Clip:
    """Open the part of a call between two times, cut at the end of the call.

    Raises MissingObject, also if the call is over before `start_s`.
    """
    playback = open_playback(audio, call_id)
    rate, frames = playback.wav.sample_rate_hz, playback.wav.frames
    first, last = round(start_s * rate), min(frames, round(end_s * rate))
    if first >= last:
        raise MissingObject(f"Call {call_id} has no audio between these times.")
    return Clip(playback, first, last - first)


def clip_times(start_s: float, end_s: float) -> tuple[float, float]:
    """Return the times of a clip around a moment, rounded so that its URL is short."""
    first = max(0.0, start_s - AROUND_S)
    return round(first, 1), round(min(end_s + AROUND_S, first + MAX_CLIP_S), 1)
