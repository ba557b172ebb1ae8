"""A channel that is too large to send, cut at pauses into parts."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import Interval
from callpipeline.engines.transcribe.stretches import opened

SHORTEST_S = 1.0
"""No shorter part is cut in two, however large it is."""
ROOM = 1.1
"""Loud parts of a file are larger than quiet ones."""
BLOCK_FRAMES = 262_144


def needed(size_bytes: int, most_bytes: int) -> int:
    """How many parts a file is to be cut into."""
    return 1 if size_bytes <= most_bytes else math.ceil(size_bytes * ROOM / most_bytes)


def divided(whole: Interval, speech: Sequence[Interval], count: int) -> tuple[Interval, ...]:
    """About equal parts that meet in the middle of pauses; where there is none near, anywhere."""
    step_s = whole.duration_s / count
    aims = [whole.start_s + step_s * number for number in range(1, count)]
    middles = [(a.end_s + b.start_s) / 2 for a, b in pairwise(speech)]
    cuts = sorted({_nearest(aim, middles, within_s=step_s / 2) for aim in aims})
    return tuple(Interval(*edges) for edges in pairwise([whole.start_s, *cuts, whole.end_s]))


def halves(part: Interval, speech: Sequence[Interval]) -> tuple[Interval, ...]:
    """A part that is still too large, cut again; itself where it is too short for that."""
    return divided(part, speech, 2) if part.duration_s >= 2 * SHORTEST_S else (part,)


def speech_in(part: Interval, speech: Sequence[Interval]) -> tuple[Interval, ...]:
    """The speech in a part, in the time of the call."""
    cut = (
        Interval(max(stretch.start_s, part.start_s), min(stretch.end_s, part.end_s))
        for stretch in speech
    )
    return tuple(stretch for stretch in cut if stretch.duration_s > 0)


def write(audio: Path, part: Interval, into: Path) -> int:
    """Write a part of a mono file as FLAC, a block at a time; its size. Raises UnsupportedAudio."""
    import soundfile

    with opened(audio) as file:
        rate = file.samplerate
        file.seek(min(round(part.start_s * rate), file.frames))
        left = round(part.duration_s * rate)
        with soundfile.SoundFile(into, "w", rate, 1, "PCM_16", format="FLAC") as out:
            for block in _blocks(file, left):
                out.write(block)
    return into.stat().st_size


def _blocks(file: Any, left: int) -> Iterator[Any]:
    while left > 0 and len(block := file.read(min(left, BLOCK_FRAMES), "int16")):
        yield block
        left -= len(block)


def _nearest(aim_s: float, middles: Sequence[float], *, within_s: float) -> float:
    nearest = min(middles, key=lambda middle: abs(middle - aim_s), default=aim_s)
    return nearest if abs(nearest - aim_s) < within_s else aim_s
