"""Competitors in plain text."""

from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.plain_text import LONG, mentions_in

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
        "x" * LONG,
        ".",
        "-",
        "\n",
        "\r\n",
        "",
    ]
)


@given(words=st.lists(WORDS, max_size=40), between=st.sampled_from([" ", "\n", "-"]))
def test_all_names_are_found_where_they_stand(words: list[str], between: str) -> None:
    text = between.join(words)
    found = mentions_in(text, MATCHER, most=1000)
    assert found is not None
    assert all(text[each.char_start : each.char_end] == each.said for each in found)
    places = sorted((each.char_start, each.char_end) for each in found)
    assert places == [(hit.char_start, hit.char_end) for hit in MATCHER.find(text)]


def test_a_sentence_goes_on_in_the_next_line() -> None:
    apart = mentions_in("I have been with\nSky for years.", MATCHER, most=10)
    together = mentions_in("I have been with Sky for years.", MATCHER, most=10)
    assert apart and together
    assert apart[0].status == together[0].status


def test_too_many_are_not_looked_at() -> None:
    assert mentions_in("sky " * 10, MATCHER, most=10)
    assert mentions_in("sky " * 11, MATCHER, most=10) is None
