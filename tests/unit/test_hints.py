"""The names of a competitor list that a recogniser is told to listen for."""

from callpipeline.config import CHECKOUT
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.hints import hints_of
from callpipeline.storage.catalog_file import read_catalog


def hints(*competitors: Competitor) -> tuple[str, ...]:
    return hints_of(Catalog(competitors))


def test_an_empty_list_gives_no_hints():
    assert hints() == ()


def test_names_come_first_then_aliases_in_turn():
    found = hints(
        Competitor("Vodafone", ("voda", "the red ones")),
        Competitor("BT", ("british telecom",)),
    )
    assert found == ("Vodafone", "BT", "voda", "british telecom", "the red ones")


def test_an_everyday_word_is_no_hint_and_its_longer_names_are():
    three = Competitor("Three", ("three mobile", "threes"), ambiguous=True)
    one = Competitor("One", ("one dot com", "1"), ambiguous=True)
    assert hints(three, one) == ("three mobile", "one dot com")


def test_an_ambiguous_name_of_several_words_is_a_hint_itself():
    assert hints(Competitor("iD Mobile", ("id",), ambiguous=True)) == ("iD Mobile",)


def test_letters_one_by_one_are_no_hint():
    assert hints(Competitor("Amazon", ("aws", "a w s"))) == ("Amazon", "aws")


def test_other_writings_of_a_hint_are_left_out():
    found = hints(
        Competitor("T-Mobile", ("t mobile", "tmobile")),
        Competitor("GoDaddy", ("go daddy",)),
        Competitor("Sainsbury's", ("sainsburys",)),
    )
    assert found == ("T-Mobile", "GoDaddy", "Sainsbury's")


def test_the_same_list_gives_the_same_hints():
    catalog = read_catalog(CHECKOUT / "samples" / "competitors.yaml")
    found = hints_of(catalog)
    assert found == hints_of(read_catalog(CHECKOUT / "samples" / "competitors.yaml"))
    assert found[:3] == ("Vodafone", "iD Mobile", "BT")
    assert "sky broadband" in found
    assert not {"Three", "Sky", "EE", "One", "Orange", "id"} & set(found)
