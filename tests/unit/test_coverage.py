"""Coverage: detected speech that a transcript has no words for."""

import pytest

from callpipeline.domain.audio import Channel, Interval, Speaker, subtract_intervals
from callpipeline.domain.transcripts import (
    Segment,
    Transcript,
    Word,
    measure_unheard,
    unheard_speech,
)


def intervals(*edges: tuple[float, float]) -> tuple[Interval, ...]:
    return tuple(Interval(*edge) for edge in edges)


@pytest.mark.parametrize(
    ("whole", "holes", "remaining"),
    [
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(2, 3), (5, 6)], [(0, 2), (3, 5), (6, 10)]),
        ([(0, 10)], [(-1, 4), (3, 12)], []),
        ([(0, 2), (4, 6)], [(1, 5)], [(0, 1), (5, 6)]),
        ([(0, 2)], [(2, 3)], [(0, 2)]),
        ([], [(0, 1)], []),
    ],
)
def test_intervals_are_subtracted(
    whole: list[tuple[float, float]],
    holes: list[tuple[float, float]],
    remaining: list[tuple[float, float]],
):
    assert subtract_intervals(intervals(*whole), intervals(*holes)) == intervals(*remaining)


def test_speech_within_a_second_of_a_word_counts_as_heard():
    assert unheard_speech(intervals((0, 10)), intervals((3, 4))) == intervals((0, 2), (5, 10))
    assert unheard_speech(intervals((2.5, 4.5)), intervals((3, 4))) == ()


def a_transcript(*segments: tuple[float, float, tuple[Word, ...]]) -> Transcript:
    made = tuple(
        Segment(i, start_s, end_s, Channel.LEFT, Speaker.AGENT, "text", words)
        for i, (start_s, end_s, words) in enumerate(segments)
    )
    return Transcript(Channel.LEFT, Speaker.AGENT, "test", made)


def test_the_unheard_seconds_of_a_channel_are_measured_by_its_words():
    words = (Word("one", 0.0, 0.5), Word("two", 9.5, 10.0))
    measured = measure_unheard(a_transcript((0, 10, words)), intervals((0, 10)))
    assert measured.unheard_s == 7.0  # from 1.5 s to 8.5 s


def test_segments_without_word_times_are_heard_from_start_to_end():
    measured = measure_unheard(a_transcript((0, 4, ())), intervals((0, 10)))
    assert measured.unheard_s == 5.0


def test_a_transcript_without_words_heard_nothing():
    assert measure_unheard(a_transcript(), intervals((0, 3), (5, 6))).unheard_s == 4.0
