"""Files of single channels: written as FLAC, measured, and described."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import (
    MAX_PEAK,
    Channel,
    ChannelAudio,
    Interval,
    Peaks,
    Speaker,
    window_samples,
)
from callpipeline.engines.split.av_reader import BLOCK_SAMPLES
from callpipeline.engines.split.crosstalk import WINDOW_S
from callpipeline.engines.split.quality import FULL_SCALE, LevelMeter
from callpipeline.engines.split.signals import MeasuredChannel
from callpipeline.errors import EngineUnavailable

COMPRESSION = 0.5
"""From 0 to 1. The default, 0.625, takes a third more CPU time for files that are 0.5 % smaller."""


class ChannelFile:
    """Writer of mono 16-bit FLAC; the file gets its final name when it is complete.

    `number` is that of the channel in the recording, counted from 1 over all its tracks.
    """

    def __init__(
        self, into: Path, channel: Channel, sample_rate_hz: int, number: int = 1, kind: str = "part"
    ) -> None:
        self.channel, self.number = channel, number
        self.level = LevelMeter(round(sample_rate_hz * WINDOW_S))
        self.part = into / f"{channel}.flac.{kind}"
        self.sample_rate_hz = sample_rate_hz
        self._into = into
        with _write_errors():
            # By default libsndfile writes 24-bit FLAC for samples that were decoded as floats.
            self._file = soundfile.SoundFile(
                self.part,
                "w",
                sample_rate_hz,
                1,
                "PCM_16",
                format="FLAC",
                compression_level=COMPRESSION,
            )

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples. Raises EngineUnavailable if the disk is full."""
        with _write_errors():
            self._file.write(samples)
        self.level.add(samples)

    @property
    def duration_s(self) -> float:
        return self.level.samples / self.sample_rate_hz

    def discard(self) -> None:
        self.part.unlink()

    @contextmanager
    def track(self) -> Iterator[MeasuredChannel]:
        """Open the closed file for a comparison."""
        with soundfile.SoundFile(self.part) as file:
            yield MeasuredChannel(file, self.level.windows, self.level.offset)

    def finish(self, speaker: Speaker) -> ChannelAudio:
        """Give the closed file its final name and describe it."""
        path = self.part.rename(self._into / f"{self.channel}.flac")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return ChannelAudio(
            channel=self.channel,
            speaker=speaker,
            sample_rate_hz=self.sample_rate_hz,
            duration_s=self.duration_s,
            rms_dbfs=round(self.level.rms_dbfs, 2),
            size_bytes=path.stat().st_size,
            sha256=digest.hexdigest(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _write_errors():
            self._file.close()


def mute_channel(flac: Path, intervals: Sequence[Interval], into: Path) -> tuple[int, str]:
    """Write a copy of a mono file with silence in the intervals into a folder.

    Returns its size and SHA-256. Raises EngineUnavailable.
    """
    try:
        with soundfile.SoundFile(flac) as source:
            rate, frames = source.samplerate, source.frames
            holes = [(round(i.start_s * rate), round(i.end_s * rate)) for i in intervals]
            with ChannelFile(into, Channel(flac.stem), rate) as copy:
                for start in range(0, max(1, frames), BLOCK_SAMPLES):
                    block = source.read(BLOCK_SAMPLES, "int16").astype(np.int16, copy=False)
                    for first, last in holes:
                        block[max(0, first - start) : max(0, last - start)] = 0
                    copy.write(block)
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("a channel could not be read to be muted.") from error
    muted = copy.finish(Speaker.UNKNOWN)
    return muted.size_bytes, muted.sha256


def measure_peaks(flac: Path, sha256: str) -> Peaks:
    """Return the peaks of a mono file with the given digest. Raises EngineUnavailable."""
    try:
        with soundfile.SoundFile(flac) as file:
            window = window_samples(file.frames, file.samplerate)
            # Whole windows, so that no window spans two blocks.
            length = max(1, BLOCK_SAMPLES // window) * window
            maxima = bytearray()
            while len(block := file.read(length, "int16")):
                maxima += _maxima(block.astype(np.int16, copy=False), window)
            return Peaks(window / file.samplerate, bytes(maxima), sha256)
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("the waveform of a channel could not be measured.") from error


def _maxima(samples: NDArray[np.int16], window: int) -> bytes:
    """Return a byte per window, rounded up, so that only silence is 0."""
    starts = np.arange(0, len(samples), window)
    highest = np.maximum.reduceat(samples, starts).astype(np.int32)
    lowest = np.minimum.reduceat(samples, starts).astype(np.int32)
    loudest = np.maximum(highest, -lowest)
    scaled = np.ceil(loudest * (MAX_PEAK / FULL_SCALE))
    return np.minimum(MAX_PEAK, scaled).astype(np.uint8).tobytes()


@contextmanager
def _write_errors() -> Iterator[None]:
    """Keep errors of writing apart from errors of reading the recording."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("a channel could not be written: is the disk full?") from error
