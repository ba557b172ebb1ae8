"""What a preview says of the names of a list: how often they are said, and what is missing."""

from collections.abc import Iterable

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.pipeline.rematch.spoken_names import NameTally, SpokenName


def spoken(catalog: Catalog, texts: Iterable[str]) -> list[SpokenName]:
    """Count the names in texts, each of a call of its own."""
    tally, matcher = NameTally(catalog), Matcher(catalog)
    for text in texts:
        segment = Segment(0, 0.0, 5.0, Channel.RIGHT, Speaker.CUSTOMER, text)
        transcript = Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", (segment,))
        for mention in find_mentions([transcript], matcher):
            tally.add(mention, text, counts=mention.counts)
    return list(tally.spoken())


def test_names_are_counted_in_the_order_of_the_list() -> None:
    catalog = Catalog((Competitor("Vodafone", ("Voda",)), Competitor("Lebara")))
    names = spoken(catalog, ["Lebara and Voda", "Vodafone, Vodafone", "nothing"])
    assert [(each.alias, each.said, each.counted) for each in names] == [
        ("Vodafone", 2, 2), ("Voda", 1, 1), ("Lebara", 1, 1),
    ]  # fmt: skip
    assert all(not each.advice for each in names), "nothing is wrong with these"


def test_a_name_in_lower_case_is_proposed_as_ambiguous() -> None:
    catalog = Catalog((Competitor("Gigaclear"), Competitor("Fuse")))
    texts = ["The fuse blew.", "Change a fuse first.", "No fuse here.", "With Gigaclear and Fuse."]
    clear, fuse = spoken(catalog, texts)
    assert (fuse.said, fuse.lower_case, clear.advice) == (4, 3, ())
    assert fuse.advice == (
        "it is written in lower case in 3 of 4 places: with `ambiguous: true` it counts only where "
        "evidence is",
    )
    assert fuse.looks_ordinary and not clear.looks_ordinary


def test_a_common_word_is_proposed_as_ambiguous_even_if_written_like_a_name() -> None:
    names = spoken(Catalog((Competitor("Energy"),)), ["With Energy.", "Energy rang.", "By Energy."])
    (advice,) = names[0].advice
    assert "general text says 'energy'" in advice and "`ambiguous: true`" in advice


def test_few_places_are_no_reason_for_advice() -> None:
    (name,) = spoken(Catalog((Competitor("Fuse"),)), ["The fuse blew.", "A fuse."])
    assert (name.said, name.advice) == (2, ())


def test_an_ambiguous_name_with_open_places_lacks_what_it_sells_and_evidence() -> None:
    counting = [
        "we switched to zoom for the broadband and the router",
        "leaving zoom for broadband",
    ]
    counting += ["moved to zoom because of the router and broadband"]
    waiting = ["zoom perhaps", "and zoom then", "zoom maybe"]
    listed = Competitor("Zoom", ambiguous=True)
    (name,) = spoken(Catalog((listed,)), [*counting, *waiting])
    assert (name.said, name.counted, name.waiting) == (6, 3, 3)
    assert name.advice == (
        "3 of 6 places wait for review: say in `sells:` what it sells, in a few words",
        "3 of 6 places wait for review: evidence could be broadband, router",
    )
    told = Competitor("Zoom", ambiguous=True, sells="fibre", evidence=("broadband", "router"))
    assert spoken(Catalog((told,)), [*counting, *waiting])[0].advice == ()


def test_nothing_is_proposed_for_your_own_name() -> None:
    own = Competitor("Fuse", own=True)
    assert spoken(Catalog((own,)), ["the fuse"] * 5)[0].advice == ()
