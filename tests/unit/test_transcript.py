"""Transcripts: counted, weighed, ordered."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcript import (
    UNRELIABLE_BELOW,
    Segment,
    Transcript,
    Word,
    interleave,
    numbered,
)
from tests.builders import a_segment, a_transcript


def with_confidences(*confidences: float | None) -> Transcript:
    words = tuple(Word("word", i, i + 0.5, sure) for i, sure in enumerate(confidences))
    segment = replace(a_segment(" ".join(w.text for w in words)), words=words)
    return Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,))


def test_words_are_counted_over_all_segments():
    assert a_transcript("three little words", "and two").word_count == 5


def test_a_channel_that_says_nothing_has_no_words_and_is_reliable():
    silent = a_transcript()
    assert (silent.word_count, silent.confidence, silent.is_reliable) == (0, None, True)


def test_confidence_is_the_mean_of_the_words_that_have_one():
    assert with_confidences(0.2, None, 0.6).confidence == pytest.approx(0.4)


def test_an_engine_without_confidence_is_believed():
    assert with_confidences(None, None).confidence is None
    assert with_confidences(None, None).is_reliable


def test_a_transcript_is_reliable_from_the_threshold_on():
    assert with_confidences(UNRELIABLE_BELOW).is_reliable
    assert not with_confidences(UNRELIABLE_BELOW - 0.01).is_reliable


def test_segments_are_numbered_in_order_of_time():
    late, early = a_segment("late", index=5), a_segment("early", index=3)
    assert [(s.index, s.text) for s in numbered([late, early])] == [(0, "early"), (1, "late")]


def test_a_conversation_is_in_order_of_time_whoever_speaks():
    left = a_transcript("hello", "goodbye")
    right = a_transcript("hi", channel=Channel.RIGHT)
    said = [(s.channel, s.text) for s in interleave([right, left])]
    assert said == [("left", "hello"), ("right", "hi"), ("left", "goodbye")]


def test_two_that_begin_at_once_are_left_before_right_whichever_comes_first():
    left, right = a_transcript("a"), a_transcript("b", channel=Channel.RIGHT)
    assert interleave([left, right]) == interleave([right, left])


def test_a_segment_may_have_no_words():
    segment = Segment(0, 0.0, 1.0, Channel.LEFT, Speaker.AGENT, "text without times")
    assert Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,)).word_count == 3
