"""Pieces of speech packed into windows of 30 s, and words laid back to where they were said.

Whisper works on windows of 30 s, and a short one costs as much as a full one. Pieces of one
channel, with the silence between them left out, fill a window; a short pause keeps them apart.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.stretches import RATE_HZ, Piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_S = 30.0
APART_S = 0.3
"""Between pieces in a window, beside the 0.12 s by which the detector widens each."""

Window = tuple[Piece, ...]


class Laid(NamedTuple):
    """Where a piece lies in its window, and in the call."""

    in_window_s: float
    in_call_s: float
    duration_s: float


def packed(pieces: Iterable[Piece]) -> Iterator[Window]:
    """Windows of pieces in order, each as full as the next piece lets it be."""
    window: list[Piece] = []
    filled_s = 0.0
    for piece in pieces:
        if window and filled_s + APART_S + piece.duration_s > WINDOW_S:
            yield tuple(window)
            window, filled_s = [], 0.0
        filled_s += piece.duration_s + (APART_S if window else 0.0)
        window.append(piece)
    if window:
        yield tuple(window)


def places(window: Window) -> tuple[Laid, ...]:
    """Where the pieces lie in their window."""
    laid: list[Laid] = []
    at_s = 0.0
    for piece in window:
        laid.append(Laid(at_s, piece.at_s, piece.duration_s))
        at_s += piece.duration_s + APART_S
    return tuple(laid)


def sound(window: Window) -> "NDArray[Any]":
    """The samples of a window, in which its pieces lie as `places` says."""
    import numpy as np

    laid = places(window)
    last = laid[-1]
    samples = np.zeros(round((last.in_window_s + last.duration_s) * RATE_HZ), np.float32)
    for place, piece in zip(laid, window, strict=True):
        start = round(place.in_window_s * RATE_HZ)
        samples[start : start + len(piece.samples)] = piece.samples
    return samples


def laid_back(words: Iterable[Word], laid: tuple[Laid, ...]) -> tuple[tuple[Word, ...], ...]:
    """The words of each piece with times of the call, given words with times of the window.

    A word belongs to the piece nearest to its middle, and lies within it.
    """
    of_piece: list[list[Word]] = [[] for _ in laid]
    for word in words:
        middle_s = (word.start_s + word.end_s) / 2
        index = min(range(len(laid)), key=lambda i: _distance_s(laid[i], middle_s))
        of_piece[index].append(_moved(word, laid[index]))
    return tuple(map(tuple, of_piece))


def _distance_s(place: Laid, at_s: float) -> float:
    return max(place.in_window_s - at_s, at_s - place.in_window_s - place.duration_s, 0.0)


def _moved(word: Word, place: Laid) -> Word:
    def in_call_s(at_s: float) -> float:
        within_s = min(max(at_s - place.in_window_s, 0.0), place.duration_s)
        return round(place.in_call_s + within_s, 3)

    return replace(word, start_s=in_call_s(word.start_s), end_s=in_call_s(word.end_s))
