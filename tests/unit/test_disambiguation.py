"""Disambiguation: whether an ordinary word means a company, judged by its context."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.disambiguation.scoring import Answer, NameAnswers
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.transcripts import Segment, Transcript

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


def as_transcribed(text: str) -> str:
    """Format like a recogniser: no capitals, no punctuation."""
    return re.sub(r"[.,?!;-]+", " ", text).lower()


def one_turn(text: str, *, start_s: float = 3.0, index: int = 0) -> Segment:
    return Segment(index, start_s, start_s + 2, Channel.RIGHT, Speaker.CUSTOMER, text)


def customer(*segments: Segment) -> Transcript:
    return Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", segments)


def agent(text: str) -> Transcript:
    segment = Segment(0, 0.0, 2.0, Channel.LEFT, Speaker.AGENT, text)
    return Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (segment,))


def mention_in(marked: str, asked: str = "") -> Mention:
    """Return the mention of the name in square brackets."""
    turn = one_turn(marked.replace("[", "").replace("]", ""))
    mentions = find_mentions((agent(asked), customer(turn)), MATCHER)
    return next(m for m in mentions if m.char_start == marked.index("["))


def labelled() -> list[tuple[str, str, str]]:
    groups = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    entries = [entry for group in groups.values() for entry in group]
    written = [(e["text"], e.get("asked", ""), e["status"]) for e in entries]
    transcribed = [
        (as_transcribed(e["text"]), as_transcribed(e.get("asked", "")), e["status"])
        for e in entries
        if not e.get("cased")
    ]
    return written + transcribed


def test_there_are_enough_sentences():
    assert len(labelled()) >= 120


@pytest.mark.parametrize(
    ("text", "asked"), [(text, asked) for text, asked, status in labelled() if status != "counted"]
)
def test_an_ordinary_word_never_counts(text: str, asked: str):
    assert not mention_in(text, asked).counts


def test_nearly_every_company_counts():
    outcomes = Counter(
        mention_in(text, asked).status for text, asked, status in labelled() if status == "counted"
    )
    assert outcomes[MentionStatus.COUNTED] / outcomes.total() > 0.9
    assert outcomes[MentionStatus.DISMISSED] == 0


@pytest.mark.parametrize(
    ("text", "said", "outcome"),
    [
        ("for [three] months", '"three months"', "suggests the ordinary word"),
        ("give me your [id]", '"your id"', "suggests the ordinary word"),
        ("thinking of switching to [three]", '"switching to three"', "suggest the company"),
        ("It came by [Sky]", 'the capital letter in "by Sky"', "suggests the company"),
        ("the sky or an [orange] light", '"an orange"', "suggest the ordinary word"),
        ("i called a [bolt] or a taxi", '"taxi"', "suggests the company"),
        ("it weighs £[3]", '"£3"', "suggests the ordinary word"),
        ("version 2.[3]", '"2.3"', "suggests the ordinary word"),
    ],
)
def test_the_reason_quotes_the_evidence(text: str, said: str, outcome: str):
    reason = mention_in(text).reason
    assert said in reason
    assert reason.endswith(outcome)


def test_a_reason_has_at_most_three_terms():
    reason = mention_in("the sky or an [orange] light").reason
    assert reason.count(",") + reason.count(" and ") <= 2


def test_a_full_name_of_several_words_needs_no_evidence():
    matcher = Matcher(Catalog((Competitor("iD Mobile", ("id", "i d"), ambiguous=True),)))
    found = find_mentions((customer(one_turn("my id mobile or give me your id or i d")),), matcher)
    assert [mention.counts for mention in found] == [True, False, False]


def test_a_pause_within_a_sentence_does_not_hide_the_evidence():
    before, after = one_turn("i am switching to"), one_turn("three next week", start_s=6, index=1)
    (mention,) = find_mentions((customer(before, after),), MATCHER)
    assert mention.counts


def test_a_full_stop_or_a_long_pause_ends_the_sentence():
    stopped = one_turn("I am switching to."), one_turn("three", start_s=6, index=1)
    later = one_turn("i am switching to"), one_turn("three", start_s=16, index=1)
    for turns in (stopped, later):
        (mention,) = find_mentions((customer(*turns),), MATCHER)
        assert mention.status is MentionStatus.NEEDS_REVIEW


def scored(marked: str, *answers: Answer) -> Mention:
    """Return the mention of the name in brackets, after these answers about it."""
    turn = customer(one_turn(marked.replace("[", "").replace("]", "")))
    given = {name: NameAnswers(answers) for name in ORDINARY}
    mentions = find_mentions((turn,), MATCHER, answers=given)
    return next(m for m in mentions if m.char_start == marked.index("["))


def test_answers_move_the_name():
    text = "[sky] i think"
    yes, no = Answer(-0.5, is_company=True), Answer(0.5, is_company=False)
    assert scored(text).status is MentionStatus.NEEDS_REVIEW
    assert scored(text, *[yes] * 4).status is MentionStatus.COUNTED
    assert scored(text, *[no] * 4).status is MentionStatus.DISMISSED


def test_one_answer_alone_dismisses_nothing_without_plain_evidence():
    never = Answer(9.0, is_company=False)
    assert scored("[sky] i think", never).status is MentionStatus.NEEDS_REVIEW


def test_an_answer_is_remembered_for_the_phrase():
    no = Answer(2.0, is_company=False, phrase="orange county")
    assert scored("we moved to [Orange] County", no).status is MentionStatus.DISMISSED
    assert "a reviewer said" in scored("we moved to [Orange] County", no).reason


def test_a_plain_figure_is_final():
    yes = [Answer(-3.0, is_company=True)] * 5
    assert scored("i waited [three] months", *yes).status is MentionStatus.DISMISSED


def test_what_a_competitor_sells_is_evidence():
    (without,) = find_mentions(
        (customer(one_turn("my sky hotel room")),),
        Matcher(Catalog((Competitor("Sky", ambiguous=True),))),
    )
    (sold,) = find_mentions(
        (customer(one_turn("my sky hotel room")),),
        Matcher(Catalog((Competitor("Sky", ambiguous=True, sells="hotel rooms"),))),
    )
    assert sold.log_odds is not None
    assert without.log_odds is not None
    assert sold.log_odds > without.log_odds


HELD_OUT = Path(__file__).parents[1] / "data" / "names"


@pytest.mark.parametrize("trade", ["telecom", "other"])
def test_names_of_a_trade_that_were_never_trained_on(trade: str):
    """Hold the floor on sentences without training data; weights were chosen with them in view."""
    outcomes = Counter[tuple[str, MentionStatus]]()
    for line in (HELD_OUT / f"{trade}.txt").read_text(encoding="utf-8").splitlines():
        name, label, marked = line.split("|")
        matcher = Matcher(Catalog((Competitor(name, ambiguous=True),)))
        turn = customer(one_turn(marked.replace("[", "").replace("]", "")))
        found = find_mentions((turn,), matcher)
        mention = next(m for m in found if m.char_start == marked.index("["))
        outcomes[label, mention.status] += 1
    right, wrong = outcomes["1", MentionStatus.COUNTED], outcomes["0", MentionStatus.COUNTED]
    companies = sum(count for (label, _), count in outcomes.items() if label == "1")
    assert right / (right + wrong) >= 0.9
    assert right / companies >= 0.5
    assert outcomes["1", MentionStatus.DISMISSED] <= 0.05 * companies
