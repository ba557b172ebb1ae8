"""Merging of two changes of one list: no one's change is lost."""

import pytest

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.catalog_merge import merge_catalogs, merge_entries
from callpipeline.errors import CatalogInvalid

BASE = Catalog((Competitor("Vodafone", ("voda",)), Competitor("Sky", ambiguous=True)))
VODAFONE, SKY = BASE.competitors


def test_fields_that_one_changed_are_taken_from_that_one() -> None:
    base = Competitor("Sky", ("sky tv", "sky mobile"), evidence=("dish",), sells="television")
    mine = Competitor("Sky", ("sky tv", "sky broadband"), evidence=("dish",), sells="broadband")
    theirs = Competitor("Sky UK", ("sky mobile", "sky tv", "sky q"), True, ("box",), own=True)
    expected = Competitor(
        "Sky UK", ("sky tv", "sky q", "sky broadband"), True, ("box",), True, "broadband"
    )
    assert merge_entries(base, mine, theirs) == expected


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        ((VODAFONE, SKY, Competitor("A")), (VODAFONE, SKY, Competitor("B")), "Vodafone Sky B A"),
        ((VODAFONE,), (VODAFONE, SKY, Competitor("B")), "Vodafone B"),
        ((VODAFONE, SKY, Competitor("A")), (SKY,), "Sky A"),
        ((VODAFONE,), (VODAFONE, Competitor("Sky", ("sky tv",))), "Vodafone"),
        ((VODAFONE, Competitor("Sky", ("sky tv",))), (VODAFONE,), "Vodafone Sky"),
    ],
)
def test_additions_and_removals_of_both_are_kept(
    mine: tuple[Competitor, ...], theirs: tuple[Competitor, ...], merged: str
) -> None:
    found = merge_catalogs(BASE, Catalog(mine), Catalog(theirs))
    assert [each.name for each in found.competitors] == merged.split()


def test_a_name_that_both_added_has_the_aliases_of_both() -> None:
    mine, theirs = (
        Catalog((*BASE.competitors, Competitor("Voxi", (alias,)))) for alias in ("vox e", "foxy")
    )
    assert merge_catalogs(BASE, mine, theirs).competitors[-1].aliases == ("foxy", "vox e")


def test_changes_that_contradict_each_other_are_refused() -> None:
    mine = Catalog((*BASE.competitors, Competitor("Voxi", ("foxy",))))
    theirs = Catalog((*BASE.competitors, Competitor("Foxy")))
    with pytest.raises(CatalogInvalid, match=r"[Ff]oxy"):
        merge_catalogs(BASE, mine, theirs)
