"""Transcripts of OpenAI-compatible servers, in all variants of their responses."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from callpipeline.domain.audio import Interval
from callpipeline.engines.transcribe.alignment import Passage
from callpipeline.engines.transcribe.hallucinations import drop_hallucinations
from callpipeline.engines.transcribe.openai import OpenaiTranscription

SPEECH = (Interval(0, 10),)
SEGMENTS = [
    {"start": 0, "end": 2, "text": " Hello there.", "avg_logprob": math.log(0.9)},
    {"start": 2, "end": 5, "text": " I want Vodafone.", "avg_logprob": math.log(0.5)},
]
WORDS = [
    {"word": word, "start": at / 2, "end": at / 2 + 0.4}
    for at, word in enumerate(["hello", "there", "um", "uh", "i", "want", "vodafone"])
]


def passages(**answer: Any) -> tuple[Passage, ...]:
    return OpenaiTranscription.model_validate(answer).passages(SPEECH)


def test_separate_words_are_assigned_to_the_segments() -> None:
    first, second = passages(segments=SEGMENTS, words=WORDS)
    assert [word.text for word in first.words] == ["Hello", "there."]
    assert [word.start_s for word in second.words] == [2.0, 2.5, 3.0]


def test_words_without_a_confidence_have_that_of_their_segment() -> None:
    first, second = passages(segments=SEGMENTS, words=WORDS)
    assert {word.confidence for word in first.words} == {0.9}
    assert {word.confidence for word in second.words} == {0.5}


@pytest.mark.parametrize(
    ("fields", "confidence"),
    [
        ({"probability": 0.7}, 0.7),
        ({"logprob": math.log(0.25)}, 0.25),
        ({"probability": 1.2}, 1.0),
        ({"logprob": 3.0}, 1.0),
        ({"probability": None}, 0.9),
    ],
)
def test_a_word_may_have_a_confidence(fields: dict[str, Any], confidence: float) -> None:
    segment = SEGMENTS[0] | {"text": "Hello"}
    [found] = passages(segments=[segment], words=[{"word": "Hello", "start": 0, "end": 1} | fields])
    assert found.words[0].confidence == confidence


def test_a_word_may_have_no_confidence() -> None:
    segment = {"start": 0, "end": 2, "text": "Hello"}
    [found] = passages(segments=[segment], words=WORDS[:1])
    assert found.words[0].confidence is None


def test_words_may_be_part_of_the_segments() -> None:
    inside = {"start": 0, "end": 2, "text": "Hello there.", "words": WORDS[:2]}
    [found] = passages(segments=[inside])
    assert [(word.text, word.start_s) for word in found.words] == [("Hello", 0.0), ("there.", 0.5)]


def test_there_may_be_segments_only() -> None:
    assert [(p.text, p.words) for p in passages(segments=SEGMENTS, words=None)] == [
        ("Hello there.", ()),
        ("I want Vodafone.", ()),
    ]


def test_there_may_be_words_only() -> None:
    [found] = passages(text="Hello there.", segments=[], words=WORDS[:2])
    assert (found.text, len(found.words)) == ("Hello there.", 2)


def test_a_text_without_times_gets_guessed_times() -> None:
    heard = OpenaiTranscription.model_validate({"text": "Hello there."})
    [found] = heard.passages(SPEECH)
    assert (found.start_s, found.end_s, found.words) == (0, 10, ())
    assert not heard.has_times


@pytest.mark.parametrize("nothing", [{"text": ""}, {"text": " \n"}, {"text": "", "segments": []}])
def test_silence_has_no_passages_and_no_guesses(nothing: dict[str, Any]) -> None:
    heard = OpenaiTranscription.model_validate(nothing)
    assert heard.passages(SPEECH) == ()
    assert heard.has_times


def test_times_of_a_part_become_times_of_the_call() -> None:
    heard = OpenaiTranscription.model_validate({"segments": SEGMENTS, "words": WORDS})
    first, second = heard.passages(SPEECH, offset_s=100.0)
    assert (first.start_s, second.end_s, second.words[0].start_s) == (100.0, 105.0, 102.0)


def test_segments_that_the_model_considers_silent_are_dropped() -> None:
    doubted = {"start": 6, "end": 8, "text": "Thanks.", "no_speech_prob": 0.9, "avg_logprob": -1.5}
    assert len(passages(segments=[*SEGMENTS, doubted], words=WORDS)) == 2


def test_characters_that_cannot_be_stored_are_dropped() -> None:
    [found] = passages(segments=[{"start": 0, "end": 1, "text": "a\0b \ud83d c\n d"}])
    assert found.text == "ab c d"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"text": None},
        {"segments": "hello"},
        {"segments": [None]},
        {"segments": [{"start": math.nan, "end": 1, "text": "a"}]},
        {"words": [{"word": "a", "start": math.inf, "end": 1}]},
    ],
)
def test_an_invalid_response_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenaiTranscription.model_validate(wrong)


def test_a_passage_outside_of_the_speech_is_dropped() -> None:
    within, outside = Passage(1, 2, "Hello."), Passage(12, 14, "Vodafone.")
    assert drop_hallucinations([within, outside], SPEECH) == [within]


def test_a_passage_without_duration_must_lie_within_speech() -> None:
    within, outside = Passage(1, 1, "Hello."), Passage(900, 900, "Vodafone.")
    assert drop_hallucinations([within, outside], SPEECH) == [within]


def test_a_repeated_passage_is_kept_once() -> None:
    loop = [Passage(at, at + 1, "Thank you.") for at in range(5)]
    assert [passage.text for passage in drop_hallucinations(loop, SPEECH)] == ["Thank you."]


def test_hints_read_out_are_dropped() -> None:
    hints = ("Vodafone", "EE", "Three Mobile", "Sky Mobile", "O2")
    echo = Passage(0, 4, "Vodafone, EE, Three Mobile, Sky Mobile.")
    assert drop_hallucinations([echo], SPEECH, hints) == []


def test_segments_without_text_do_not_hide_the_text_of_the_response() -> None:
    blank = [{"start": 0, "end": 2}, {"start": 2, "end": 4, "text": " "}]
    [passage] = passages(text="Hello there.", segments=blank)
    assert (passage.text, passage.words) == ("Hello there.", ())
