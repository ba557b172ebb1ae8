"""Words and segments from pocketsphinx's decoder, and cuts in long speech."""

import numpy as np
import pytest

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import split_at_pauses
from callpipeline.engines.transcribe.chunks import quietest_sample
from callpipeline.engines.transcribe.pocketsphinx import (
    DecodedWord,
    PocketsphinxTranscriber,
    words_of,
)


def texts(*names: str) -> list[str]:
    heard = [DecodedWord(name, 10 * i, 10 * i + 9, 0.5) for i, name in enumerate(names)]
    return [word.text for word in words_of(heard, 0.0)]


def word(start_s: float, end_s: float) -> Word:
    return Word("x", start_s, end_s)


@pytest.mark.parametrize("filler", ["<s>", "</s>", "<sil>", "[NOISE]", "[SPEECH]", "++COUGH++"])
def test_fillers_are_dropped(filler: str) -> None:
    assert texts("hello", filler, "there") == ["hello", "there"]


def test_pronunciation_marks_are_removed() -> None:
    assert texts("and(2)", "read(10)", "o'clock", "t.") == ["and", "read", "o'clock", "t."]


def test_times_count_from_the_start_of_the_call() -> None:
    (only,) = words_of([DecodedWord("hello", 20, 49, 0.5)], offset_s=100.25)
    assert (only.start_s, only.end_s) == (100.45, 100.75)


@pytest.mark.parametrize(("probability", "confidence"), [(0.5, 0.5), (1.0004, 1.0), (-0.1, 0.0)])
def test_confidence_stays_within_0_and_1(probability: float, confidence: float) -> None:
    (only,) = words_of([DecodedWord("hello", 0, 9, probability)], 0.0)
    assert only.confidence == confidence


def test_a_long_pause_starts_a_new_segment() -> None:
    words = (word(0, 1), word(1.7, 2), word(2.71, 3), word(3, 4))
    assert list(split_at_pauses(words)) == [words[:2], words[2:]]


def test_without_words_there_are_no_segments() -> None:
    assert list(split_at_pauses(())) == []


def test_long_speech_is_cut_at_its_quietest_moment() -> None:
    loud = np.random.default_rng(1).normal(0, 0.2, 320_000).astype(np.float32)
    loud[20_000:30_000] = 0  # quieter still, but too early
    loud[250_000:254_000] *= 0.01
    assert 250_000 <= quietest_sample(loud, 192_000, 3200) <= 254_000


def test_the_name_of_the_engine_has_its_version_and_model() -> None:
    assert PocketsphinxTranscriber(1).name.startswith("pocketsphinx 5.")
    assert PocketsphinxTranscriber(1).name.endswith(" en-us")
