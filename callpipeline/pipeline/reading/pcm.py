"""PCM samples of channels from any position, resampled to one rate.

Imports numpy and soundfile: import this module on first use.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from callpipeline.domain.audio import WavLayout
from callpipeline.errors import MissingObject
from callpipeline.storage.ports.results import SeekableAudio

BLOCK_FRAMES = 16_384
Samples = NDArray[np.int16]


class Track:
    """The samples of one channel, a mono FLAC file, at `rate_hz`.

    A file with another rate is interpolated linearly: enough for speech, and the result does not
    depend on the requested range.
    """

    def __init__(self, file: SeekableAudio, rate_hz: int) -> None:
        self._file = file
        try:
            self._sound = soundfile.SoundFile(file)  # pyright: ignore[reportArgumentType]
        except soundfile.LibsndfileError:
            raise self._broken() from None
        self._own_hz, self._rate_hz = self._sound.samplerate, rate_hz
        self._length = self._sound.frames
        self._at = 0

    def close(self) -> None:
        self._sound.close()
        self._file.close()

    def samples(self, first: int, count: int) -> Samples:
        """Return `count` samples from `first` on; silence after the end."""
        if self._own_hz == self._rate_hz:
            return self._own(first, count)
        positions = np.arange(first, first + count, dtype=np.int64) * self._own_hz
        before, part = positions // self._rate_hz, positions % self._rate_hz / self._rate_hz
        start = int(before[0])
        own = self._own(start, int(before[-1]) - start + 2).astype(np.float64)
        left, right = own[before - start], own[before - start + 1]
        mixed = np.rint(left + (right - left) * part).astype(np.int16)
        mixed[before >= self._length] = 0
        return mixed

    def _own(self, first: int, count: int) -> Samples:
        """Return samples at the rate of the file."""
        samples = np.zeros(count, np.int16)
        wanted = min(count, self._length - first)
        if wanted > 0:
            samples[:wanted] = self._read(first, wanted)
        return samples

    def _read(self, first: int, count: int) -> Samples:
        try:
            if first != self._at:
                self._sound.seek(first)
            read = self._sound.read(count, "int16")
        except soundfile.LibsndfileError:
            raise self._broken() from None
        self._file.check()
        self._at = first + len(read)
        if len(read) < count:
            raise self._broken()
        return read.astype(np.int16, copy=False)

    def _broken(self) -> Exception:
        """Return the error of the store, else one for a damaged file."""
        return self._file.failed or MissingObject(
            "The audio of a channel is damaged: rematerialize channel_audio of the call."
        )


def read_pcm(
    files: Sequence[SeekableAudio], wav: WavLayout, start: int, end: int
) -> Iterator[bytes]:
    """Yield the bytes from `start` to before `end` of the interleaved samples."""
    with ExitStack() as stack:
        tracks: list[Track] = []
        for file in files:
            stack.callback(file.close)
            tracks.append(Track(file, wav.sample_rate_hz))
            stack.callback(tracks[-1].close)
        first, last = start // wav.frame_bytes, -(-end // wav.frame_bytes)
        for at in range(first, last, BLOCK_FRAMES):
            count = min(BLOCK_FRAMES, last - at)
            block = np.stack([track.samples(at, count) for track in tracks], axis=1)
            offset = at * wav.frame_bytes
            yield block.astype("<i2", copy=False).tobytes()[max(0, start - offset) : end - offset]


def encode_mp3(pcm: bytes, wav: WavLayout, rates_hz: Sequence[int]) -> bytes:
    """Encode interleaved samples as MP3, at the next of these rates; more than two channels as one.

    MP3 knows neither more channels nor other rates.
    """
    samples = np.frombuffer(pcm, "<i2").reshape(-1, wav.channels)
    if wav.channels > 2:
        samples = samples.mean(axis=1, keepdims=True).astype(np.int16)
    rate_hz = next((each for each in rates_hz if each >= wav.sample_rate_hz), rates_hz[-1])
    if rate_hz != wav.sample_rate_hz:
        count = len(samples) * rate_hz // wav.sample_rate_hz
        at = np.arange(count) * (wav.sample_rate_hz / rate_hz)
        columns = [np.interp(at, np.arange(len(samples)), each) for each in samples.T]
        samples = np.stack(columns, axis=1).astype(np.int16)
    file = BytesIO()
    soundfile.write(file, samples, rate_hz, format="MP3")
    return file.getvalue()
