"""The matcher finds all surface forms, with exact offsets in the original text."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.spellings import normalise, surface_forms
from callpipeline.domain.transcripts import Segment, Transcript


def matched(text: str, *names: str | Competitor) -> list[str]:
    """Return the matched substrings of `text`."""
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
        ("giffgaff", "giff gaff", ["giff gaff"]),
    ],
)
def test_a_name_is_found_in_all_its_spellings(name: str, text: str, expected: list[str]):
    assert matched(text, name) == expected


SPELLINGS = Path(__file__).parents[1] / "data" / "spellings.yaml"


@pytest.mark.parametrize(
    "case", yaml.safe_load(SPELLINGS.read_text(encoding="utf-8")), ids=lambda case: case["text"]
)
def test_names_are_found_in_running_text_and_over_segment_borders(case: dict[str, Any]):
    matcher = Matcher(Catalog(tuple(map(Competitor, case["names"]))))
    segments = tuple(
        Segment(number, number * 2, number * 2 + 1.5, Channel.RIGHT, Speaker.CUSTOMER, text)
        for number, text in enumerate(case["text"].split(" | "))
    )
    transcript = Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", segments)
    assert [m.competitor for m in find_mentions((transcript,), matcher)] == case["found"]


def test_a_longer_spelled_name_or_number_hides_a_shorter_one():
    assert matched("e. b. t. or B-T-I-G, b t, a b t line", "BT") == ["b t", "b t"]
    assert matched("c o two, oh two oh seven, o two weeks, o two", "O2") == ["o two"]


def test_an_alias_of_another_competitor_takes_precedence_over_a_derived_spelling():
    three, bolt = Competitor("Three"), Competitor("Bolt", ("3",))
    hits = Matcher(Catalog((three, bolt))).find("three or 3")
    assert [hit.competitor.name for hit in hits] == ["Three", "Bolt"]


def test_i_would_is_neither_an_id_nor_its_letters():
    assert matched("I'd say I\u2019d like my ID", "ID") == ["ID"]


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
def test_offsets_are_exact_in_unicode_text(text: str, expected: list[str]):
    assert matched(text, "Telefónica") == expected


def test_ligatures_and_sharp_s_match_their_letters():
    assert matched("ﬁber WEISS", "Fiber", "Weiß") == ["ﬁber", "WEISS"]


def test_the_first_then_the_longer_of_overlapping_names_wins():
    sky, cable = Competitor("Sky", ("sky tv",)), Competitor("Cable Co", ("tv cable",))
    assert matched("sky tv cable", sky, cable) == ["sky tv"]


def test_a_short_name_is_found_inside_a_longer_one_that_fails():
    assert matched("o2 businesses", Competitor("O2", ("o2 business",))) == ["o2"]


def test_adjacent_names_are_all_found():
    assert matched("ee ee o2 ee", "EE", "O2") == ["ee", "ee", "o2", "ee"]


def test_an_empty_catalog_or_text_has_no_matches():
    assert matched("EE") == []
    assert matched("", "EE") == []


def test_a_match_has_the_alias_as_listed():
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


def reference_matches(text: str, catalog: Catalog) -> list[str]:
    """Find leftmost-longest matches by trying every form at every run of words."""
    forms = {
        form.replace(" ", ""): s.competitor.name for form, s in catalog.surface_forms().items()
    }
    words = normalise(text).split()
    found: list[str] = []
    at = 0
    while at < len(words):
        ends = [e for e in range(len(words), at, -1) if "".join(words[at:e]) in forms]
        if ends:
            found.append(forms["".join(words[at : ends[0]])])
        at = ends[0] if ends else at + 1
    return found


WORDS = st.lists(
    st.sampled_from(["EE", "t-mobile", "TMobile", "sky", "Sky", "TV", "O2", "talk", "Talk", "été"])
).map(" ".join)


@FEW
@given(WORDS, CATALOGS)
def test_it_agrees_with_the_reference_implementation(text: str, catalog: Catalog):
    names = [hit.competitor.name for hit in Matcher(catalog).find(text)]
    assert names == reference_matches(text, catalog)


@FEW
@given(TEXTS, CATALOGS)
def test_offsets_delimit_a_spelling_of_the_alias_at_word_boundaries(text: str, catalog: Catalog):
    end = 0
    for hit in Matcher(catalog).find(text):
        assert end <= hit.char_start < hit.char_end <= len(text)
        end = hit.char_end
        letters = "".join(normalise(text[hit.char_start : hit.char_end]).split()).strip("'")
        forms = {form.replace(" ", "") for form in surface_forms(hit.alias)}
        assert letters in forms | {f"{form}s" for form in forms}


@FEW
@given(TEXTS)
def test_the_normal_form_is_independent_of_unicode_composition(text: str):
    composed, apart = (normalise(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
    assert composed == apart


@FEW
@given(st.text(max_size=30))
def test_any_text_normalises_to_words_between_single_spaces(text: str):
    form = normalise(text)
    assert form == " ".join(form.split())
    assert form == form.casefold()
