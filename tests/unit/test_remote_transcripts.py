"""What is made of the transcription service's answers."""

import json
import math
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcript import Transcript, Word
from callpipeline.engines.http.answers import parsed
from callpipeline.engines.transcribe.remote import transcript_of
from callpipeline.engines.transcribe.remote_answer import heard
from callpipeline.errors import EngineRefused
from tests.builders import a_channel

SEGMENT: dict[str, object] = {"id": 0, "start": 1.0, "end": 3.0, "text": " Hello, there. "}


def a_word(text: str, start: object = 1.0, end: object = 2.0, **more: object) -> dict[str, object]:
    return {"word": text, "start": start, "end": end, **more}


def read(answer: Any) -> Transcript:
    document = parsed(json.dumps(answer).encode())
    return transcript_of(heard(document), a_channel(Channel.RIGHT), "remote", "en")


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
def test_the_data_is_found_in_whatever_it_is_wrapped(wrap: Any):
    transcript = read(wrap({"text": "Hello, there.", "segments": [SEGMENT]}))
    [segment] = transcript.segments
    assert (segment.text, segment.start_s, segment.end_s) == ("Hello, there.", 1.0, 3.0)
    assert segment.channel is Channel.RIGHT and transcript.engine == "remote"


def test_the_model_and_the_language_are_the_services_own_where_it_tells():
    transcript = of(SEGMENT, model=" large-v3 ", language="cy")
    assert (transcript.engine, transcript.language) == ("remote large-v3", "cy")


def test_words_have_the_texts_punctuation_and_their_own_probability():
    words = [a_word(" hello", 1, 1.5, probability=0.7), a_word("there", 1.5, 2)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert segment.words == (Word("Hello,", 1.0, 1.5, 0.7), Word("there.", 1.5, 2.0, None))


@pytest.mark.parametrize(
    ("given", "kept"), [(1.0000001, 1.0), (-0.1, 0.0), (math.nan, None), ("high", None)]
)
def test_a_probability_that_is_none_is_no_confidence(given: object, kept: float | None):
    words = [a_word("Hello,", probability=given), a_word("there.", probability=given)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert [word.confidence for word in segment.words] == [kept, kept]


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, "soon", True, [1]])
def test_where_a_word_has_no_time_the_text_stands_alone(broken: object):
    [segment] = of(SEGMENT | {"words": [a_word("Hello,", broken), a_word("there.")]}).segments
    assert (segment.text, segment.words) == ("Hello, there.", ())


def test_segments_are_in_order_of_time_and_none_is_empty():
    later = SEGMENT | {"start": 5, "end": 6, "text": "Bye."}
    empty = SEGMENT | {"text": "  ", "words": []}
    transcript = of(later, empty, SEGMENT)
    assert [(s.index, s.text) for s in transcript.segments] == [(0, "Hello, there."), (1, "Bye.")]


def test_nothing_said_is_an_empty_transcript():
    assert of().segments == ()
    assert of(text=" ").segments == ()


def test_a_text_without_segments_does_not_pass_for_silence():
    with pytest.raises(EngineRefused, match="it has a text and no segments") as caught:
        of(text="Hello, there.")
    assert "Hello" not in str(caught.value)


def test_numbers_longer_than_any_machine_counts_are_none():
    words = [a_word("Hello,", 10**400, 1), a_word("there.", 1, 2, probability=10**400)]
    [segment] = of(SEGMENT | {"words": words}).segments
    assert (segment.text, segment.words) == ("Hello, there.", ())


@pytest.mark.parametrize(
    ("start", "end", "clipped"),
    [(-0.5, 2, (0, 2)), (-3, -1, (0, 0)), (19, 29.9, (19, 20)), (40, 49, (20, 20))],
)
def test_times_beside_the_channel_are_clipped_to_it(start: float, end: float, clipped: object):
    """The channel lasts 20 s; the recogniser's last window 30 s."""
    words = [a_word("Hello,", start, end), a_word("there.", start, end)]
    [segment] = of(SEGMENT | {"start": start, "end": end, "words": words}).segments
    assert (segment.start_s, segment.end_s) == clipped
    assert {(word.start_s, word.end_s) for word in segment.words} == {clipped}


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"start": 5, "end": 1}, r"segments\[0\]: it ends before it starts"),
        ({"start": 604_800, "end": 604_801}, r"segments\[0\]: it is said where the sound is over"),
        ({"start": -90, "end": -80}, r"segments\[0\]: it is said where the sound is over"),
        ({"start": math.nan, "end": 1}, r"segments\[0\].start"),
        ({"start": 0, "end": math.inf}, r"segments\[0\].end"),
        ({"start": None}, r"segments\[0\].start"),
        ({"text": "Hello\0"}, r"segments\[0\].text: it holds characters that are no text"),
        ({"text": "\ud800"}, r"segments\[0\].text: it holds characters that are no text"),
        ({"text": None}, r"segments\[0\].text"),
        ({"start": 10**400}, r"segments\[0\].start"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(times: dict[str, object], says: str):
    with pytest.raises(EngineRefused, match=says):
        of(SEGMENT | times)


def test_a_failure_is_told_without_the_services_words_which_may_quote_the_call():
    with pytest.raises(EngineRefused, match="success: false") as caught:
        read({"success": False, "message": "could not align 'my PIN is 1234'", "data": None})
    assert "1234" not in str(caught.value)
