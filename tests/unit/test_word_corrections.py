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


@st.composite
def word_times(draw: st.DrawFn) -> tuple[float, float]:
    """Return the times of a word: also of none, of no length, inside or across others."""
    start_s = draw(st.sampled_from([0.0, 0.4, 0.5, 0.9, 1.0, 2.0]))
    return start_s, start_s + draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Return a transcript whose segments and words overlap, or have no times at all."""
    segments: list[Segment] = []
    is_timed = draw(st.booleans())
    for index in range(draw(st.integers(1, 4))):
        texts = draw(SOME_WORDS)
        times = [draw(word_times()) if is_timed else (0.0, 0.0) for _ in texts]
        words = tuple(Word(text, *time) for text, time in zip(texts, times, strict=True))
        kept = words if draw(st.booleans()) else ()
        start_s, end_s = min(time[0] for time in times), max(time[1] for time in times)
        said = " ".join(texts)
        segments.append(Segment(index, start_s, end_s, Channel.LEFT, Speaker.AGENT, said, kept))
    return transcript_of(*segments)


@given(transcripts(), st.data())
def test_any_words_of_any_segment_are_corrected_exactly_and_nothing_else(
    heard: Transcript, data: st.DataObject
) -> None:
    made = list[WordCorrection]()
    current = heard
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(heard.segments) - 1))
        typed = " ".join(data.draw(SOME_WORDS))
        made += find_corrections(current.segments[at], typed)
        right = correct_words(heard, made)
        wanted = [each.text for each in current.segments]
        wanted[at] = typed
        assert [each.text for each in right.segments] == wanted
        others = [each for each in current.segments if each.index != at]
        assert [each for each in right.segments if each.index != at] == others
        current = right


@given(transcripts(), st.data())
def test_a_correction_without_its_place_takes_no_other_words_than_between_its_times(
    heard: Transcript, data: st.DataObject
) -> None:
    segment = heard.segments[data.draw(st.integers(0, len(heard.segments) - 1))]
    found = find_corrections(segment, " ".join(data.draw(SOME_WORDS)))
    for correction in found:
        blind = replace(correction, place=None, original="never said")
        for before, after in zip(
            heard.segments, correct_words(heard, [blind]).segments, strict=True
        ):
            outside = [
                word.text
                for word in before.words
                if word.end_s < correction.start_s or word.start_s > correction.end_s
            ]
            kept = [word.text for word in after.words]
            assert not before.words or all(text in kept for text in outside)


def test_words_of_no_length_at_the_edge_stay_in_a_new_transcript() -> None:
    [found] = find_corrections(a_segment("we left void"), "you left void")
    again = a_segment("he left void")
    late = replace(again.words[1], start_s=found.end_s, end_s=found.end_s)
    words = (again.words[0], late, again.words[2])
    (right,) = correct_words(transcript_of(replace(again, words=words)), [found]).segments
    assert right.text == "you left void"


def test_one_word_is_not_given_to_a_new_segment_that_says_more() -> None:
    [found] = find_corrections(a_segment("we left void for good"), "we left Vodafone for good")
    plain = replace(a_segment("he left void for good"), words=())
    (right,) = correct_words(transcript_of(plain), [found]).segments
    assert right.text == "he left Vodafone for good"
    other = replace(a_segment("he left voted for good"), words=())
    assert correct_words(transcript_of(other), [found]) == transcript_of(other)


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
