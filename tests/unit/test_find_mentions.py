"""Mentions found in transcripts: speaker, position, time and confidence."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Interval, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.transcripts import Segment, Transcript, Word

MATCHER = Matcher(Catalog((Competitor("T-Mobile"), Competitor("Sky", ambiguous=True))))


def spoken(*words: str, confidences: tuple[float | None, ...] = ()) -> Segment:
    """Build a segment with one word every half second, starting at 10 s."""
    sure = confidences or (None,) * len(words)
    timed = tuple(
        Word(text, 10 + place / 2, 10.4 + place / 2, confidence)
        for place, (text, confidence) in enumerate(zip(words, sure, strict=True))
    )
    end_s = timed[-1].end_s if timed else 10.0
    return Segment(7, 10.0, end_s, Channel.RIGHT, Speaker.CUSTOMER, " ".join(words), timed)


def transcript(*segments: Segment) -> Transcript:
    return Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", segments)


def test_a_silent_channel_has_no_mentions():
    assert find_mentions((transcript(),), MATCHER) == ()


def test_a_mention_has_position_speaker_and_word_times():
    segment = spoken("with", "t", "mobile,", "yes", confidences=(0.9, 0.5, 0.7, 0.2))
    (mention,) = find_mentions((transcript(segment),), MATCHER)
    assert (mention.text, mention.char_start, mention.char_end) == ("t mobile", 5, 13)
    assert (mention.start_s, mention.end_s) == (10.5, 11.4)
    assert mention.confidence == pytest.approx(0.6)
    assert (mention.channel, mention.speaker, mention.segment_index) == ("right", "customer", 7)
    assert (mention.status, mention.reason) == (MentionStatus.COUNTED, "unambiguous name")


def test_a_name_recognised_as_one_word_has_its_times():
    (mention,) = find_mentions((transcript(spoken("(T-Mobile's", "price")),), MATCHER)
    assert (mention.text, mention.start_s, mention.end_s) == ("T-Mobile", 10.0, 10.4)
    assert mention.confidence is None


@pytest.mark.parametrize("words", [(), (Word("other", 0, 1, 0.5),)])
def test_times_are_interpolated_without_matching_words(words: tuple[Word, ...]):
    segment = Segment(0, 10, 20, Channel.MIXED, Speaker.UNKNOWN, "ab T-Mobile xy12345", words)
    (mention,) = find_mentions((transcript(segment),), MATCHER)
    assert mention.start_s == pytest.approx(10 + 10 * 3 / 19, abs=0.001)
    assert mention.end_s == pytest.approx(10 + 10 * 11 / 19, abs=0.001)
    assert mention.confidence is None


def test_a_name_heard_only_with_hints_needs_review():
    segment = spoken("with", "t", "mobile,", "yes")
    hinted = tuple(replace(word, only_with_hints=word.text == "mobile,") for word in segment.words)
    (mention,) = find_mentions((transcript(replace(segment, words=hinted)),), MATCHER)
    assert (mention.status, mention.counts) == (MentionStatus.NEEDS_REVIEW, False)
    assert "hint" in mention.reason


def test_a_misheard_name_says_how_it_was_heard():
    cyteva = Competitor("Cyteva", sounds_like=("site eva",))
    sky = Competitor("Sky", ambiguous=True, sounds_like=("skye",))
    matcher = Matcher(Catalog((cyteva, sky)))
    heard = spoken("we", "left", "Site", "Eva", "for", "Skye")
    first, second = find_mentions((transcript(heard),), matcher)
    assert (first.competitor, first.alias, first.text) == ("Cyteva", "site eva", "Site Eva")
    assert (first.status, first.reason) == (MentionStatus.COUNTED, 'heard as "Site Eva"')
    assert second.reason.startswith('heard as "Skye": ') and second.log_odds is not None


def test_dismissed_mentions_are_returned_with_their_reason():
    (mention,) = find_mentions((transcript(spoken("the", "sky", "is", "black")),), MATCHER)
    assert mention.status is MentionStatus.DISMISSED
    assert mention.reason.startswith('"the sky"')


def test_mentions_of_both_channels_are_sorted_by_time():
    left = Segment(0, 30, 33, Channel.LEFT, Speaker.AGENT, "T-Mobile again")
    agent = Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (left,))
    found = find_mentions((agent, transcript(spoken("tmobile", "and", "t-mobile"))), MATCHER)
    assert [mention.start_s for mention in found] == [10.0, 11.0, 30.0]
    assert len({mention.mention_id for mention in found}) == 3


def statuses(*speech: tuple[float, float], words: tuple[str, ...] = ("with", "t-mobile", "yes")):
    """Return the status of a name at 10.5–10.9 s, with speech detected at these times."""
    heard = {Channel.RIGHT: [Interval(*edges) for edges in speech]}
    return [m.status for m in find_mentions((transcript(spoken(*words)),), MATCHER, heard)]


@pytest.mark.parametrize(
    ("speech", "status"),
    [
        (((10.0, 12.0),), MentionStatus.COUNTED),
        (((2.0, 3.0), (10.7, 10.8), (20.0, 21.0)), MentionStatus.COUNTED),
        (((9.0, 10.0),), MentionStatus.COUNTED),
        (((11.4, 12.0),), MentionStatus.COUNTED),
        (((9.0, 9.99),), MentionStatus.DISMISSED),
        (((2.0, 3.0), (11.41, 12.0)), MentionStatus.DISMISSED),
        ((), MentionStatus.DISMISSED),
    ],
)
def test_a_name_counts_only_within_half_a_second_of_speech(
    speech: tuple[tuple[float, float], ...], status: MentionStatus
):
    assert statuses(*speech) == [status]


def test_a_name_in_silence_is_dismissed_with_a_reason():
    found = transcript(spoken("we", "are", "with", "sky", "mobile"))
    (mention,) = find_mentions((found,), MATCHER, {Channel.RIGHT: ()})
    assert not mention.counts
    assert mention.reason == "no speech detected here: possibly a hallucination of the recogniser"


def test_a_channel_without_speech_detection_is_not_checked():
    (mention,) = find_mentions((transcript(spoken("t-mobile")),), MATCHER, {Channel.LEFT: ()})
    assert mention.counts


def test_an_interpolated_name_needs_speech_anywhere_in_its_segment():
    segment = Segment(0, 10, 70, Channel.RIGHT, Speaker.CUSTOMER, "T-Mobile and nothing but words")
    for stretch, status in (((60, 65), "counted"), ((71, 75), "dismissed")):
        speech = {Channel.RIGHT: [Interval(*stretch)]}
        (mention,) = find_mentions((transcript(segment),), MATCHER, speech)
        assert mention.status == status
