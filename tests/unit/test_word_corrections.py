"""Corrections of words: the smallest that give a segment another text, and how they apply."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.word_corrections import (
    WordCorrection,
    correct_words,
    find_corrections,
)
from callpipeline.domain.transcripts import Segment, Transcript, Word

SOME_WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "EE", "we"]), min_size=1, max_size=9)


def a_segment(text: str, index: int = 0, start_s: float = 0.0) -> Segment:
    words = tuple(
        Word(each, start_s + i, start_s + i + 0.8, 0.5) for i, each in enumerate(text.split())
    )
    end_s = start_s + len(words)
    return Segment(index, start_s, end_s, Channel.LEFT, Speaker.AGENT, text, words)


def transcript_of(*segments: Segment) -> Transcript:
    return Transcript(Channel.LEFT, Speaker.AGENT, "engine", segments)


@given(SOME_WORDS, SOME_WORDS)
def test_corrections_give_the_wanted_text_in_the_time_of_the_segment(
    old: list[str], new: list[str]
) -> None:
    segment = a_segment(" ".join(old))
    found = find_corrections(segment, " ".join(new))
    assert (found == []) == (old == new)
    (right,) = correct_words(transcript_of(segment), found).segments
    assert right.text == " ".join(new) == " ".join(word.text for word in right.words)
    times = [t for word in right.words for t in (word.start_s, word.end_s)]
    assert times == pytest.approx(sorted(times))
    assert segment.start_s <= times[0] and times[-1] <= segment.end_s


def test_only_what_differs_is_corrected() -> None:
    segment = a_segment("we left void a phone for good")
    [found] = find_corrections(segment, "we left Vodafone for good")
    assert (found.original, found.text) == ("void a phone", "Vodafone")
    (right,) = correct_words(transcript_of(segment), [found]).segments
    assert right.words[1] == segment.words[1], "the others stay as they were"
    assert (right.words[2].start_s, right.words[2].end_s) == (2.0, 4.8)


def test_a_correction_holds_for_another_transcript_of_the_same_time() -> None:
    [found] = find_corrections(
        a_segment("we left void a phone for good"), "we left Vodafone for good"
    )
    again = transcript_of(a_segment("hello", 0, -9.0), a_segment("we left vote of fun for good", 1))
    first, second = correct_words(again, [found]).segments
    assert (first.text, second.text) == ("hello", "we left Vodafone for good")


def test_other_channels_and_times_without_words_are_left_alone() -> None:
    transcript = transcript_of(a_segment("we left"))
    elsewhere = WordCorrection(Channel.RIGHT, 0.0, 9.0, "we", "you")
    later = WordCorrection(Channel.LEFT, 50.0, 51.0, "we", "you")
    assert correct_words(transcript, [elsewhere, later]) == transcript


def test_a_segment_without_times_of_words_is_corrected_as_a_whole() -> None:
    plain = replace(a_segment("we left void"), words=())
    [found] = find_corrections(plain, "we left Vodafone")
    (right,) = correct_words(transcript_of(plain), [found]).segments
    assert (right.text, right.words) == ("we left Vodafone", ())
