"""One sound on two channels: copies of a channel, and leakage of one speaker into another.

Two channels are compared in blocks. A short filter (gain, delay and the effect of a codec)
predicts one channel from the other where the other is louder. Leakage leaves little energy that
is not predicted, independent speech all of it, even when a speaker repeats the other's words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

from callpipeline.engines.split.signals import MeasuredChannel, Samples, best_lag, fit

WINDOW_S = 0.25
"""Length of the windows whose energy is measured while a channel is written."""
MAX_LAG_S = 0.4
"""Echo comes back from mobile networks after up to 0.3 s; recorders delay a side by less."""
AUDIBLE = 1e-8
"""Mean square (full scale = 1) of a window worth comparing: -80 dB."""
STRETCH_WINDOWS = 60
"""Two windows of each stretch of 15 s are compared to find out whether to compare everything."""
SAMPLE_WINDOWS = 2
LOUD_SHARE = 0.03
SUSPICIOUS = 0.2
"""Share of a window's energy that the other channel explains: on real calls up to 0.03 without
leakage, and 0.98 or more with it."""

BLOCK_S = 4.0
FRAME_S = 0.032
MIN_COMPARED_S = 0.25
TAPS = 33
"""Length of a filter in samples: enough for fractions of a sample, and the effect of a codec."""
MAX_ROWS = 6_000
"""Samples from which a filter is estimated: more don't make it better."""
LEAK_RESIDUAL = 0.25
"""Energy that is left of leakage in a block; independent speech leaves about 1."""
COPY_RESIDUAL = 0.12
"""Energy that is left of a copy in every block that is not quiet: encoders make copies differ."""
QUIET_SHARE = 0.003
"""Energy of a frame, relative to the channel's mean, below which nothing is compared."""
MUTED_RESIDUAL = 0.1
"""Energy left in a frame that holds nothing but leakage."""
REDUCED_RESIDUAL = 0.7
NOISE_MARGIN = 4.0
MIN_KEPT_FRAMES = 4
"""Shorter remainders between muted frames are no syllables."""
SAME_LEVEL = 10 ** (-1 / 10)
TIE = 10 ** (0.4 / 10)
"""Difference of levels up to which it is open which of two channels is the source."""
MAX_GAIN_SPREAD_DB = 1.5


@dataclass(frozen=True, slots=True)
class Echo:
    """Echo of one channel in another in a block: the filter, and the energy it leaves.

    `residual` is relative to the channel's energy, `noise` to that of the source. `gain_db` is the
    level of the echo relative to its source.
    """

    lag: int
    taps: Samples
    residual: float
    noise: float
    gain_db: float

    @property
    def is_leak(self) -> bool:
        return self.residual <= LEAK_RESIDUAL

    @property
    def delay(self) -> int:
        """Return the position in the source of what is heard first in a block."""
        return self.lag + int(np.abs(self.taps).argmax()) - TAPS // 2

    @property
    def is_inverted(self) -> bool:
        return bool(self.taps[np.abs(self.taps).argmax()] < 0)


def share_windows(one: MeasuredChannel, other: MeasuredChannel) -> bool:
    """Return whether one channel explains some of the other, judging by a few windows of each."""
    for index, from_other in _windows_to_compare(one.windows, other.windows):
        source, target = (other, one) if from_other else (one, other)
        if _explained_share(source, target, index) >= SUSPICIOUS:
            return True
    return False


def _windows_to_compare(one: Samples, other: Samples) -> Iterator[tuple[int, bool]]:
    """Yield windows in which one channel is loud, and the other is audible but softer.

    By turns, those in which it is softest, where leakage is not masked by other sound, and those
    in which it is loudest, where leakage that comes and goes stands out from noise.
    """
    count = min(len(one), len(other)) - SAMPLE_WINDOWS + 1
    for start in range(0, max(count, 0), STRETCH_WINDOWS):
        stretch = slice(start, min(start + STRETCH_WINDOWS, count))
        for source, target, from_other in ((one, other, False), (other, one, True)):
            loud, soft = source[stretch], target[stretch]
            fits = (loud >= loud.max() * LOUD_SHARE) & (loud >= soft * 0.9) & (soft > AUDIBLE)
            if not fits.any():
                continue
            chosen = np.where(fits, soft / np.maximum(loud, AUDIBLE), np.inf).argmin()
            dominated = fits & (loud >= 4 * soft)
            if start // STRETCH_WINDOWS % 2 and dominated.any():
                chosen = np.where(dominated, soft, 0).argmax()
            yield start + int(chosen), from_other


