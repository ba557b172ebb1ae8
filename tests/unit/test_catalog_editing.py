"""Edits of single competitors, and their problems by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.catalog.editing import (
    CompetitorEdit,
    EditedCatalog,
    edit_catalog,
    edit_entries,
)
from callpipeline.storage.catalog.files import catalog_to_yaml, parse_catalog

BASE = Catalog(
    (Competitor("Vodafone"), Competitor("Three", ("three uk",), ambiguous=True), Competitor("O2"))
)


def edited(**what: object) -> EditedCatalog:
    return edit_catalog(BASE, CompetitorEdit(**what))  # pyright: ignore[reportArgumentType]


def names(catalog: Catalog | None) -> list[str]:
    assert catalog
    return [each.name for each in catalog.competitors]


def test_entries_are_added_replaced_and_removed_in_place() -> None:
    assert names(edited(name="Voxi").catalog) == ["Vodafone", "Three", "O2", "Voxi"]
    renamed = edited(replaces="Three", name="Three UK", aliases=("3 uk",), sells=" mobile  plans ")
    assert names(renamed.catalog) == ["Vodafone", "Three UK", "O2"]
    assert renamed.catalog
    assert renamed.catalog.competitors[1] == Competitor("Three UK", ("3 uk",), sells="mobile plans")
    assert names(edited(replaces="Three").catalog) == ["Vodafone", "O2"]


def test_written_names_are_tidied() -> None:
    found = edited(name="  “Talk  Talk” ", aliases=("", "tt", " tt ", "  "), own=True).catalog
    assert found
    assert found.competitors[-1] == Competitor("Talk Talk", ("tt",), own=True)


@pytest.mark.parametrize(
    ("what", "where", "problem"),
    [
        ({"name": ""}, "name", "A name is empty"),
        ({"name": "x" * 101}, "name", "longer than 100 characters"),
        ({"name": "Vo\0xi"}, "name", "a character that is no text"),
        ({"name": "!?"}, "name", "no letter or digit"),
        ({"name": "Voxi, Smarty"}, "name", "looks like several names"),
        ({"name": "vodafone"}, "name", "Vodafone is on the list already."),
        ({"name": "THREE UK"}, "name", "THREE UK sounds like three uk of Three."),
        ({"name": "Voxi", "aliases": ("O2",)}, "aliases", "O2 has the name O2 already."),
        ({"name": "Voxi", "aliases": ("o 2",)}, "aliases", "o 2 sounds like O2 of O2."),
        ({"name": "Voxi", "aliases": ("a; b",)}, "aliases", "looks like several names"),
        ({"name": "Voxi", "sounds_like": ("o 2",)}, "sounds_like", "o 2 sounds like O2 of O2."),
        ({"name": "Voxi", "sounds_like": ("…",)}, "sounds_like", "no letter or digit"),
        ({"name": "Voxi", "evidence": ("…",)}, "evidence", "no letter or digit"),
        ({"name": "Voxi", "sells": "x" * 201}, "sells", "a few words"),
        ({"name": "with"}, "name", "a word of nearly every sentence"),
        ({"replaces": "EE", "name": "EE"}, "name", "EE is no longer on the list"),
        ({"replaces": "EE"}, "name", "EE is no longer on the list"),
    ],
)
def test_a_problem_is_reported_at_its_field(
    what: dict[str, object], where: str, problem: str
) -> None:
    found = edited(**what)
    assert found.catalog is None
    assert list(found.problems) == [where]
    assert any(problem in each for each in next(iter(found.problems.values())))


def test_the_last_entry_can_not_be_removed() -> None:
    only = Catalog((Competitor("Vodafone"),))
    found = edit_catalog(only, CompetitorEdit(replaces="Vodafone"))
    assert (found.catalog, *found.problems["name"]) == (
        None,
        "The list would be empty: keep at least one name.",
    )


@pytest.mark.parametrize(
    ("stated", "read", "warns"), [(None, True, True), (True, True, False), (False, False, False)]
)
def test_ordinary_words_are_ambiguous_unless_stated(
    stated: bool | None, read: bool, warns: bool
) -> None:
    found = edited(name="Orange", ambiguous=stated)
    assert found.catalog
    assert found.catalog.competitors[-1].ambiguous is read
    assert bool(found.warnings) is warns


def test_several_edits_build_on_each_other() -> None:
    edits = [CompetitorEdit(name="Voxi"), CompetitorEdit(replaces="Voxi", name="VOXI")]
    assert names(edit_entries(BASE, edits)) == ["Vodafone", "Three", "O2", "VOXI"]
    with pytest.raises(CatalogInvalid, match="edit 2: Vodafone is on the list already"):
        edit_entries(BASE, [*edits[:1], CompetitorEdit(name="Vodafone")])


WRITTEN = st.text(st.sampled_from("aoTh23 ,!&'-"), max_size=8)


@given(st.builds(CompetitorEdit, name=WRITTEN, aliases=st.lists(WRITTEN, max_size=3)))
def test_an_accepted_edit_is_a_file_of_the_same_version(edit: CompetitorEdit) -> None:
    found = edit_catalog(BASE, edit)
    assert (found.catalog is None) == bool(found.problems)
    if found.catalog:
        written = catalog_to_yaml(found.catalog).encode()
        assert parse_catalog(written, "list.yaml").catalog.version == found.catalog.version
