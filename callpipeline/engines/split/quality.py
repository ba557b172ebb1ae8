"""Quality of a recording: levels, clipping, equal channels, and the flags that explain defects."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callpipeline.domain.audio import MAX_CHANNELS, AudioFormat, Channel, Flag, QualityFlag

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
    """Meter of the loudness of one channel, as a whole and in windows of `window` samples."""

    def __init__(self, window: int = 2000) -> None:
        self.samples = 0
        self._energy = 0.0
        self._sum = 0.0
        self._clipped = 0
        self._window = max(1, window)
        self._rest = np.zeros(0, np.float32)
        self._windows: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.int16]) -> None:
        self.samples += len(samples)
        if len(samples) and (samples.max() >= CLIPPING_LEVEL or samples.min() < -CLIPPING_LEVEL):
            self._clipped += int(
                np.count_nonzero((samples >= CLIPPING_LEVEL) | (samples < -CLIPPING_LEVEL))
            )
        floats = samples.astype(np.float32)
        self._energy += energy(floats)
        self._sum += float(floats.sum(dtype=np.float64))
        self._measure_windows(floats)

    def _measure_windows(self, floats: NDArray[np.float32]) -> None:
        samples = np.concatenate((self._rest, floats)) if len(self._rest) else floats
        whole = len(samples) - len(samples) % self._window
        rows = samples[:whole].reshape(-1, self._window)
        # Without the offset of each window: it is no sound.
        squares = np.einsum("ij,ij->i", rows, rows) / self._window - np.square(rows.mean(axis=1))
        self._windows.append(squares / np.float32(FULL_SCALE**2))
        self._rest = samples[whole:].copy()

    @property
    def windows(self) -> NDArray[np.float32]:
        """Return the mean square of each window (full scale = 1), without its offset."""
        return np.maximum(np.concatenate([np.zeros(0, np.float32), *self._windows]), 0)

    @property
    def offset(self) -> float:
        """Return the mean of all samples (full scale = 1)."""
        return self._sum / max(self.samples, 1) / FULL_SCALE

    @property
    def has_sound(self) -> bool:
        """Return whether any window is louder than silence: a channel may hold a single word."""
        windows = self.windows
        return bool((windows > SILENCE_MEAN_SQUARE).any()) if len(windows) else not self.is_silent

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
class Crosstalk:
    """Sound of channel `source` that was removed from another channel, where it was softer."""

    channel: Channel
    source: Channel
    removed_s: float
    gain_db: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """Format, levels and defects measured while a recording was read.

    `copies` describes channels that are copies of others, `gap_s` the silence put into gaps, and
    `channels_found` counts the channels before silent ones and copies were left out.
    """

    format: AudioFormat
    levels: Mapping[Channel, LevelMeter]
    is_fake_stereo: bool = False
    copies: tuple[str, ...] = ()
    crosstalk: tuple[Crosstalk, ...] = ()
    gap_s: float = 0.0
    unread_bytes: int = 0
    channels_found: int = 0


def energy(samples: NDArray[np.float32]) -> float:
    """Return the sum of squares; numpy sums pairwise, so 32-bit floats are precise enough."""
    return float(np.square(samples).sum())


def flags_of(measurements: Measurements) -> tuple[QualityFlag, ...]:
    """Return the flags of a recording, those of the whole recording first."""
    return (
        *_layout_flags(measurements),
        *_damage_flags(measurements.format),
        *_reading_flags(measurements),
        *map(_crosstalk_flag, measurements.crosstalk),
        *(
            flag
            for channel, level in measurements.levels.items()
            for flag in _level_flags(channel, level)
        ),
    )


def _layout_flags(measurements: Measurements) -> Iterator[QualityFlag]:
    count, used = measurements.format.channel_count, len(measurements.levels)
    if count == 1 and used == 1:
        yield QualityFlag(Flag.MONO, "both speakers on one channel")
    if count > 2:
        yield QualityFlag(Flag.EXTRA_CHANNELS, _describe_channels(count, used, measurements))
    if measurements.is_fake_stereo:
        same = "; ".join(measurements.copies)
        yield QualityFlag(
            Flag.FAKE_STEREO,
            "both channels carry the same sound: treated as one channel"
            + (f" ({same})" if same and count == 2 else ""),
        )


def _describe_channels(count: int, used: int, measurements: Measurements) -> str:
    copies = measurements.copies
    silent = (measurements.channels_found or used) - used - len(copies)
    parts = [f"{count} channels: {used} {'was' if used == 1 else 'were'} used"]
    if silent:
        parts.append(f"{silent} {'is' if silent == 1 else 'are'} silent")
    if count > MAX_CHANNELS:
        parts.append(f"those behind the first {MAX_CHANNELS} were not read")
    return ", ".join([*parts, *copies])


def _reading_flags(measurements: Measurements) -> Iterator[QualityFlag]:
    if measurements.gap_s:
        yield QualityFlag(
            Flag.GAPS,
            f"{measurements.gap_s:.1f} s are missing between the recorded parts, by their "
            "timestamps: they were filled with silence",
        )
    if measurements.unread_bytes:
        yield QualityFlag(
            Flag.UNREAD,
            f"{measurements.unread_bytes:,} bytes behind the end of the audio could not be read: "
            "they may be another recording",
        )


def _crosstalk_flag(found: Crosstalk) -> QualityFlag:
    return QualityFlag(
        Flag.CROSSTALK,
        f"the {found.source} channel leaks into the {found.channel} channel "
        f"({found.gain_db:.0f} dB): {found.removed_s:.1f} s were removed there",
        found.channel,
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
