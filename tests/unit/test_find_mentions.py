"""Mentions found in transcripts: speaker, position, time and confidence."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Interval, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import ADDRESS_REASON, find_mentions
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


ADDRESSES = [
    "see [vodafone].co.uk for it",
    "it is w w w dot [vodafone] dot com I think",
    "double u double u double u dot [vodafone] dot com",
    "www.[vodafone].de/offers",
    "https://shop.example.com/[vodafone]/sim",
    "deals.[vodafone].com",
    "ann at [vodafone] dot co dot uk",
    "mail someone@[vodafone].com",
    "[vodafone]@gmail.com or [vodafone] at gmail dot com",
    "my [vodafone]-shop.de basket",
]
NO_ADDRESSES = [
    "I left [Vodafone]. Com is no word",
    "[Vodafone], dot, com",
    "[Vodafone]/EE or [Vodafone]",
    "at [Vodafone] they said no",
    "[Vodafone].it works",
]


def marked(text: str) -> tuple[str, list[int]]:
    """Return a text without square brackets, and where the names in them begin."""
    starts = [
        at - 2 * number for number, at in enumerate(i for i, char in enumerate(text) if char == "[")
    ]
    return text.replace("[", "").replace("]", ""), starts


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("text", ADDRESSES)
def test_a_name_in_an_address_counts_if_wanted(text: str, counts: bool):
    matcher = Matcher(Catalog((Competitor("Vodafone"),)), counts_addresses=counts)
    plain, starts = marked(text)
    segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, plain)
    found = find_mentions((transcript(segment),), matcher)
    assert [mention.char_start for mention in found] == starts
    assert {mention.counts for mention in found} == {counts}
    assert counts or {mention.reason for mention in found} == {ADDRESS_REASON}


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_a_name_outside_of_an_address_always_counts(text: str):
    matcher = Matcher(Catalog((Competitor("Vodafone"),)), counts_addresses=False)
    plain, starts = marked(text)
    segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, plain)
    found = find_mentions((transcript(segment),), matcher)
    assert [(mention.char_start, mention.counts) for mention in found] == [
        (start, True) for start in starts
    ]


def test_a_name_that_is_an_address_counts_unless_more_of_it_is_there():
    matcher = Matcher(Catalog((Competitor("Booking.com"),)), counts_addresses=False)
    text = "booking.com, booking dot com, www.booking.com, ann@booking.com"
    segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, text)
    found = find_mentions((transcript(segment),), matcher)
    assert [mention.counts for mention in found] == [True, True, False, False]


def test_the_address_of_a_site_is_evidence_for_an_ambiguous_name():
    texts = ("the sky.com page", "a sky dot com page", "sky@gmail.com", "the sky. come on")
    outcomes: list[bool] = []
    for text in texts:
        segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, text)
        outcomes += [each.counts for each in find_mentions((transcript(segment),), MATCHER)]
    assert outcomes == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("jane at blue sky dot com", [False]),
        ("green apple dot co dot uk", [False]),
        ("bob one two three dot com", [False, False]),
        ("square-one.com", [False, False]),
        ("town square dot com", [False]),
        ("info@blue-sky.com", [False]),
        ("apple.stackexchange.com", [False]),
        ("three.Online it says", [False]),
        ("sky.com.example.net", [False]),
        ("it is on sky dot co uk", [True]),
        ("www.apple.com/uk, square.com", [True, True]),
        ("jane@sky.com", [True]),
        ("w w w dot three dot co dot uk", [True]),
    ],
)
def test_only_the_whole_name_of_a_site_is_evidence(text: str, counts: list[bool]):
    names = ("Sky", "Apple", "Three", "Square", "One")
    matcher = Matcher(Catalog(tuple(Competitor(name, ambiguous=True) for name in names)))
    segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, text)
    found = find_mentions((transcript(segment),), matcher)
    assert [each.reason == "the address of its site" for each in found] == counts


def test_a_misheard_name_is_found_over_the_border_of_segments():
    matcher = Matcher(Catalog((Competitor("Cyteva", sounds_like=("site eva",)),)))
    first = Segment(0, 0.0, 2.0, Channel.RIGHT, Speaker.CUSTOMER, "we went to site")
    second = Segment(1, 2.2, 4.0, Channel.RIGHT, Speaker.CUSTOMER, "eva last year")
    (mention,) = find_mentions((transcript(first, second),), matcher)
    assert (mention.alias, mention.text, mention.segment_index) == ("site eva", "site eva", 0)
    assert (mention.counts, mention.reason) == (True, 'heard as "site eva"')
    later = replace(second, start_s=60.0, end_s=62.0)
    assert find_mentions((transcript(first, later),), matcher) == ()
