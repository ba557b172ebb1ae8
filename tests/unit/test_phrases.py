"""Typical phrases of texts."""

from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.competitors.phrases import MIN_TEXTS, SpokenText, typical_phrases


def spoken(*texts: str, name: str = "vodafone") -> list[SpokenText]:
    return [SpokenText(f"{number} {text}", text, name) for number, text in enumerate(texts)]


BLAMED = spoken(
    "vodafone keeps dropping calls every evening",
    "they keep dropping calls with vodafone",
    "it was dropping calls when I was with vodafone",
    "vodafone has hidden fees on every bill",
    "there were hidden fees at vodafone",
    "hidden fees, vodafone never said so",
)
PRAISED = spoken(
    "vodafone has really good coverage",
    "good coverage at home with vodafone",
    "vodafone is on every bill the same",
)


def test_phrases_are_those_that_others_do_not_say() -> None:
    found = typical_phrases(BLAMED, PRAISED)
    assert {each.text for each in found[:2]} == {"dropping calls", "hidden fees"}
    assert [len(each.ids) for each in found[:2]] == [3, 3]
    assert all("vodafone" not in each.text for each in found)


def test_a_phrase_that_all_say_is_not_typical() -> None:
    texts = spoken("the monthly price is low", "a monthly price of ten", "monthly price please")
    assert typical_phrases(texts, texts) == []


def test_one_person_is_not_typical() -> None:
    assert typical_phrases(spoken("hidden fees hidden fees hidden fees"), PRAISED) == []
    assert typical_phrases([], PRAISED) == []


def test_a_short_name_is_no_part_of_other_words() -> None:
    texts = spoken("ee keep losing calls", "they keep losing ee", "keep losing them", name="ee")
    assert [each.text for each in typical_phrases(texts, PRAISED)] == ["keep losing"]


TEXTS = st.lists(st.text("abc ,.'é", max_size=40), max_size=12)


@given(TEXTS, TEXTS)
def test_every_phrase_occurs_in_its_texts(texts: list[str], others: list[str]) -> None:
    known = spoken(*texts, name="")
    # An apostrophe that ends a word ("customers' bills") is no part of a phrase.
    closed = str.maketrans("", "", "' ")
    by_id = {each.id: each.text.translate(closed) for each in known}
    for phrase in typical_phrases(known, spoken(*others)):
        assert len(set(phrase.ids)) == len(phrase.ids) >= MIN_TEXTS
        for id_ in phrase.ids:
            assert phrase.text.translate(closed) in by_id[id_]
