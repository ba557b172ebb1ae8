"""Names are found however they are written, and given back exactly where they stand."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.spelling import normalise, spellings


def said(text: str, *names: str | Competitor) -> list[str]:
    """The characters that were found in `text`."""
    listed = tuple(Competitor(name) if isinstance(name, str) else name for name in names)
    hits = Matcher(Catalog(listed)).find(text)
    return [text[hit.char_start : hit.char_end] for hit in hits]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("T-Mobile", "T-Mobile, t mobile or TMobile", ["T-Mobile", "t mobile", "TMobile"]),
        ("T-Mobile", "T \u2013 mobile", ["T \u2013 mobile"]),
        ("TalkTalk", "talk talk and TALKTALK", ["talk talk", "TALKTALK"]),
        ("GoDaddy", "go daddy", ["go daddy"]),
        ("talk talk", "TalkTalk", ["TalkTalk"]),
        ("EE", "EE's, EE\u2019s, (EE) and 'EE'", ["EE", "EE", "EE", "EE"]),
        ("EE", "E E or e. e. or E.E", ["E E", "e. e", "E.E"]),
        ("EE", "EE'll be cheaper, EE've said", ["EE", "EE"]),
        ("EE", "see the fee, #EE_EE", ["EE", "EE"]),
        ("AWS", "a w s", ["a w s"]),
        ("AT&T", "at&t, AT and T, a t & t", ["at&t", "AT and T", "a t & t"]),
        ("O2", "O2 o2. CO2 o 2", ["O2", "o2", "o 2"]),
        ("Sainsbury's", "sainsburys or Sainsbury\u2019s", ["sainsburys", "Sainsbury\u2019s"]),
        ("Fasthosts", "fasthost's server", ["fasthost's"]),
        ("one.com", "one dot com, one.com", ["one dot com", "one.com"]),
        ("Disney+", "disney plus", ["disney plus"]),
        ("giffgaff", "giff gaff", []),
    ],
)
def test_a_name_is_found_in_every_writing_of_it(name: str, text: str, expected: list[str]):
    assert said(text, name) == expected


def test_i_would_is_neither_an_id_nor_its_letters():
    assert said("I'd say I\u2019d like my ID", "ID") == ["ID"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Telefo\u0301nica\u0301 is", ["Telefo\u0301nica\u0301"]),
        ("tele\u00adfo\u200bnica", ["tele\u00adfo\u200bnica"]),
        ("\U0001f4f1TELEFÓNICA\U0001f600", ["TELEFÓNICA"]),
        ("\u05e9\u05dc\u05d5\u05dd \u200fTelefonica\u200f \u05e9", ["Telefonica\u200f"[:-1]]),
        ("ｔｅｌｅｆｏｎｉｃａ", ["ｔｅｌｅｆｏｎｉｃａ"]),
        ("tele\ufb01nica", []),
        ("½ & ß ﬁ + telefonica", ["telefonica"]),
    ],
)
def test_unicode_gives_back_the_very_characters(text: str, expected: list[str]):
    assert said(text, "Telefónica") == expected


def test_ligatures_and_sharp_s_match_their_letters():
    assert said("ﬁber WEISS", "Fiber", "Weiß") == ["ﬁber", "WEISS"]


def test_the_first_then_the_longer_of_overlapping_names_wins():
    sky, cable = Competitor("Sky", ("sky tv",)), Competitor("Cable Co", ("tv cable",))
    assert said("sky tv cable", sky, cable) == ["sky tv"]


def test_a_short_name_is_found_inside_a_longer_one_that_fails():
    assert said("o2 businesses", Competitor("O2", ("o2 business",))) == ["o2"]


def test_adjacent_names_are_all_found():
    assert said("ee ee o2 ee", "EE", "O2") == ["ee", "ee", "o2", "ee"]


def test_an_empty_catalog_and_an_empty_text_hold_nothing():
    assert said("EE") == []
    assert said("", "EE") == []


def test_a_hit_names_the_alias_as_it_is_listed():
    hit = Matcher(Catalog((Competitor("Three", ("Three UK",)),))).find("from three u k")[0]
    assert (hit.competitor.name, hit.alias) == ("Three", "Three UK")


FEW = settings(max_examples=60, deadline=None)
PIECES = st.sampled_from(
    ["EE", "ee", "T-Mobile", "t", "mobile", "sky", "Sky TV", "tv", "O2", "talk", "Talk", "é",
     "e\u0301e", "ß", "ﬁ", "&", "+", "'", "\u2019s", "'s", " ", " ", " ", ",", ".", "-", "\u00ad",
     "\u200b", "\U0001f600", "\u05e9", "\u0301", "\n", "½", "İ", "ŉ", "\u1fb3"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40)
NAMES = ("EE", "T-Mobile", "Sky", "Sky TV", "O2", "TalkTalk", "Talk", "Été", "Weiß", "Fi & Co")
CATALOGS = st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(
    lambda names: Catalog(tuple(Competitor(name) for name in names))
)


def slow_and_right(text: str, catalog: Catalog) -> list[tuple[str, int, int]]:
    """Leftmost-longest by trying every form at every word of the normal form."""
    forms = {form: s.competitor.name for form, s in catalog.spoken_forms().items()}
    words = normalise(text).split()
    found: list[tuple[str, int, int]] = []
    at = 0
    while at < len(words):
        ends = [e for e in range(len(words), at, -1) if " ".join(words[at:e]) in forms]
        if ends:
            found.append((forms[" ".join(words[at : ends[0]])], at, ends[0]))
        at = ends[0] if ends else at + 1
    return found


@FEW
@given(TEXTS, CATALOGS)
def test_it_finds_what_a_slow_and_simple_way_finds(text: str, catalog: Catalog):
    names = [hit.competitor.name for hit in Matcher(catalog).find(text)]
    assert names == [name for name, _, _ in slow_and_right(text, catalog)]


@FEW
@given(TEXTS, CATALOGS)
def test_offsets_give_back_a_writing_of_the_alias_between_word_boundaries(
    text: str, catalog: Catalog
):
    end = 0
    for hit in Matcher(catalog).find(text):
        assert end <= hit.char_start < hit.char_end <= len(text)
        end = hit.char_end
        assert normalise(text[hit.char_start : hit.char_end]) in {
            normalise(form) for form in spellings(hit.alias)
        }


@FEW
@given(TEXTS)
def test_the_normal_form_does_not_depend_on_how_the_text_was_composed(text: str):
    composed, apart = (normalise(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
    assert composed == apart


@FEW
@given(st.text(max_size=30))
def test_any_text_normalises_to_words_between_single_spaces(text: str):
    form = normalise(text)
    assert form == " ".join(form.split())
    assert form == form.casefold()
