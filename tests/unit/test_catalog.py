"""The catalog: its version, and invalid entries."""

import pytest

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.errors import CatalogInvalid


def catalog(*competitors: Competitor) -> Catalog:
    return Catalog(competitors)


def test_a_catalog_may_be_empty():
    assert catalog().surface_forms() == {}


def test_the_order_of_entries_and_aliases_does_not_change_the_version():
    sky = Competitor("Sky", ("sky tv", "sky mobile"), sounds_like=("ski", "skye"))
    again = Competitor("Sky", ("sky mobile", "sky tv"), sounds_like=("skye", "ski"))
    ee = Competitor("EE")
    assert catalog(sky, ee).version == catalog(ee, again).version


@pytest.mark.parametrize(
    "changed",
    [
        Competitor("Sky"),
        Competitor("Sky", ("sky tv",), ambiguous=True),
        Competitor("Sky", ("sky tv",), evidence=("dish",)),
        Competitor("SKY", ("sky tv",)),
        Competitor("Sky", ("sky tv",), sounds_like=("ski",)),
        Competitor("Sky", sounds_like=("sky tv",)),
    ],
)
def test_any_change_of_content_changes_the_version(changed: Competitor):
    assert catalog(changed).version != catalog(Competitor("Sky", ("sky tv",))).version


def test_a_duplicate_name_is_refused_ignoring_case():
    with pytest.raises(CatalogInvalid, match=r"Duplicate names.*vodafone"):
        catalog(Competitor("Vodafone"), Competitor("VODAFONE"))


def test_an_empty_name_is_refused():
    with pytest.raises(CatalogInvalid, match="empty name"):
        catalog(Competitor("  "))


def test_a_name_without_letters_is_refused():
    with pytest.raises(CatalogInvalid, match=r"'—' \(Dash\) has no letter"):
        catalog(Competitor("Dash", ("—",)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Competitor("Sky", ("sky tv",)), Competitor("Now", ("Sky-TV",))),
        (Competitor("T-Mobile"), Competitor("TMobile")),
        (Competitor("GoDaddy"), Competitor("Domains", ("go daddy",))),
        (Competitor("BT"), Competitor("Beat", ("b t",))),
        (Competitor("Sainsbury's"), Competitor("Sainsburys")),
        (Competitor("Telefónica"), Competitor("Telefonica")),
    ],
)
def test_two_competitors_that_sound_alike_are_refused_naming_both(
    one: Competitor, other: Competitor
):
    with pytest.raises(CatalogInvalid) as refusal:
        catalog(one, other)
    assert one.name in str(refusal.value)
    assert other.name in str(refusal.value)


def test_a_competitor_may_list_the_same_alias_in_several_spellings():
    forms = catalog(Competitor("TalkTalk", ("talk talk", "Talk-Talk", "TALKTALK"))).surface_forms()
    assert {spoken.competitor.name for spoken in forms.values()} == {"TalkTalk"}


def test_a_surface_form_is_reported_under_its_alias():
    forms = catalog(Competitor("GoDaddy", ("go daddy",))).surface_forms()
    assert forms["go daddy"].alias == "go daddy"
    assert forms["godaddy"].alias == "GoDaddy"
