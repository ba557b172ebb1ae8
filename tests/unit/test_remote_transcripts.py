"""Transcripts from responses of the transcription service."""

import json
import math
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Transcript, Word
from callpipeline.engines.http.messages import parse_json
from callpipeline.engines.transcribe.remote import parse_transcription, transcript_of
from callpipeline.errors import EngineRefused
from tests.builders import a_channel

SEGMENT: dict[str, object] = {"id": 0, "start": 1.0, "end": 3.0, "text": " Hello, there. "}


def a_word(text: str, start: object = 1.0, end: object = 2.0, **more: object) -> dict[str, object]:
    return {"word": text, "start": start, "end": end, **more}


def read(answer: Any) -> Transcript:
    document = parse_json(json.dumps(answer).encode())
    return transcript_of(parse_transcription(document), a_channel(Channel.RIGHT), "remote", "en")


def of(*segments: dict[str, object], **data: object) -> Transcript:
    return read({"success": True, "message": "ok", "data": {"segments": segments, **data}})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: {"success": True, "message": "", "data": data},
        lambda data: [{"success": True, "message": "", "data": data}],
        lambda data: {"data": [data]},
        lambda data: data,
        lambda data: [data],
    ],
)
def test_the_data_may_be_wrapped_in_several_ways(wrap: Any):
    transcript = read(wrap({"text": "Hello, there.", "segments": [SEGMENT]}))
    [segment] = transcript.segments
    assert (segment.text, segment.start_s, segment.end_s) == ("Hello, there.", 1.0, 3.0)
    assert segment.channel is Channel.RIGHT and transcript.engine == "remote"


def test_the_model_and_the_language_are_those_of_the_response_if_it_has_any():
    transcript = of(SEGMENT, model=" large-v3 ", language="cy")
    assert (transcript.engine, transcript.language) == ("remote large-v3", "cy")


def test_words_have_the_texts_punctuation_and_their_own_probability():
    words = [a_word(" hello", 1, 1.5, probability=0.7), a_word("there", 1.5, 2)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert segment.words == (Word("Hello,", 1.0, 1.5, 0.7), Word("there.", 1.5, 2.0, None))


@pytest.mark.parametrize(
    ("probability", "confidence"), [(1.0000001, 1.0), (-0.1, 0.0), (math.nan, None), ("high", None)]
)
def test_an_invalid_probability_is_no_confidence(probability: object, confidence: float | None):
    words = [a_word("Hello,", probability=probability), a_word("there.", probability=probability)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert [word.confidence for word in segment.words] == [confidence, confidence]


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, "soon", True, [1]])
def test_if_a_word_has_no_time_the_segment_has_no_words(broken: object):
    [segment] = of(SEGMENT | {"words": [a_word("Hello,", broken), a_word("there.")]}).segments
    assert (segment.text, segment.words) == ("Hello, there.", ())


def test_segments_are_sorted_and_empty_ones_dropped():
    later = SEGMENT | {"start": 5, "end": 6, "text": "Bye."}
    empty = SEGMENT | {"text": "  ", "words": []}
    transcript = of(later, empty, SEGMENT)
    assert [(s.index, s.text) for s in transcript.segments] == [(0, "Hello, there."), (1, "Bye.")]


def test_without_speech_the_transcript_is_empty():
    assert of().segments == ()
    assert of(text=" ").segments == ()


def test_a_text_without_segments_is_not_taken_for_silence():
    with pytest.raises(EngineRefused, match="it has a text but no segments") as caught:
        of(text="Hello, there.")
    assert "Hello" not in str(caught.value)


def test_numbers_too_large_for_a_float_are_ignored():
    words = [a_word("Hello,", 10**400, 1), a_word("there.", 1, 2, probability=10**400)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert (segment.text, segment.words) == ("Hello, there.", ())


@pytest.mark.parametrize(
    ("start", "end", "clamped"),
    [(-0.5, 2, (0, 2)), (-3, -1, (0, 0)), (19, 29.9, (19, 20)), (40, 49, (20, 20))],
)
def test_times_slightly_outside_of_the_channel_are_clamped_to_it(
    start: float, end: float, clamped: object
):
    """The channel lasts 20 s, the recogniser's last window 30 s."""
    words = [a_word("Hello,", start, end), a_word("there.", start, end)]
    [segment] = of(SEGMENT | {"start": start, "end": end, "words": words}).segments
    assert (segment.start_s, segment.end_s) == clamped
    assert {(word.start_s, word.end_s) for word in segment.words} == {clamped}


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"start": 5, "end": 1}, r"segments\[0\]: it ends before it starts"),
        ({"start": 604_800, "end": 604_801}, r"segments\[0\]: it is outside of the audio"),
        ({"start": -90, "end": -80}, r"segments\[0\]: it is outside of the audio"),
        ({"start": math.nan, "end": 1}, r"segments\[0\].start"),
        ({"start": 0, "end": math.inf}, r"segments\[0\].end"),
        ({"start": None}, r"segments\[0\].start"),
        ({"text": "Hello\0"}, r"segments\[0\].text: it contains characters that are not text"),
        ({"text": "\ud800"}, r"segments\[0\].text: it contains characters that are not text"),
        ({"text": None}, r"segments\[0\].text"),
        ({"start": 10**400}, r"segments\[0\].start"),
    ],
)
def test_an_invalid_segment_is_refused_with_its_path(times: dict[str, object], reason: str):
    with pytest.raises(EngineRefused, match=reason):
        of(SEGMENT | times)


def test_a_failure_is_reported_without_the_services_message_which_may_quote_the_call():
    with pytest.raises(EngineRefused, match="success: false") as caught:
        read({"success": False, "message": "could not align 'my PIN is 1234'", "data": None})
    assert "1234" not in str(caught.value)
