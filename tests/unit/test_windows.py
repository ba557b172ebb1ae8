"""Speech packed into windows of 30 s, and its words laid back into the call."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.stretches import RATE_HZ, Piece
from callpipeline.engines.transcribe.windows import (
    WINDOW_S,
    Laid,
    laid_back,
    packed,
    places,
    sound,
)


def a_piece(at_s: float, duration_s: float, loud: float = 0.5) -> Piece:
    return Piece(at_s, np.full(round(duration_s * RATE_HZ), loud, np.float32))


def test_pieces_fill_a_window_until_the_next_does_not_fit():
    pieces = [a_piece(0, 10), a_piece(60, 10), a_piece(120, 9.4), a_piece(200, 0.1)]
    assert [[p.at_s for p in window] for window in packed(pieces)] == [[0, 60, 120], [200]]
    assert list(packed([])) == []


@given(st.lists(st.floats(0.1, 29.0), max_size=12))
def test_no_window_is_longer_than_whisper_hears_and_nothing_is_lost(durations: list[float]):
    pieces = [a_piece(40.0 * index, duration) for index, duration in enumerate(durations)]
    windows = list(packed(pieces))
    assert [piece for window in windows for piece in window] == pieces
    assert all(len(sound(window)) <= WINDOW_S * RATE_HZ + 1 for window in windows)


def test_a_window_sounds_of_its_pieces_with_a_pause_between():
    window = (a_piece(5, 1.0, 0.5), a_piece(70, 2.0, 0.25))
    assert places(window) == (Laid(0.0, 5, 1.0), Laid(1.3, 70, 2.0))
    heard = sound(window)
    assert len(heard) == round(3.3 * RATE_HZ)
    levels = [float(heard[round(s * RATE_HZ)]) for s in (0.0, 0.99, 1.1, 1.31, 3.29)]
    assert levels == [0.5, 0.5, 0.0, 0.25, 0.25]


LAID = (Laid(0.0, 5.0, 1.0), Laid(1.3, 70.0, 2.0))


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
def test_words_go_to_the_nearest_piece_and_stay_within_it(
    start_s: float, end_s: float, piece: int, in_call: Interval
):
    back = laid_back([Word("x", start_s, end_s, 0.5)], LAID)
    assert [len(words) for words in back] == [int(index == piece) for index in range(2)]
    (word,) = back[piece]
    assert Interval(word.start_s, word.end_s) == in_call
    assert (word.text, word.confidence) == ("x", 0.5)
