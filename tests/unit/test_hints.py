"""Recogniser hints derived from the catalog."""

from callpipeline.config import CHECKOUT
from callpipeline.domain.competitors.catalog import Catalog, Competitor, recogniser_hints
from callpipeline.storage.catalog.files import read_catalog


def hints(*competitors: Competitor) -> tuple[str, ...]:
    return recogniser_hints(Catalog(competitors))


def test_an_empty_list_gives_no_hints():
    assert hints() == ()


def test_names_come_first_then_aliases_in_turn():
    found = hints(
        Competitor("Vodafone", ("voda", "the red ones")),
        Competitor("BT", ("british telecom",)),
    )
    assert found == ("Vodafone", "BT", "Voda", "British Telecom", "The Red Ones")


def test_an_ambiguous_name_is_no_hint_but_its_longer_aliases_are():
    three = Competitor("Three", ("three mobile", "threes"), ambiguous=True)
    one = Competitor("One", ("one dot com", "1"), ambiguous=True)
    assert hints(three, one) == ("Three Mobile", "One Dot Com")


def test_an_ambiguous_name_of_several_words_is_a_hint_itself():
    assert hints(Competitor("iD Mobile", ("id",), ambiguous=True)) == ("iD Mobile",)


def test_a_spelled_out_name_is_no_hint():
    assert hints(Competitor("Amazon", ("aws", "a w s"))) == ("Amazon", "AWS")


def test_spellings_of_how_a_name_is_misheard_are_no_hints():
    found = hints(Competitor("Vodafone", ("voda phone", "voda fone", "Voda")))
    assert found == ("Vodafone", "Voda")


def test_a_misheard_name_is_the_first_hint_as_it_is_written():
    found = hints(
        Competitor("Vodafone"),
        Competitor("Three", sounds_like=("thre",), ambiguous=True),
        Competitor("Cyteva", ("Cyteva Labs",), sounds_like=("site eva", "Sativa")),
    )
    assert found == ("Cyteva", "Vodafone", "Cyteva Labs")


def test_other_spellings_of_a_hint_are_skipped():
    found = hints(
        Competitor("T-Mobile", ("t mobile", "tmobile")),
        Competitor("GoDaddy", ("go daddy",)),
        Competitor("Sainsbury's", ("sainsburys",)),
    )
    assert found == ("T-Mobile", "GoDaddy", "Sainsbury's")


def test_the_same_list_gives_the_same_hints():
    catalog = read_catalog(CHECKOUT / "samples" / "competitors.yaml").catalog
    found = recogniser_hints(catalog)
    assert found == recogniser_hints(
        read_catalog(CHECKOUT / "samples" / "competitors.yaml").catalog
    )
    assert found[:3] == ("Vodafone", "iD Mobile", "BT")
    assert "Sky Broadband" in found
    assert not {"Three", "Sky", "EE", "One", "Orange", "id"} & set(found)
