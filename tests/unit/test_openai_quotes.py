"""Verification of quotes: they must be words of the mention's speaker near the name."""

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.transcripts import Segment
from callpipeline.engines.sentiment.transcript_lines import (
    fold_words,
    locate_mentions,
    speaker_text,
    split_lines,
    verify_quote,
    visible_lines,
)
from tests.builders import a_mention, a_segment

CUSTOMER, AGENT = Channel.RIGHT, Channel.LEFT


def mention_in(text: str, name: str = "Vodafone", *, index: int = 0, nth: int = 0) -> Mention:
    at = -1
    for _ in range(nth + 1):
        at = text.index(name, at + 1)
    return a_mention(name, segment_index=index, char_start=at)


def verified(quote: str, *segments: Segment, mention: Mention, opinion: bool = True) -> str | None:
    lines = split_lines(segments, [mention])
    position = locate_mentions(lines, [mention])[mention.mention_id]
    text = speaker_text(lines, visible_lines(lines, position), position)
    return verify_quote(quote, text, is_opinion=opinion)


TEXT = "Honestly, Vodafone's service was awful. I can't wait to leave T-Mobile, too."
SEGMENT = a_segment(TEXT, channel=CUSTOMER)
MENTION = mention_in(TEXT)


@pytest.mark.parametrize(
    ("quote", "original"),
    [
        ("service was awful", "service was awful."),
        ("SERVICE, was   awful!!", "service was awful."),
        ("Vodafones service was awful", "Vodafone's service was awful."),
        ("vodafone 's service", "Vodafone's service"),
        ("Vodafone", None),
        ("leave t mobile too", "leave T-Mobile, too."),
        ("awful i cant wait", "awful. I can't wait"),
        ("“service was awful”", "service was awful."),
    ],
)
def test_a_quote_is_found_whatever_its_case_spaces_and_punctuation(
    quote: str, original: str
) -> None:
    assert verified(quote, SEGMENT, mention=MENTION) == original


@pytest.mark.parametrize(
    "quote",
    [
        "",
        " … ",
        "\0",
        "service is awful",
        "ervice was awful",
        "service was aw",
        "was service awful",
        "I recommend Vodafone",
        "service was awful awful",
    ],
)
def test_words_that_were_not_spoken_are_no_quote(quote: str) -> None:
    assert verified(quote, SEGMENT, mention=MENTION) is None


def test_the_name_alone_supports_neutral_but_no_opinion() -> None:
    assert verified("Vodafone's", SEGMENT, mention=MENTION) is None
    assert verified("Vodafone's", SEGMENT, mention=MENTION, opinion=False) == "Vodafone's"


def test_words_of_another_speaker_support_nothing() -> None:
    reply = a_segment("So they are awful then", index=1, channel=AGENT)
    assert verified("they are awful", SEGMENT, reply, mention=MENTION) is None
    assert verified("was awful", SEGMENT, reply, mention=MENTION) == "was awful."


def test_the_speakers_next_words_support_a_judgement() -> None:
    text = "I am with Vodafone"
    more = a_segment("they are awful", index=1, channel=CUSTOMER)
    found = verified(
        "they are awful", a_segment(text, channel=CUSTOMER), more, mention=mention_in(text)
    )
    assert found == "they are awful"


def test_a_quote_may_span_two_segments_of_the_speaker() -> None:
    text = "I am with Vodafone and they"
    between = a_segment("mhm", index=0, channel=AGENT)
    more = a_segment("are awful", index=1, channel=CUSTOMER)
    segments = a_segment(text, channel=CUSTOMER), between, more
    assert verified("they are awful", *segments, mention=mention_in(text)) == "they are awful"


def test_words_far_from_the_name_support_nothing() -> None:
    near = f"Vodafone {'well ' * 30}is awful"
    far = f"Vodafone {'well ' * 31}is awful"
    assert verified("is awful", a_segment(near, channel=CUSTOMER), mention=mention_in(near))
    assert verified("is awful", a_segment(far, channel=CUSTOMER), mention=mention_in(far)) is None


def test_the_occurrence_nearest_to_the_name_is_the_quote() -> None:
    text = f"it is awful. {'well ' * 40}Vodafone, it is awful!"
    assert (
        verified("is awful", a_segment(text, channel=CUSTOMER), mention=mention_in(text))
        == "is awful!"
    )


def test_the_length_of_a_quote_is_limited() -> None:
    text = "Vodafone " + " ".join(f"word{n}" for n in range(80))
    segment = a_segment(text, channel=CUSTOMER)
    quote = " ".join(text.split()[:59])
    assert verified(quote, segment, mention=mention_in(text)) == quote
    assert verified(" ".join(text.split()[:61]), segment, mention=mention_in(text)) is None


def test_hidden_words_are_no_quote_and_separate_the_words_around_them() -> None:
    lines = split_lines([SEGMENT], [MENTION])
    position = locate_mentions(lines, [MENTION])[MENTION.mention_id]
    text = speaker_text(lines, {0, 1}, position, hidden={(0, 2)})
    assert verify_quote("service was awful", text, is_opinion=True) is None
    assert verify_quote("Vodafone's was", text, is_opinion=True) is None
    assert verify_quote("was awful", text, is_opinion=True) == "was awful."


def test_letters_are_compared_without_accents_and_invisible_characters() -> None:
    assert fold_words("Café’s ﬁne zero\u200bwidth") == ["cafe", "s", "fine", "zerowidth"]
