"""Words from faster-whisper, and batches of speech for its processes."""

from typing import NamedTuple

import numpy as np
import pytest

from callpipeline.domain.audio import Interval
from callpipeline.engines.transcribe.whisper import batch_speech
from callpipeline.engines.transcribe.whisper_windows import trim_padding, words_of


class WhisperWord(NamedTuple):
    word: str
    start: float
    end: float
    probability: float


def test_words_lose_their_spaces_and_keep_their_punctuation():
    heard = [
        WhisperWord(" Hello,", 10.0, 10.5, 0.123456),
        WhisperWord(" you.", 10.5, 11.0, 1.00001),
    ]
    assert [(w.text, w.start_s, w.end_s, w.confidence) for w in words_of(heard, 10.0)] == [
        ("Hello,", 0.0, 0.5, 0.1235),
        ("you.", 0.5, 1.0, 1.0),
    ]


def test_a_word_without_a_leading_space_continues_the_previous_word():
    parts = [
        WhisperWord(" T", 1.0, 1.2, 0.9),
        WhisperWord("-Mobile", 1.2, 1.8, 0.4),
        WhisperWord(" now", 2.0, 2.1, 1),
    ]
    first, second = words_of(parts, 0.0)
    assert (first.text, first.start_s, first.end_s, first.confidence) == ("T-Mobile", 1.0, 1.8, 0.4)
    assert second.text == "now"


@pytest.mark.parametrize("first", ["we", " we"])
def test_the_first_word_needs_no_space(first: str):
    assert [word.text for word in words_of([WhisperWord(first, 0, 1, 1)], 0.0)] == ["we"]


def test_empty_words_are_dropped_and_no_word_ends_before_it_starts():
    heard = [
        WhisperWord(" ", 0, 1, 0.5),
        WhisperWord("", 0, 1, 0.5),
        WhisperWord(" x", 3.0, 2.0, 0.5),
    ]
    (word,) = words_of(heard, 0.0)
    assert (word.text, word.start_s, word.end_s) == ("x", 3.0, 3.0)


def test_a_batch_has_up_to_two_minutes_of_speech_or_one_longer_interval():
    edges = [(0, 50), (60, 110), (120, 150), (200, 500), (510, 511)]
    speech = [Interval(*edge) for edge in edges]
    assert [[s.start_s for s in group] for group in batch_speech(speech)] == [
        [0, 60],
        [120],
        [200],
        [510],
    ]
    assert list(batch_speech([])) == []


@pytest.mark.parametrize(
    ("heard_s", "context_s"), [(0.0, 15.0), (2.0, 15.0), (14.5, 17.5), (28.0, 30.0), (30.0, 30.0)]
)
def test_the_encoder_sees_little_padding(heard_s: float, context_s: float):
    features = np.zeros((2, 80, 3000), np.float32)
    features[1, :, : round(heard_s * 100)] = -0.5
    trimmed = trim_padding(features)
    assert trimmed.shape == (2, 80, context_s * 100)
    assert np.array_equal(trimmed, features[..., : trimmed.shape[-1]])
