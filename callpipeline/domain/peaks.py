"""How loud a channel is over time, as its waveform shows it."""

from dataclasses import dataclass

WINDOW_S = 0.05
MOST_WINDOWS = 72_000
"""An hour of the finest windows; longer calls have coarser ones. A screen is 4,000 points wide."""
LOUDEST = 255


@dataclass(frozen=True, slots=True)
class Peaks:
    """The largest amplitude of each `window_s` seconds of a channel, 0 to `LOUDEST`, in a byte.

    `sha256` is that of the FLAC file that was measured.
    """

    window_s: float
    maxima: bytes
    sha256: str

    @property
    def duration_s(self) -> float:
        """Until the end of the last window, which the sound may end in."""
        return len(self.maxima) * self.window_s


def window_samples(sample_count: int, sample_rate_hz: int) -> int:
    """How many samples a window has: so many that no call has more than `MOST_WINDOWS`."""
    finest = max(1, round(sample_rate_hz * WINDOW_S))
    return max(finest, -(-sample_count // MOST_WINDOWS))
