"""Transcripts: word counts, confidence and order."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import (
    MIN_RELIABLE_CONFIDENCE,
    Segment,
    Transcript,
    Word,
    interleave,
    number_segments,
)
from tests.builders import a_segment, a_transcript


def with_confidences(*confidences: float | None) -> Transcript:
    words = tuple(Word("word", i, i + 0.5, sure) for i, sure in enumerate(confidences))
    segment = replace(a_segment(" ".join(w.text for w in words)), words=words)
    return Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,))


def test_words_are_counted_over_all_segments():
    assert a_transcript("three little words", "and two").word_count == 5


def test_an_empty_transcript_has_no_words_and_is_reliable():
    silent = a_transcript()
    assert (silent.word_count, silent.confidence, silent.is_reliable) == (0, None, True)


def test_confidence_is_the_mean_of_the_words_that_have_one():
    assert with_confidences(0.2, None, 0.6).confidence == pytest.approx(0.4)


def test_a_transcript_without_confidence_is_reliable():
    assert with_confidences(None, None).confidence is None
    assert with_confidences(None, None).is_reliable


def test_a_transcript_is_reliable_from_the_threshold_on():
    assert with_confidences(MIN_RELIABLE_CONFIDENCE).is_reliable
    assert not with_confidences(MIN_RELIABLE_CONFIDENCE - 0.01).is_reliable


def test_segments_are_numbered_by_time():
    late, early = a_segment("late", index=5), a_segment("early", index=3)
    assert [(s.index, s.text) for s in number_segments([late, early])] == [
        (0, "early"),
        (1, "late"),
    ]


def test_a_conversation_is_sorted_by_time():
    left = a_transcript("hello", "goodbye")
    right = a_transcript("hi", channel=Channel.RIGHT)
    order = [(s.channel, s.text) for s in interleave([right, left])]
    assert order == [("left", "hello"), ("right", "hi"), ("left", "goodbye")]


def test_simultaneous_segments_are_sorted_left_before_right():
    left, right = a_transcript("a"), a_transcript("b", channel=Channel.RIGHT)
    assert interleave([left, right]) == interleave([right, left])


def test_a_segment_may_have_no_words():
    segment = Segment(0, 0.0, 1.0, Channel.LEFT, Speaker.AGENT, "text without times")
    assert Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,)).word_count == 3
