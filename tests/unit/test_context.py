"""Whether an ordinary word is meant as a company's name, decided by what stands around it."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.transcript import Segment, Transcript

SENTENCES = Path(__file__).parents[1] / "data" / "ambiguous_sentences.yaml"
ORDINARY = ("Three", "Sky", "EE", "Orange", "ID", "O2", "One", "Olive", "Boost")
MATCHER = Matcher(
    Catalog(
        (
            *(Competitor(name, ambiguous=True) for name in ORDINARY),
            *(Competitor(name) for name in ("Vodafone", "Plusnet", "IONOS")),
            Competitor("Bolt", ("3",), ambiguous=True, evidence=("taxi",)),
        )
    )
)


def as_heard(text: str) -> str:
    """As a recogniser writes it: no capitals, no punctuation."""
    return re.sub(r"[.,?!;-]+", " ", text).lower()


def one_turn(text: str, *, start_s: float = 3.0, index: int = 0) -> Segment:
    return Segment(index, start_s, start_s + 2, Channel.RIGHT, Speaker.CUSTOMER, text)


def customer(*segments: Segment) -> Transcript:
    return Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", segments)


def agent(text: str) -> Transcript:
    segment = Segment(0, 0.0, 2.0, Channel.LEFT, Speaker.AGENT, text)
    return Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,))


def verdict(marked: str, asked: str = "") -> Mention:
    """The mention of the name in square brackets."""
    turn = one_turn(marked.replace("[", "").replace("]", ""))
    mentions = find_mentions((agent(asked), customer(turn)), MATCHER)
    return next(m for m in mentions if m.char_start == marked.index("["))


def labelled() -> list[tuple[str, str, str]]:
    groups = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    entries = [entry for group in groups.values() for entry in group]
    written = [(e["text"], e.get("asked", ""), e["status"]) for e in entries]
    heard = [
        (as_heard(e["text"]), as_heard(e.get("asked", "")), e["status"])
        for e in entries
        if not e.get("cased")
    ]
    return written + heard


def test_there_are_enough_sentences_to_mean_something():
    assert len(labelled()) >= 120


@pytest.mark.parametrize(
    ("text", "asked"), [(text, asked) for text, asked, status in labelled() if status != "accepted"]
)
def test_an_ordinary_word_never_counts(text: str, asked: str):
    assert not verdict(text, asked).counts


def test_nearly_every_company_counts():
    outcomes = Counter(
        verdict(text, asked).status for text, asked, status in labelled() if status == "accepted"
    )
    assert outcomes[MentionStatus.ACCEPTED] / outcomes.total() > 0.9
    assert outcomes[MentionStatus.REJECTED] == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("for [three] months", "followed by a unit: 'months'"),
        ("give me your [id]", "a determiner before it: 'your id'"),
        ("thinking of switching to [three]", "a verb of switching before it: 'switching to three'"),
        ("vodafone and [three]", "named beside another competitor: 'and'"),
        ("It came by [Sky]", "capitalised inside a sentence: 'by Sky'"),
        ("the sky or an [orange] light", "a colour: 'orange light'"),
        ("i called a [bolt] or a taxi", "its own evidence near: 'taxi'"),
        ("it weighs £[3]", "part of a figure: '£3'"),
        ("version 2.[3]", "part of a figure: '2.3'"),
        ("[sky] i think", "nothing around it speaks for or against the company"),
    ],
)
def test_the_reason_is_told_in_words_for_a_person(text: str, reason: str):
    assert verdict(text).reason == reason


def test_a_full_name_of_several_words_needs_no_evidence():
    matcher = Matcher(Catalog((Competitor("iD Mobile", ("id", "i d"), ambiguous=True),)))
    found = find_mentions((customer(one_turn("my id mobile or my id or my i d")),), matcher)
    assert [mention.counts for mention in found] == [True, False, False]


def test_a_pause_within_the_sentence_does_not_hide_the_evidence():
    before, after = one_turn("i am switching to"), one_turn("three next week", start_s=6, index=1)
    (mention,) = find_mentions((customer(before, after),), MATCHER)
    assert mention.counts


def test_a_full_stop_or_a_long_pause_ends_the_sentence():
    stopped = one_turn("I am switching to."), one_turn("three", start_s=6, index=1)
    later = one_turn("i am switching to"), one_turn("three", start_s=16, index=1)
    for turns in (stopped, later):
        (mention,) = find_mentions((customer(*turns),), MATCHER)
        assert mention.status is MentionStatus.UNSURE
