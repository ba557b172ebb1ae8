"""Speech is packed into windows of 30 s, and its words get the times of the call."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.chunks import (
    RATE_HZ,
    WINDOW_S,
    AudioPiece,
    PiecePosition,
    pack_windows,
    piece_positions,
    render_window,
    words_by_piece,
)


def a_piece(at_s: float, duration_s: float, loud: float = 0.5) -> AudioPiece:
    return AudioPiece(at_s, np.full(round(duration_s * RATE_HZ), loud, np.float32))


def test_pieces_fill_a_window_until_the_next_does_not_fit():
    pieces = [a_piece(0, 10), a_piece(60, 10), a_piece(120, 9.4), a_piece(200, 0.1)]
    assert [[p.at_s for p in window] for window in pack_windows(pieces)] == [[0, 60, 120], [200]]
    assert list(pack_windows([])) == []


@given(st.lists(st.floats(0.1, 29.0), max_size=12))
def test_no_window_exceeds_30_s_and_no_piece_is_lost(durations: list[float]):
    pieces = [a_piece(40.0 * index, duration) for index, duration in enumerate(durations)]
    windows = list(pack_windows(pieces))
    assert [piece for window in windows for piece in window] == pieces
    assert all(len(render_window(window)) <= WINDOW_S * RATE_HZ + 1 for window in windows)


def test_a_window_has_its_pieces_with_pauses_between_them():
    window = (a_piece(5, 1.0, 0.5), a_piece(70, 2.0, 0.25))
    assert piece_positions(window) == (PiecePosition(0.0, 5, 1.0), PiecePosition(1.3, 70, 2.0))
    heard = render_window(window)
    assert len(heard) == round(3.3 * RATE_HZ)
    levels = [float(heard[round(s * RATE_HZ)]) for s in (0.0, 0.99, 1.1, 1.31, 3.29)]
    assert levels == [0.5, 0.5, 0.0, 0.25, 0.25]


POSITIONS = (PiecePosition(0.0, 5.0, 1.0), PiecePosition(1.3, 70.0, 2.0))


@pytest.mark.parametrize(
    ("start_s", "end_s", "piece", "in_call"),
    [
        (0.2, 0.6, 0, Interval(5.2, 5.6)),
        (0.8, 1.2, 0, Interval(5.8, 6.0)),
        (1.0, 1.25, 0, Interval(6.0, 6.0)),
        (1.1, 1.6, 1, Interval(70.0, 70.3)),
        (2.9, 4.0, 1, Interval(71.6, 72.0)),
    ],
)
def test_words_belong_to_the_nearest_piece_and_are_clamped_to_it(
    start_s: float, end_s: float, piece: int, in_call: Interval
):
    back = words_by_piece([Word("x", start_s, end_s, 0.5)], POSITIONS)
    assert [len(words) for words in back] == [int(index == piece) for index in range(2)]
    (word,) = back[piece]
    assert Interval(word.start_s, word.end_s) == in_call
    assert (word.text, word.confidence) == ("x", 0.5)
