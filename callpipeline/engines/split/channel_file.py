"""The FLAC file of one channel while it is written, and what is known of it at the end."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, ChannelAudio, speaker_of
from callpipeline.engines.split.levels import Level
from callpipeline.errors import EngineUnavailable


class ChannelFile:
    """Writes mono 16-bit FLAC; the file gets its name when it is complete."""

    def __init__(self, into: Path, channel: Channel, sample_rate_hz: int) -> None:
        self.channel = channel
        self.level = Level()
        self._into = into
        self._sample_rate_hz = sample_rate_hz
        self._part = into / f"{channel}.flac.part"
        with _disk_errors():
            # Without PCM_16, libsndfile writes 24-bit FLAC for what comes from a decoder of floats.
            self._file = soundfile.SoundFile(
                self._part, "w", sample_rate_hz, 1, "PCM_16", format="FLAC"
            )

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples. Raises EngineUnavailable where the disk takes no more."""
        with _disk_errors():
            self._file.write(samples)
        self.level.add(samples)

    @property
    def duration_s(self) -> float:
        return self.level.samples / self._sample_rate_hz

    @property
    def written(self) -> Path:
        """The file while it has no name yet."""
        return self._part

    def discard(self) -> None:
        self._part.unlink()

    def finished(self, agent_channel: str) -> ChannelAudio:
        """Give the closed file its name and describe it."""
        path = self._part.rename(self._into / f"{self.channel}.flac")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return ChannelAudio(
            channel=self.channel,
            speaker=speaker_of(self.channel, agent_channel),
            sample_rate_hz=self._sample_rate_hz,
            duration_s=self.duration_s,
            rms_dbfs=round(self.level.rms_dbfs, 2),
            size_bytes=path.stat().st_size,
            sha256=digest.hexdigest(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _disk_errors():
            self._file.close()


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Errors of writing must not pass for errors of reading the recording."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("a channel could not be written: is the disk full?") from error
