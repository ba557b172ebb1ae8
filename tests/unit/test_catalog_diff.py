"""Differences between catalogs, and the search for the calls that they can affect."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.catalog_diff import FormSearch, changed_forms, diff_catalogs
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.rematch.planning import RematchStatus
from callpipeline.storage.ports.rematch import ResultVersions, Staleness, VersionCount
from callpipeline.web.pages.rendering import render_fragment

NAMES = (
    *("Vodafone", "AT&T", "T-Mobile", "Sainsbury's", "Nestlé"),
    *("O2", "EE", "Sky", "C+", "one.com", "PlusNet", "Three Mobile", "Lloyds"),
)
ALIASES = (
    *("at and t", "A.T.&T.", "t mobile", "TMOBILE", "sainsburys bank", "Sainsbury’s"),
    *("nestle", "o 2", "e e", "don't", "the"),
)
PIECES = (
    *(*NAMES, *ALIASES, "sky's", "c plus", "C +", "one dot com", "plus", "net", "Voda", "fone"),
    *("three", "3", "mobiles", "Lloyd's", "lloyd", "skies", "EEs", "e.e."),
    *("İ", "£5", "-", ",", "'", " "),
)


def catalogs() -> st.SearchStrategy[Catalog]:
    def made(competitors: list[Competitor]) -> Catalog | None:
        try:
            return Catalog(tuple({each.name: each for each in competitors}.values()))
        except CatalogInvalid:
            return None

    competitors = st.builds(
        Competitor,
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(ALIASES), max_size=2).map(tuple),
        ambiguous=st.booleans(),
        sounds_like=st.lists(st.sampled_from(ALIASES), max_size=1).map(tuple),
    )
    found = st.lists(competitors, max_size=6).map(made)
    return found.filter(lambda each: each is not None).map(lambda each: each or Catalog(()))


TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda gap: gap.join(pieces))
)


@given(catalogs(), catalogs(), TEXTS)
@example(Catalog(()), Catalog((Competitor("AT&T"),)), "i use AT&T now")
def test_a_text_without_a_changed_form_has_the_same_matches(
    before: Catalog, after: Catalog, text: str
) -> None:
    def found(catalog: Catalog) -> list[tuple[str, bool, str, int, int]]:
        return [
            (m.competitor.name, m.competitor.ambiguous, m.alias, m.char_start, m.char_end)
            for m in Matcher(catalog).find(text)
        ]

    search = FormSearch(changed_forms(before, after))
    if found(before) != found(after):
        assert search.is_in(text)
        # The database reads texts with other letters, and those that match the pattern.
        is_plain = not re.search(r"[^\x01-\x7f£€“”‘’…–—]|[&+]", text)
        assert not is_plain or re.search(search.pattern, text.lower())


def test_another_alias_leaves_the_other_names_alone() -> None:
    before = Catalog((Competitor("Vodafone"), Competitor("Sky")))
    after = Catalog((Competitor("Vodafone", ("voda",)), Competitor("Sky")))
    assert changed_forms(before, after) == {"voda"}


def test_nothing_changed_finds_nothing() -> None:
    catalog = Catalog((Competitor("Sky"),))
    search = FormSearch(changed_forms(catalog, catalog))
    assert not re.search(search.pattern, "sky and anything else")


def test_a_name_is_found_again_where_it_becomes_one_that_was_misheard() -> None:
    before = Catalog((Competitor("Vodafone", ("voda",), sounds_like=("vote a phone",)),))
    after = Catalog((Competitor("Vodafone", sounds_like=("voda", "vote a phone")),))
    assert changed_forms(before, after) == {"voda"}


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (
            Competitor("Sky", sounds_like=("ski",)),
            Competitor("Sky", sounds_like=("ski", "skye")),
            "~ Sky: + sounds-like alias skye",
        ),
        (None, Competitor("Sky", sounds_like=("ski",)), "+ Sky (heard as ski)"),
        (None, Competitor("Sky", ("sky tv",), ambiguous=True), "+ Sky (also sky tv; ambiguous)"),
        (Competitor("Sky"), None, "- Sky"),
        (Competitor("Sky"), Competitor("Sky", ambiguous=True), "~ Sky: ambiguous"),
        (
            Competitor("Sky", ("a", "b")),
            Competitor("Sky", ("b", "c", "d"), own=True),
            "~ Sky: + aliases c, d, - alias a, your own company",
        ),
    ],
)
def test_a_difference_is_one_line(
    before: Competitor | None, after: Competitor | None, line: str
) -> None:
    old, new = (Catalog((each,) if each else ()) for each in (before, after))
    assert [change.describe() for change in diff_catalogs(old, new)] == [line]


def banner(*stale: VersionCount) -> str:
    """Render the banner of a page with numbers."""
    status = RematchStatus(Staleness(10_431, stale), None, list_age_s=5.0)
    name = "competitors/status.html"
    return render_fragment(name, rematch_status=status, view="numbers", is_over=False)


def test_pages_say_that_their_numbers_mix_versions() -> None:
    shown = banner(VersionCount(ResultVersions("abc", 1), 12))
    assert "12 of 10,431 calls are on an older list." in shown
    assert "mix versions" in shown
    assert "<p" not in banner()
    shown = banner(VersionCount(ResultVersions("abc", 1), 12, unreachable=12))
    assert "were deleted" in shown and "mix versions" not in shown
