"""How loud a channel is, whether clipped, and whether two channels are one, as blocks pass."""

import math

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32_768.0
FLOOR_DBFS = -120.0
SILENT_BELOW = 1e-7
"""Mean square of a silent channel (full scale = 1): −70 dB, under the hum of any telephone line."""
CLIPPED_FROM = 32_100
"""The highest code of every telephone codec lies above (mu-law 32,124, A-law 32,256, 8-bit 32,512)
and its second highest below."""
CLIPPED_SHARE = 0.001
SAME_BELOW = 10 ** (-25 / 10)
"""Energy of left − right relative to the channels' own under which both are one channel: an MP3
encoder makes two copies differ, but not by more."""


class Level:
    """The loudness of one channel."""

    def __init__(self) -> None:
        self.samples = 0
        self._energy = 0.0
        self._clipped = 0

    def add(self, samples: NDArray[np.int16]) -> None:
        self.samples += len(samples)
        self._energy += energy(samples.astype(np.float32))
        self._clipped += int(
            np.count_nonzero((samples >= CLIPPED_FROM) | (samples < -CLIPPED_FROM))
        )

    @property
    def mean_square(self) -> float:
        return self._energy / max(self.samples, 1) / FULL_SCALE**2

    @property
    def rms_dbfs(self) -> float:
        return max(FLOOR_DBFS, 10 * math.log10(max(self.mean_square, 1e-12)))

    @property
    def is_silent(self) -> bool:
        return self.mean_square < SILENT_BELOW

    @property
    def clipped_share(self) -> float:
        return self._clipped / max(self.samples, 1)


class Difference:
    """How much two channels differ."""

    def __init__(self) -> None:
        self.samples = 0
        self._both = 0.0
        self._difference = 0.0

    def add(self, left: NDArray[np.int16], right: NDArray[np.int16]) -> None:
        one, other = left.astype(np.float32), right.astype(np.float32)
        self.samples += len(left)
        self._both += (energy(one) + energy(other)) / 2
        self._difference += energy(one - other)

    @property
    def is_none(self) -> bool:
        """Whether both channels are the same sound; two silent channels are not a sound."""
        mean_square = self._both / max(self.samples, 1) / FULL_SCALE**2
        return mean_square >= SILENT_BELOW and self._difference < SAME_BELOW * self._both


def energy(samples: NDArray[np.float32]) -> float:
    """The sum of squares; summed pairwise, so 32-bit floats lose nothing that matters."""
    return float(np.square(samples).sum())
