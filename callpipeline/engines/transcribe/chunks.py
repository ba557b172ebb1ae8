"""Audio of a channel in chunks: pieces of speech, windows of 30 s, and parts to upload.

Recognisers on this machine take 16 kHz audio and no silence: they get the intervals in which the
speech detector found a voice, long ones cut into pieces. Whisper works on windows of 30 s, and a
short window costs as much as a full one. So pieces of a channel are packed into windows, with a
short pause between them, and the words get their times in the call back.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcripts import Word
from callpipeline.errors import UnsupportedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
CUT_WINDOW_S = 0.2
WINDOW_S = 30.0
PIECE_GAP_S = 0.3
"""Pause between pieces in a window, besides the 0.12 s by which the detector pads each."""
MIN_PART_S = 1.0
"""Parts of twice this duration or more may be cut again."""
SIZE_MARGIN = 1.1
"""Loud parts of a file are larger than quiet ones."""
BLOCK_FRAMES = 262_144


class AudioPiece(NamedTuple):
    """Samples (mono float32 at 16 kHz), and their start in the call."""

    at_s: float
    samples: "NDArray[Any]"

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


Window = tuple[AudioPiece, ...]


class PiecePosition(NamedTuple):
    """Start of a piece in its window and in the call."""

    in_window_s: float
    in_call_s: float
    duration_s: float


@contextmanager
def open_audio(audio: Path) -> Iterator[Any]:
    """Open a channel's file. Raises UnsupportedAudio."""
    import soundfile

    try:
        with soundfile.SoundFile(audio) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio("the channel's audio can't be read") from error


def cut_pieces(
    file: Any, speech: Interval, *, longest_s: float, cut_from_s: float
) -> Iterator[AudioPiece]:
    """Read an interval of an open file, in pieces of up to `longest_s`.

    Pieces are cut at the quietest moment after `cut_from_s` seconds.
    """
    rate = file.samplerate
    at, end = round(speech.start_s * rate), round(speech.end_s * rate)
    while at < end:
        file.seek(at)
        wanted = min(end - at, round(longest_s * rate))
        samples = file.read(wanted, "float32")
        if not len(samples):
            return
        if len(samples) < wanted:  # the file ends before the interval
            end = at + len(samples)
        if at + len(samples) < end:
            first, width = round(cut_from_s * rate), round(CUT_WINDOW_S * rate)
            samples = samples[: quietest_sample(samples, first, width)]
        yield AudioPiece(at / rate, _to_16_khz(samples, rate))
        at += len(samples)


def quietest_sample(samples: "NDArray[Any]", first: int, width: int) -> int:
    """Return the middle of the `width` samples with the least energy, from `first` on."""
    import numpy as np

    energy = np.cumsum(np.square(samples[first:], dtype=np.float64))
    return first + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def to_pcm16(samples: "NDArray[Any]") -> bytes:
    """Convert samples to 16-bit PCM, for recognisers that accept nothing else."""
    import numpy as np

    return np.clip(samples * 32_768.0, -32_768, 32_767).astype(np.int16).tobytes()


def pack_windows(pieces: Iterable[AudioPiece]) -> Iterator[Window]:
    """Pack pieces, in order, into windows that are as full as possible."""
    window: list[AudioPiece] = []
    filled_s = 0.0
    for piece in pieces:
        if window and filled_s + PIECE_GAP_S + piece.duration_s > WINDOW_S:
            yield tuple(window)
            window, filled_s = [], 0.0
        filled_s += piece.duration_s + (PIECE_GAP_S if window else 0.0)
        window.append(piece)
    if window:
        yield tuple(window)


def piece_positions(window: Window) -> tuple[PiecePosition, ...]:
    """Return the positions of the pieces of a window."""
    positions: list[PiecePosition] = []
    at_s = 0.0
    for piece in window:
        positions.append(PiecePosition(at_s, piece.at_s, piece.duration_s))
        at_s += piece.duration_s + PIECE_GAP_S
    return tuple(positions)


