"""Mentions in plain text."""

from hypothesis import example, given
from hypothesis import strategies as st

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import MAX_PART_CHARS, find_mentions_in_text
from callpipeline.domain.competitors.matcher import Matcher

MATCHER = Matcher(
    Catalog((Competitor("T-Mobile"), Competitor("Sky", ambiguous=True), Competitor("BT Sport")))
)
WORDS = st.sampled_from(
    [
        "T-Mobile",
        "t\nmobile",
        "sky",
        "Sky",
        "BT",
        "Sport",
        "word",
        "x" * MAX_PART_CHARS,
        ".",
        "-",
        "\n",
        "\r\n",
        "",
    ]
)


@example(words=["BT", "\n", "Sport"], between="\n")
@example(words=["BT", "-", "Sport"], between="\n")
@given(words=st.lists(WORDS, max_size=40), between=st.sampled_from([" ", "\n", "-"]))
def test_all_names_are_found_at_their_offsets(words: list[str], between: str) -> None:
    text = between.join(words)
    found = find_mentions_in_text(text, MATCHER, max_mentions=1000)
    assert found is not None
    assert all(text[each.char_start : each.char_end] == each.text for each in found)
    places = sorted((each.char_start, each.char_end) for each in found)
    assert places == [(hit.char_start, hit.char_end) for hit in MATCHER.find(text)]


def test_a_sentence_continues_in_the_next_line() -> None:
    apart = find_mentions_in_text("I have been with\nSky for years.", MATCHER, max_mentions=10)
    together = find_mentions_in_text("I have been with Sky for years.", MATCHER, max_mentions=10)
    assert apart and together
    assert apart[0].status == together[0].status


def test_too_many_mentions_give_none() -> None:
    assert find_mentions_in_text("sky " * 10, MATCHER, max_mentions=10)
    assert find_mentions_in_text("sky " * 11, MATCHER, max_mentions=10) is None
