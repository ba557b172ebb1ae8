"""From what faster-whisper gives to words, and how speech is shared out to processes."""

from typing import NamedTuple

import pytest

from callpipeline.domain.audio import Interval
from callpipeline.engines.transcribe.whisper import grouped, words_of


class Part(NamedTuple):
    word: str
    start: float
    end: float
    probability: float


def test_words_lose_their_spaces_and_keep_their_punctuation():
    heard = [Part(" Hello,", 10.0, 10.5, 0.123456), Part(" you.", 10.5, 11.0, 1.00001)]
    assert [(w.text, w.start_s, w.end_s, w.confidence) for w in words_of(heard, 10.0)] == [
        ("Hello,", 0.0, 0.5, 0.1235),
        ("you.", 0.5, 1.0, 1.0),
    ]


def test_what_does_not_begin_with_a_space_goes_on_with_the_word_before():
    parts = [Part(" T", 1.0, 1.2, 0.9), Part("-Mobile", 1.2, 1.8, 0.4), Part(" now", 2.0, 2.1, 1)]
    first, second = words_of(parts, 0.0)
    assert (first.text, first.start_s, first.end_s, first.confidence) == ("T-Mobile", 1.0, 1.8, 0.4)
    assert second.text == "now"


@pytest.mark.parametrize("first", ["we", " we"])
def test_the_first_word_needs_no_space(first: str):
    assert [word.text for word in words_of([Part(first, 0, 1, 1)], 0.0)] == ["we"]


def test_empty_words_are_none_and_no_word_ends_before_it_starts():
    heard = [Part(" ", 0, 1, 0.5), Part("", 0, 1, 0.5), Part(" x", 3.0, 2.0, 0.5)]
    (word,) = words_of(heard, 0.0)
    assert (word.text, word.start_s, word.end_s) == ("x", 3.0, 3.0)


def test_a_process_gets_two_minutes_of_speech_at_once_and_a_longer_stretch_alone():
    edges = [(0, 50), (60, 110), (120, 150), (200, 500), (510, 511)]
    speech = [Interval(*edge) for edge in edges]
    assert [[s.start_s for s in group] for group in grouped(speech)] == [
        [0, 60],
        [120],
        [200],
        [510],
    ]
    assert list(grouped([])) == []