def _explained_share(source: MeasuredChannel, target: MeasuredChannel, window: int) -> float:
    length = int(source.rate_hz * WINDOW_S)
    margin = int(source.rate_hz * MAX_LAG_S)
    start, size = window * length, SAMPLE_WINDOWS * length
    heard = np.diff(source.read(start - margin, size + 2 * margin))
    return best_lag(heard, np.diff(target.read(start, size)))[1]


class PairComparison:
    """The comparison of two channels, block by block; leakage is removed with its result.

    Of two equally loud channels the second is taken for the source. `echoes` has a list for each
    channel: what its blocks contain of the other channel. `copies` are the echoes in the second
    channel of the blocks in which both are alike.
    """

    def __init__(self, one: MeasuredChannel, other: MeasuredChannel) -> None:
        self.tracks = (one, other)
        self.frame = max(1, round(one.rate_hz * FRAME_S))
        self.block = self.frame * round(BLOCK_S / FRAME_S)
        self.margin = round(one.rate_hz * MAX_LAG_S) + TAPS
        self.echoes: tuple[list[Echo | None], list[Echo | None]] = ([], [])
        self.removed_s = [0.0, 0.0]
        self._floors = [max(AUDIBLE, QUIET_SHARE * track.mean_square) for track in self.tracks]
        self.copies: list[Echo] = []
        self.is_copy = True
        for number in range(self.block_count):
            self._compare(number)
        self.is_copy = self.is_copy and self._has_constant_gain()

    @property
    def block_count(self) -> int:
        return -(-max(track.frames for track in self.tracks) // self.block)

    def leaks_into(self, side: int) -> list[Echo]:
        """Return the leakage of the blocks of a channel."""
        return [echo for echo in self.echoes[side] if echo and echo.is_leak]

    def cleaned(self, side: int) -> Iterator[Samples]:
        """Yield the blocks of a channel without what leaked into it from the other one."""
        track, leaks = self.tracks[side], self.echoes[side]
        known = [number for number, echo in enumerate(leaks) if echo and echo.is_leak]
        for number in range(self.block_count):
            start = number * self.block
            length = min(self.block, track.frames - start)
            if length <= 0:
                return
            nearest = min(known, key=lambda other: abs(other - number), default=None)
            echo = leaks[nearest] if nearest is not None else None
            samples = track.read(start, self.block) + track.mean
            if echo is not None:
                samples -= self._leakage(number, side, echo)
            yield samples[:length]

    def _compare(self, number: int) -> None:
        """Compare a block; one in which the channels differ shows that none is a copy."""
        blocks = self._read(number)
        energies = [self._energies(self._inner(block)) for block in blocks]
        audible = (energies[0] > 10 * self._floors[0]) | (energies[1] > 10 * self._floors[1])
        is_quiet = audible.sum() * FRAME_S < MIN_COMPARED_S
        for side in (0, 1):
            self.echoes[side].append(self._echo(blocks, side))
        if self.is_copy and not is_quiet:
            copy = self._copy(blocks, audible)
            self.copies += [copy] if copy else []
            self.is_copy = copy is not None

    def _has_constant_gain(self) -> bool:
        """Return false where each channel is the louder one at times: two who leak by turns."""
        gains_db = [copy.gain_db for copy in self.copies]
        return bool(gains_db) and max(gains_db) - min(gains_db) <= MAX_GAIN_SPREAD_DB

    def _read(self, number: int) -> tuple[Samples, Samples]:
        """Return a block of both channels, with margins."""
        start = number * self.block - self.margin
        one, other = (track.read(start, self.block + 2 * self.margin) for track in self.tracks)
        return one, other

    def _copy(self, blocks: tuple[Samples, Samples], audible: NDArray[np.bool_]) -> Echo | None:
        """Return the echo in the second channel if each explains all of the other in a block."""
        mask, echo = np.repeat(audible, self.frame), None
        for side in (0, 1):
            source, heard = blocks[1 - side], self._inner(blocks[side])
            at, share = best_lag(np.diff(source), np.diff(heard) * mask[1:])
            if share < SUSPICIOUS:
                return None
            echo = self._fit(source, heard, at, audible)
            if echo.residual > COPY_RESIDUAL:
                return None
        return echo

    def _echo(self, blocks: tuple[Samples, Samples], side: int) -> Echo | None:
        source, heard = blocks[1 - side], self._inner(blocks[side])
        loud = self._loud(self._inner(source), heard, 1 - side)
        if loud.sum() * FRAME_S < MIN_COMPARED_S:
            return None
        mask = np.repeat(loud, self.frame)
        at, share = best_lag(np.diff(source), np.diff(heard) * mask[1:])
        loud = self._loud(self._shift(source, at), heard, 1 - side)
        if share < LEAK_RESIDUAL / 2 or loud.sum() * FRAME_S < MIN_COMPARED_S:
            return None
        return self._fit(source, heard, at, loud)

    def _loud(self, source: Samples, target: Samples, source_side: int) -> NDArray[np.bool_]:
        """Return the frames in which the source is audible, and louder than the target."""
        heard = self._energies(source)
        return (heard > self._floors[source_side]) & (heard > self._energies(target))

    def _fit(self, source: Samples, heard: Samples, at: int, loud: NDArray[np.bool_]) -> Echo:
        """Estimate the filter by least squares over the loud frames."""
        rows = np.flatnonzero(np.repeat(loud, self.frame))
        some = rows[:: max(1, len(rows) // MAX_ROWS)]
        delayed = source[some[:, None] + np.arange(TAPS)[None, :] + (at - TAPS // 2)]
        taps = fit(delayed, heard[some])
        predicted = self._filtered(source, at, taps)
        left = self._energies(heard - predicted)[loud]
        sources = np.maximum(self._energies(self._shift(source, at))[loud], AUDIBLE)
        residual = float(left.sum() / max(self._energies(heard)[loud].sum(), 1e-20))
        noise = float(np.quantile(left / sources, 0.3))
        gain = float(self._energies(predicted)[loud].sum() / sources.sum())
        gain_db = 10 * log10(max(gain, 1e-12))
        return Echo(at, taps, residual, noise, gain_db)

    def _leakage(self, number: int, side: int, echo: Echo) -> Samples:
        """Return what to subtract from a block: all of it where it is nothing but leakage."""
        blocks = self._read(number)
        source, heard = blocks[1 - side], self._inner(blocks[side])
        predicted = self._filtered(source, echo.lag, echo.taps)
        sources = _smooth(self._energies(self._shift(source, echo.lag)))
        before, left = (_smooth(self._energies(each)) for each in (heard, heard - predicted))
        loud = _smooth(sources, 4) > _smooth(before, 4) * (TIE if side else 1 / TIE)
        loud &= sources > self._floors[1 - side]
        is_leak = left <= np.maximum(MUTED_RESIDUAL * before, NOISE_MARGIN * echo.noise * sources)
        muted = _fill_short_gaps(loud & is_leak, loud)
        reduced = loud & ~muted & (left < REDUCED_RESIDUAL * before)
        self.removed_s[side] += float((muted & (before > AUDIBLE)).sum() + reduced.sum()) * FRAME_S
        leakage = self._by_sample(muted) * heard + self._by_sample(reduced) * predicted
        return leakage.astype(np.float32)

    def _by_sample(self, frames: NDArray[np.bool_]) -> Samples:
        """Return weights for all samples of a block that fade from frame to frame."""
        centres = (np.arange(len(frames)) + 0.5) * self.frame
        return np.interp(np.arange(self.block), centres, frames.astype(np.float32)).astype(
            np.float32
        )

    def _inner(self, block: Samples) -> Samples:
        return block[self.margin : self.margin + self.block]

    def _energies(self, samples: Samples) -> Samples:
        """Return the mean square of each frame."""
        frames = samples.reshape(-1, self.frame)
        return (np.einsum("ij,ij->i", frames, frames) / self.frame).astype(np.float32)

    def _shift(self, source: Samples, at: int) -> Samples:
        return source[at : at + self.block]

    def _filtered(self, source: Samples, at: int, taps: Samples) -> Samples:
        first = at - TAPS // 2
        part = source[first : first + self.block + TAPS - 1]
        return np.convolve(part, taps[::-1], "valid").astype(np.float32)


def _smooth(energies: Samples, reach: int = 1) -> Samples:
    """Return the mean of each frame and `reach` neighbours on both sides."""
    width = 2 * reach + 1
    padded = np.pad(energies, reach, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width, np.float32), "valid").astype(np.float32)


def _fill_short_gaps(muted: NDArray[np.bool_], loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mute what is left between muted frames of the other speaker's turn, unless it is longer."""
    filled, last = muted.copy(), -1
    for index in np.flatnonzero(muted):
        if last >= 0 and 1 < index - last <= MIN_KEPT_FRAMES and loud[last:index].all():
            filled[last:index] = True
        last = int(index)
    return filled
