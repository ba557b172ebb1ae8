"""Distinction of channels: silent ones, copies of others, and leakage between them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import median

import numpy as np

from callpipeline.domain.audio import Channel
from callpipeline.engines.split.channel_files import ChannelFile
from callpipeline.engines.split.crosstalk import (
    AUDIBLE,
    BLOCK_S,
    COPY_RESIDUAL,
    FRAME_S,
    MAX_LAG_S,
    MAX_ROWS,
    MIN_COMPARED_S,
    QUIET_SHARE,
    SAME_LEVEL,
    TAPS,
    PairComparison,
    share_windows,
)
from callpipeline.engines.split.drift import DriftedChannel, find_drift
from callpipeline.engines.split.quality import FULL_SCALE, Crosstalk
from callpipeline.engines.split.signals import MeasuredChannel, Samples, best_lag, fit

MIN_REMOVED_S = 0.1
MIN_OFFSET = 0.01
MIN_PART = 0.02
"""Share of a block that a channel must explain to be a part of the mixture."""


@dataclass(slots=True)
class Distinction:
    """The channels that are left, and what was done: copies left out, leakage removed."""

    files: list[ChannelFile]
    copies: tuple[str, ...] = ()
    leakage: list[Crosstalk] = field(default_factory=list[Crosstalk])

    def crosstalk(self, renamed: Mapping[Channel, Channel]) -> tuple[Crosstalk, ...]:
        """Return the leakage that was removed, by the channels' final names."""
        return tuple(
            replace(
                found,
                channel=renamed.get(found.channel, found.channel),
                source=renamed.get(found.source, found.source),
            )
            for found in self.leakage
        )


def distinguish(
    files: Sequence[ChannelFile], is_agent: Callable[[ChannelFile], bool]
) -> Distinction:
    """Leave out silent channels and copies, and remove leakage from the others.

    Of two channels, a silent one is kept: its speaker said nothing. Sound that two channels have
    equally loud is removed from the agent's, as it is not known who said it.
    """
    found = Distinction(_drop_silent(list(files)))
    _drop_mixture(found)
    for one, other in combinations(tuple(found.files), 2):
        # By now, one of them may have been dropped, or cleaned into another file.
        pair = [file for file in found.files if file.number in (one.number, other.number)]
        if len(pair) == 2:
            pair.sort(key=is_agent, reverse=True)
            _compare(found, pair[0], pair[1])
    return found


def _drop_silent(files: list[ChannelFile]) -> list[ChannelFile]:
    if len(files) < 3:
        return files
    audible = [file for file in files if file.level.has_sound] or files[:1]
    for file in files:
        if file not in audible:
            file.discard()
    return audible


def _drop_mixture(found: Distinction) -> None:
    """Leave out a channel that is the sum of others, as of recorders that add one to the sides.

    Each of three such channels is explained by the other two; the sum is the loudest.
    """
    if len(found.files) < 3 or len({file.sample_rate_hz for file in found.files}) > 1:
        return
    with ExitStack() as opened:
        tracks = {file.number: opened.enter_context(file.track()) for file in found.files}
        loudest = max(found.files, key=lambda file: tracks[file.number].mean_square)
        others = [track for number, track in tracks.items() if number != loudest.number]
        is_mixture = _is_mixture(tracks[loudest.number], others)
    if is_mixture:
        found.copies += (f"{loudest.channel} is the sum of others",)
        found.files.remove(loudest)
        loudest.discard()


