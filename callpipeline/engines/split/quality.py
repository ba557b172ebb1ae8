"""Quality of a recording: levels, clipping, equal channels, and the flags that explain defects."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callpipeline.domain.audio import AudioFormat, Channel, Flag, QualityFlag

FULL_SCALE = 32_768.0
FLOOR_DBFS = -120.0
SILENCE_MEAN_SQUARE = 1e-7
"""Mean square of a silent channel (full scale = 1): −70 dB, under the hum of any telephone line."""
CLIPPING_LEVEL = 32_100
"""Below the highest code of every telephone codec (mu-law 32,124, A-law 32,256, 8-bit 32,512), and
above their second highest."""
MAX_CLIPPED_SHARE = 0.001
SAME_SOUND_RATIO = 10 ** (-25 / 10)
"""Energy of left − right relative to that of the channels, below which both are the same sound: an
MP3 encoder makes two copies differ, but not by more."""


class LevelMeter:
    """Meter of the loudness of one channel."""

    def __init__(self) -> None:
        self.samples = 0
        self._energy = 0.0
        self._clipped = 0

    def add(self, samples: NDArray[np.int16]) -> None:
        self.samples += len(samples)
        self._energy += energy(samples.astype(np.float32))
        self._clipped += int(
            np.count_nonzero((samples >= CLIPPING_LEVEL) | (samples < -CLIPPING_LEVEL))
        )

    @property
    def mean_square(self) -> float:
        return self._energy / max(self.samples, 1) / FULL_SCALE**2

    @property
    def rms_dbfs(self) -> float:
        return max(FLOOR_DBFS, 10 * math.log10(max(self.mean_square, 1e-12)))

    @property
    def is_silent(self) -> bool:
        return self.mean_square < SILENCE_MEAN_SQUARE

    @property
    def clipped_share(self) -> float:
        return self._clipped / max(self.samples, 1)


class DifferenceMeter:
    """Meter of the difference between two channels."""

    def __init__(self) -> None:
        self.samples = 0
        self._mean_energy = 0.0
        self._difference_energy = 0.0

    def add(self, left: NDArray[np.int16], right: NDArray[np.int16]) -> None:
        one, other = left.astype(np.float32), right.astype(np.float32)
        self.samples += len(left)
        self._mean_energy += (energy(one) + energy(other)) / 2
        self._difference_energy += energy(one - other)

    @property
    def is_same_sound(self) -> bool:
        """Return whether both channels are the same sound; two silent channels are not."""
        mean_square = self._mean_energy / max(self.samples, 1) / FULL_SCALE**2
        is_equal = self._difference_energy < SAME_SOUND_RATIO * self._mean_energy
        return mean_square >= SILENCE_MEAN_SQUARE and is_equal


@dataclass(frozen=True, slots=True)
class Measurements:
    """Format and levels measured while a recording was read."""

    format: AudioFormat
    levels: Mapping[Channel, LevelMeter]
    is_fake_stereo: bool = False


def energy(samples: NDArray[np.float32]) -> float:
    """Return the sum of squares; numpy sums pairwise, so 32-bit floats are precise enough."""
    return float(np.square(samples).sum())


def flags_of(measurements: Measurements) -> tuple[QualityFlag, ...]:
    """Return the flags of a recording, those of the whole recording first."""
    return (
        *_layout_flags(measurements),
        *_damage_flags(measurements.format),
        *(
            flag
            for channel, level in measurements.levels.items()
            for flag in _level_flags(channel, level)
        ),
    )


def _layout_flags(measurements: Measurements) -> Iterator[QualityFlag]:
    count = measurements.format.channel_count
    if count == 1 and len(measurements.levels) == 1:
        yield QualityFlag(Flag.MONO, "both speakers on one channel")
    if count > 2:
        yield QualityFlag(Flag.EXTRA_CHANNELS, f"{count} channels: only the first two were used")
    if measurements.is_fake_stereo:
        yield QualityFlag(
            Flag.FAKE_STEREO, "both channels carry the same sound: treated as one channel"
        )


def _damage_flags(format: AudioFormat) -> Iterator[QualityFlag]:
    declared_s = format.declared_duration_s or 0.0
    if declared_s - format.duration_s > _tolerance_s(format):
        yield QualityFlag(
            Flag.TRUNCATED,
            f"the audio ends after {format.duration_s:.1f} s, but the header says "
            f"{declared_s:.1f} s: only the available part was processed",
        )
    if format.bad_packets:
        is_one = format.bad_packets == 1
        yield QualityFlag(
            Flag.DAMAGED,
            f"{format.bad_packets} packet{'' if is_one else 's'} could not be decoded and "
            f"{'is' if is_one else 'are'} missing from the audio",
        )


def _level_flags(channel: Channel, level: LevelMeter) -> Iterator[QualityFlag]:
    name = "recording" if channel is Channel.MIXED else f"{channel} channel"
    if level.is_silent:
        yield QualityFlag(Flag.SILENT, f"the {name} is silent", channel)
    if level.clipped_share > MAX_CLIPPED_SHARE:
        yield QualityFlag(
            Flag.CLIPPED,
            f"{level.clipped_share:.1%} of the {name} is at full scale: it was recorded too loud",
            channel,
        )


def _tolerance_s(format: AudioFormat) -> float:
    """Return the accepted difference between the declared and the decoded duration.

    Headers of PCM and FLAC count samples. Those of other codecs are rounded up by some frames, and
    differ from the decoded audio by the encoder's delay.
    """
    if format.codec == "flac" or format.codec.startswith("pcm_"):
        return 0.1
    return max(0.5, 0.01 * (format.declared_duration_s or 0.0))
