"""Copies of a channel by a recorder whose clock runs a little faster or slower.

The delay between the channels then grows steadily, by up to a second in an hour, so that no
single delay explains one from the other.
"""

from dataclasses import dataclass

import numpy as np

from callpipeline.engines.split.crosstalk import MAX_LAG_S
from callpipeline.engines.split.signals import MeasuredChannel, Samples, best_lag

WINDOW_S = 0.5
MAX_WINDOWS = 24
MIN_WINDOWS = 5
MAX_DRIFT = 2e-3
MIN_DRIFT = 2e-5
"""Slower drift stays within the reach of the filters and blocks of a comparison."""
MIN_SHARE = 0.5
"""Share of a window that the other channel explains at its best delay, in a copy."""
MAX_DEVIATION_S = 1e-3
AUDIBLE = 1e-6


@dataclass(frozen=True, slots=True)
class Drift:
    """The place in another channel, in samples: `offset` at the start, then `1 + rate` a sample."""

    rate: float
    offset: float


@dataclass(frozen=True, slots=True)
class DriftedChannel(MeasuredChannel):
    """A channel read at the pace of another one's clock."""

    drift: Drift

    def read(self, start: int, length: int) -> Samples:
        """Return samples at the times of the other channel, between the channel's own ones."""
        places = (start + np.arange(length)) * (1 + self.drift.rate) + self.drift.offset
        first = int(np.floor(places[0])) - 1
        own = super(DriftedChannel, self).read(first, int(np.ceil(places[-1])) + 3 - first)
        whole = np.floor(places).astype(np.int64)
        at, part = whole - first, (places - whole).astype(np.float32)
        before, left, right, after = (own[at + each] for each in (-1, 0, 1, 2))
        # A cubic through four neighbours (Catmull and Rom): a line would lose high tones.
        curve = (3 * (left - right) + after - before) * part
        curve = (curve + 2 * before - 5 * left + 4 * right - after) * part
        return (left + 0.5 * part * (curve + right - before)).astype(np.float32)


def find_drift(one: MeasuredChannel, other: MeasuredChannel) -> Drift | None:
    """Return where each sample of `one` is in `other`, if the distance grows steadily.

    Windows all over the recording are looked for, each near where those before it predict it.
    """
    length, reach = int(one.rate_hz * WINDOW_S), int(one.rate_hz * MAX_LAG_S)
    found: list[tuple[int, float]] = []
    for start in _starts(one, length):
        near = round(np.median([lag for _, lag in found[-3:]])) if found else 0
        source = np.diff(other.read(start + near - reach, length + 2 * reach))
        at, share = best_lag(source, np.diff(one.read(start, length)))
        if share >= MIN_SHARE:
            found.append((start + length // 2, near + at - reach))
    if len(found) < MIN_WINDOWS:
        return None
    places, lags = (np.array(each, float) for each in zip(*found, strict=True))
    rate, offset = np.polyfit(places, lags, 1)
    deviations = np.abs(lags - (offset + rate * places))
    is_near = deviations <= max(MAX_DEVIATION_S * one.rate_hz, float(np.median(deviations)))
    places, lags = places[is_near], lags[is_near]
    rate, offset = np.polyfit(places, lags, 1)
    is_near = np.abs(lags - (offset + rate * places)) <= MAX_DEVIATION_S * one.rate_hz
    places = places[is_near]
    is_steady = len(places) * 4 >= len(found) * 3 and len(places) >= MIN_WINDOWS
    if not (is_steady and MIN_DRIFT <= abs(rate) <= MAX_DRIFT):
        return None
    return Drift(float(rate), float(offset))


def _starts(one: MeasuredChannel, length: int) -> list[int]:
    """Return the starts of windows with sound, spread over a channel."""
    every = range(0, max(0, one.frames - length), length)
    loud = one.windows.max(initial=0.0) * 0.02 if len(one.windows) else 0.0
    per_window = len(one.windows) / max(1, one.frames)
    heard = [start for start in every if _level(one, start, per_window) > max(loud, AUDIBLE)]
    step = max(1, len(heard) // MAX_WINDOWS)
    return heard[::step]


def _level(one: MeasuredChannel, start: int, per_window: float) -> float:
    index = min(len(one.windows) - 1, int(start * per_window))
    return float(one.windows[index]) if index >= 0 else 0.0