def _is_mixture(target: MeasuredChannel, sources: Sequence[MeasuredChannel]) -> bool:
    """Return whether several sources together explain a channel, in every block with sound."""
    frame = max(1, round(target.rate_hz * FRAME_S))
    block, margin = frame * round(BLOCK_S / FRAME_S), round(target.rate_hz * MAX_LAG_S) + TAPS
    floor, used = 10 * max(AUDIBLE, QUIET_SHARE * target.mean_square), set[int]()
    for start in range(0, target.frames, block):
        heard = target.read(start, block)
        audible = np.square(heard).reshape(-1, frame).mean(axis=1) > floor
        if audible.sum() * FRAME_S < MIN_COMPARED_S:
            continue
        mask = np.repeat(audible, frame)
        rows = np.flatnonzero(mask)[:: max(1, int(mask.sum()) // MAX_ROWS)]
        columns: list[Samples] = []
        for number, source in enumerate(sources):
            part = source.read(start - margin, block + 2 * margin)
            at, share = best_lag(np.diff(part), np.diff(heard) * mask[1:])
            if share >= MIN_PART:
                used.add(number)
                columns.append(part[rows[:, None] + np.arange(TAPS)[None, :] + at - TAPS // 2])
        if (
            not columns
            or _unexplained(np.concatenate(columns, axis=1), heard[rows]) > COPY_RESIDUAL
        ):
            return False
    return len(used) > 1


def _unexplained(columns: Samples, heard: Samples) -> float:
    """Return the share of energy that no filter of the columns predicts."""
    left = heard - columns @ fit(columns, heard)
    return float(np.square(left).sum() / max(float(np.square(heard).sum()), 1e-20))


def _compare(found: Distinction, one: ChannelFile, other: ChannelFile) -> None:
    if one.sample_rate_hz != other.sample_rate_hz:
        return
    with ExitStack() as opened:
        tracks = [opened.enter_context(file.track()) for file in (one, other)]
        if not share_windows(*tracks):
            return
        comparison, cleaned = PairComparison(*tracks), [None, None]
        if not comparison.is_copy and (drift := find_drift(*tracks)):
            other_track = tracks[1]
            aligned = DriftedChannel(other_track.file, other_track.windows, other_track.mean, drift)
            drifted = PairComparison(tracks[0], aligned)
            if drifted.is_copy:
                comparison = drifted
        if not comparison.is_copy:
            cleaned = [_clean(comparison, 0, one, other), _clean(comparison, 1, other, one)]
    if comparison.is_copy:
        _drop_copy(found, comparison, one, other)
        return
    for side, (file, source) in enumerate(((one, other), (other, one))):
        if (clean := cleaned[side]) is None:
            continue
        removed_s, echoes = comparison.removed_s[side], comparison.leaks_into(side)
        gain_db = median(echo.gain_db for echo in echoes)
        found.leakage.append(Crosstalk(file.channel, source.channel, removed_s, gain_db))
        file.discard()
        found.files[found.files.index(file)] = clean


def _clean(
    comparison: PairComparison, side: int, file: ChannelFile, source: ChannelFile
) -> ChannelFile | None:
    """Write a channel without what leaked into it; None if that was next to nothing."""
    if not comparison.leaks_into(side):
        return None
    kind, into = f"without{source.number}", file.part.parent
    with ChannelFile(into, file.channel, file.sample_rate_hz, file.number, kind) as clean:
        for block in comparison.cleaned(side):
            scaled = np.clip(np.rint(block * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
            clean.write(scaled.astype(np.int16))
    if comparison.removed_s[side] < MIN_REMOVED_S:
        clean.discard()
        return None
    return clean


def _drop_copy(
    found: Distinction, comparison: PairComparison, one: ChannelFile, other: ChannelFile
) -> None:
    """Leave out the softer one of two copies; of equally loud ones, that with more offset."""
    one_track, other_track = comparison.tracks
    ratio = one_track.mean_square / max(other_track.mean_square, 1e-20)
    is_softer = ratio < SAME_LEVEL
    if SAME_LEVEL <= ratio <= 1 / SAME_LEVEL:
        is_softer = abs(one_track.mean) > abs(other_track.mean) + MIN_OFFSET
    kept, dropped = (other, one) if is_softer else (one, other)
    difference = _describe(comparison, (one, other).index(dropped))
    found.copies += (f"{dropped.channel} is a copy of {kept.channel}: {difference}",)
    found.files.remove(dropped)
    dropped.discard()


def _describe(comparison: PairComparison, side: int) -> str:
    """Describe how a copy differs: louder or softer, later or earlier, inverted."""
    echoes, sign = comparison.copies, 1 if side else -1
    gain_db = sign * median(echo.gain_db for echo in echoes)
    lag = sign * median(comparison.margin - echo.delay for echo in echoes)
    delay_ms = 1000 * lag / comparison.tracks[0].rate_hz
    parts = [f"{gain_db:+.1f} dB" if abs(gain_db) >= 0.5 else "equally loud"]
    other = comparison.tracks[1]
    if isinstance(other, DriftedChannel):
        rate = sign * other.drift.rate * 1e6
        parts.append(f"of a clock {abs(rate):.0f} ppm {'faster' if rate > 0 else 'slower'}")
    elif abs(delay_ms) >= 0.01:
        parts.append(f"{abs(delay_ms):.3g} ms {'later' if delay_ms > 0 else 'earlier'}")
    if sum(echo.is_inverted for echo in echoes) * 2 > len(echoes):
        parts.append("inverted")
    return ", ".join(parts)
