"""A judgement holds only with words that were said near the name, by whoever named it."""

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.mention import Mention
from callpipeline.domain.transcript import Segment
from callpipeline.engines.sentiment.lines import lines_of, places_of, window
from callpipeline.engines.sentiment.quotes import pieces, spoken, supported
from tests.builders import a_mention, a_segment

CUSTOMER, AGENT = Channel.RIGHT, Channel.LEFT


def named(text: str, name: str = "Vodafone", *, index: int = 0, nth: int = 0) -> Mention:
    at = -1
    for _ in range(nth + 1):
        at = text.index(name, at + 1)
    return a_mention(name, segment_index=index, char_start=at)


def borne_out(quote: str, *segments: Segment, mention: Mention, opinion: bool = True) -> str | None:
    lines = lines_of(segments, [mention])
    place = places_of(lines, [mention])[mention.mention_id]
    said = spoken(lines, window(lines, place), place)
    return supported(quote, said, is_opinion=opinion)


TEXT = "Honestly, Vodafone's service was awful. I can't wait to leave T-Mobile, too."
SEGMENT = a_segment(TEXT, channel=CUSTOMER)
MENTION = named(TEXT)


@pytest.mark.parametrize(
    ("quote", "kept"),
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
def test_a_quote_is_found_whatever_its_case_spaces_and_punctuation(quote: str, kept: str) -> None:
    assert borne_out(quote, SEGMENT, mention=MENTION) == kept


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
def test_what_was_not_said_is_no_quote(quote: str) -> None:
    assert borne_out(quote, SEGMENT, mention=MENTION) is None


def test_the_name_alone_bears_no_opinion_out_but_shows_that_there_is_none() -> None:
    assert borne_out("Vodafone's", SEGMENT, mention=MENTION) is None
    assert borne_out("Vodafone's", SEGMENT, mention=MENTION, opinion=False) == "Vodafone's"


def test_what_another_speaker_says_bears_nothing_out() -> None:
    said = a_segment("So they are awful then", index=1, channel=AGENT)
    assert borne_out("they are awful", SEGMENT, said, mention=MENTION) is None
    assert borne_out("was awful", SEGMENT, said, mention=MENTION) == "was awful."


def test_what_the_speaker_says_next_bears_a_judgement_out() -> None:
    text = "I am with Vodafone"
    more = a_segment("they are awful", index=1, channel=CUSTOMER)
    found = borne_out(
        "they are awful", a_segment(text, channel=CUSTOMER), more, mention=named(text)
    )
    assert found == "they are awful"


def test_a_quote_may_run_over_two_segments_of_the_speaker() -> None:
    text = "I am with Vodafone and they"
    between = a_segment("mhm", index=0, channel=AGENT)
    more = a_segment("are awful", index=1, channel=CUSTOMER)
    segments = a_segment(text, channel=CUSTOMER), between, more
    assert borne_out("they are awful", *segments, mention=named(text)) == "they are awful"


def test_what_is_said_far_from_the_name_bears_nothing_out() -> None:
    near = f"Vodafone {'well ' * 30}is awful"
    far = f"Vodafone {'well ' * 31}is awful"
    assert borne_out("is awful", a_segment(near, channel=CUSTOMER), mention=named(near))
    assert borne_out("is awful", a_segment(far, channel=CUSTOMER), mention=named(far)) is None


def test_of_like_words_those_nearest_to_the_name_are_the_quote() -> None:
    text = f"it is awful. {'well ' * 40}Vodafone, it is awful!"
    assert (
        borne_out("is awful", a_segment(text, channel=CUSTOMER), mention=named(text)) == "is awful!"
    )


def test_a_quote_is_no_speech() -> None:
    text = "Vodafone " + " ".join(f"word{n}" for n in range(80))
    segment = a_segment(text, channel=CUSTOMER)
    quote = " ".join(text.split()[:59])
    assert borne_out(quote, segment, mention=named(text)) == quote
    assert borne_out(" ".join(text.split()[:61]), segment, mention=named(text)) is None


def test_hidden_words_are_no_quote_and_part_what_stands_around_them() -> None:
    lines = lines_of([SEGMENT], [MENTION])
    place = places_of(lines, [MENTION])[MENTION.mention_id]
    said = spoken(lines, {0, 1}, place, hidden={(0, 2)})
    assert supported("service was awful", said, is_opinion=True) is None
    assert supported("Vodafone's was", said, is_opinion=True) is None
    assert supported("was awful", said, is_opinion=True) == "was awful."


def test_letters_are_compared_without_accents_and_what_nobody_sees() -> None:
    assert pieces("Café’s ﬁne zero\u200bwidth") == ["cafe", "s", "fine", "zerowidth"]