def render_window(window: Window) -> "NDArray[Any]":
    """Return the samples of a window, with its pieces at their `piece_positions`."""
    import numpy as np

    positions = piece_positions(window)
    last = positions[-1]
    samples = np.zeros(round((last.in_window_s + last.duration_s) * RATE_HZ), np.float32)
    for position, piece in zip(positions, window, strict=True):
        start = round(position.in_window_s * RATE_HZ)
        samples[start : start + len(piece.samples)] = piece.samples
    return samples


def words_by_piece(
    words: Iterable[Word], positions: tuple[PiecePosition, ...]
) -> tuple[tuple[Word, ...], ...]:
    """Convert words with times in a window to words of each piece, with times in the call.

    A word belongs to the piece nearest to its middle, and is clamped to it.
    """
    by_piece: list[list[Word]] = [[] for _ in positions]
    for word in words:
        middle_s = (word.start_s + word.end_s) / 2
        index = min(range(len(positions)), key=lambda i: _distance_s(positions[i], middle_s))
        by_piece[index].append(_to_call_time(word, positions[index]))
    return tuple(map(tuple, by_piece))


def parts_needed(size_bytes: int, max_bytes: int) -> int:
    """Return into how many parts a file of this size must be cut."""
    return 1 if size_bytes <= max_bytes else math.ceil(size_bytes * SIZE_MARGIN / max_bytes)


def divide(whole: Interval, speech: Sequence[Interval], count: int) -> tuple[Interval, ...]:
    """Divide an interval into similar parts, cut in the middle of pauses where one is near."""
    step_s = whole.duration_s / count
    targets = [whole.start_s + step_s * number for number in range(1, count)]
    pauses = [(a.end_s + b.start_s) / 2 for a, b in pairwise(speech)]
    cuts = sorted({_nearest(target, pauses, within_s=step_s / 2) for target in targets})
    return tuple(Interval(*edges) for edges in pairwise([whole.start_s, *cuts, whole.end_s]))


def halve(part: Interval, speech: Sequence[Interval]) -> tuple[Interval, ...]:
    """Divide a part in two, unless it is too short for that."""
    return divide(part, speech, 2) if part.duration_s >= 2 * MIN_PART_S else (part,)


def speech_within(part: Interval, speech: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the speech in a part, in the time of the call."""
    clipped = (
        Interval(max(interval.start_s, part.start_s), min(interval.end_s, part.end_s))
        for interval in speech
    )
    return tuple(interval for interval in clipped if interval.duration_s > 0)


def write_part(audio: Path, part: Interval, into: Path) -> int:
    """Write a part of a mono file as FLAC and return its size. Raises UnsupportedAudio."""
    import soundfile

    with open_audio(audio) as file:
        rate = file.samplerate
        file.seek(min(round(part.start_s * rate), file.frames))
        with soundfile.SoundFile(into, "w", rate, 1, "PCM_16", format="FLAC") as out:
            for block in _blocks(file, round(part.duration_s * rate)):
                out.write(block)
    return into.stat().st_size


def _blocks(file: Any, frames_left: int) -> Iterator[Any]:
    while frames_left > 0 and len(block := file.read(min(frames_left, BLOCK_FRAMES), "int16")):
        yield block
        frames_left -= len(block)


def _nearest(target_s: float, pauses: Sequence[float], *, within_s: float) -> float:
    nearest = min(pauses, key=lambda pause: abs(pause - target_s), default=target_s)
    return nearest if abs(nearest - target_s) < within_s else target_s


def _distance_s(position: PiecePosition, at_s: float) -> float:
    end_s = position.in_window_s + position.duration_s
    return max(position.in_window_s - at_s, at_s - end_s, 0.0)


def _to_call_time(word: Word, position: PiecePosition) -> Word:
    def in_call_s(at_s: float) -> float:
        in_piece_s = min(max(at_s - position.in_window_s, 0.0), position.duration_s)
        return round(position.in_call_s + in_piece_s, 3)

    return replace(word, start_s=in_call_s(word.start_s), end_s=in_call_s(word.end_s))


def _to_16_khz(samples: "NDArray[Any]", rate: int) -> "NDArray[Any]":
    import soxr

    return soxr.resample(samples, rate, RATE_HZ) if rate != RATE_HZ else samples
