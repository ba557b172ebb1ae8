"""Accuracy and rules of the lexicon judge."""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment, Transcript, number_segments
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.lexicon import LexiconJudge
from callpipeline.errors import MissingObject
from tests.builders import a_mention, a_transcript

SENTENCES = Path(__file__).parents[1] / "data" / "sentiment_sentences.yaml"
FLOOR = 0.75
"""Macro-F1; measured were 0.83, and 0.51 and 0.53 on unseen sentences."""

NAMES = """Vodafone,EE,Sky,Tesco Mobile,Three,TalkTalk,Amazon,GoDaddy,Google,Plusnet,O2,BT,Orange,
Fasthosts,giffgaff,Lebara,Wix,Voxi,IONOS,Microsoft"""
MATCHER = Matcher(
    Catalog(
        (
            Competitor("Virgin Media", ("virgin",)),
            *(Competitor(name.strip()) for name in NAMES.split(",")),
        )
    )
)


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence with its target in square brackets."""

    text: str
    label: Sentiment
    speaker: Speaker = Speaker.CUSTOMER
    next: str = ""
    must: bool = False

    def as_transcribed(self) -> "LabelledSentence":
        texts = [re.sub(r"[.,?!;]+", " ", text).lower() for text in (self.text, self.next)]
        return LabelledSentence(texts[0], self.label, self.speaker, texts[1], self.must)


def labelled() -> list[LabelledSentence]:
    groups = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    return [
        LabelledSentence(
            text=entry["text"],
            label=Sentiment(entry["label"]),
            speaker=Speaker(entry.get("speaker", "customer")),
            next=entry.get("next", ""),
            must=entry.get("must", False),
        )
        for group in groups.values()
        for entry in group
    ]


def judged(case: LabelledSentence) -> Judgement:
    char_start = case.text.index("[")
    texts = [text for text in (re.sub(r"[][]", "", case.text), case.next) if text]
    segments = number_segments(
        Segment(0, 5.0 * n, 5.0 * n + 4, Channel.RIGHT, case.speaker, text)
        for n, text in enumerate(texts)
    )
    return judge(segments)[char_start]


def judge(segments: tuple[Segment, ...]) -> dict[int, Judgement]:
    """Judge the mentions of the first segment; keys are the offsets of the names."""
    transcript = Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", segments)
    mentions = find_mentions((transcript,), MATCHER)
    judgements = asyncio.run(LexiconJudge().judge(Conversation(segments), mentions))
    assert [j.mention_id for j in judgements] == [m.mention_id for m in mentions]
    pairs: list[tuple[Mention, Judgement]] = list(zip(mentions, judgements, strict=True))
    return {m.char_start: judgement for m, judgement in pairs if m.segment_index == 0}


def say(text: str, speaker: Speaker = Speaker.CUSTOMER) -> Judgement:
    return judged(LabelledSentence(text, Sentiment.MIXED, speaker))


def macro_f1(outcomes: Counter[tuple[Sentiment, Sentiment]]) -> float:
    """Return macro-F1 over positive, neutral and negative; MIXED is a miss of the true label."""
    scores: list[float] = []
    for label in (Sentiment.POSITIVE, Sentiment.NEUTRAL, Sentiment.NEGATIVE):
        wanted = sum(n for (want, _), n in outcomes.items() if want is label)
        given = sum(n for (_, got), n in outcomes.items() if got is label)
        scores.append(2 * outcomes[label, label] / (wanted + given))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("transcribed", [False, True], ids=["as_written", "as_transcribed"])
def test_macro_f1_stays_above_the_floor(transcribed: bool):
    cases = [case.as_transcribed() if transcribed else case for case in labelled()]
    outcomes = Counter((case.label, judged(case).sentiment) for case in cases)
    print(f"macro-F1 {macro_f1(outcomes):.3f} on {len(cases)} sentences")
    assert macro_f1(outcomes) > FLOOR


@pytest.mark.parametrize("case", [c for c in labelled() if c.must], ids=lambda case: case.text)
def test_plain_sentences_are_judged_correctly(case: LabelledSentence):
    assert judged(case).sentiment is case.label
    assert judged(case.as_transcribed()).sentiment is case.label


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("You are cheaper than [EE].", "comparison: 'cheaper than' → loser"),
        ("You are not cheaper than [EE].", "comparison: 'not cheaper than' → winner"),
        ("[EE] is better.", "comparison: 'better' → winner"),
        ("I want to leave [EE].", "leaving: 'leave'"),
        ("I am switching to [EE].", "joining: 'switching to'"),
        ("[EE] is awful.", "wording: 'awful' → blame"),
        ("I am with [EE].", "nothing said for or against"),
    ],
)
def test_a_judgement_names_the_rule_that_fired(text: str, rule: str):
    assert say(text).rule == rule


def test_the_quote_is_the_matched_clause_in_its_original_spelling():
    assert say("It's late, but [EE]'s support is GREAT.").quote == "but EE's support is GREAT"
    assert say("I asked [EE]. They were far too expensive.").quote == "They were far too expensive"
    assert say("Yes, the man at [EE] was rude.").quote == "Yes, the man at EE was rude"


def test_mentions_in_one_sentence_are_judged_separately():
    segment = Segment(0, 0, 4, Channel.RIGHT, Speaker.CUSTOMER, "Sky is cheaper than EE.")
    sentiments = [judgement.sentiment for judgement in judge((segment,)).values()]
    assert sentiments == [Sentiment.POSITIVE, Sentiment.NEGATIVE]


def test_praise_and_blame_together_are_mixed():
    judgement = say("[EE] is really good but they are far too expensive.")
    assert judgement.sentiment is Sentiment.MIXED
    assert judgement.rule.startswith("contradiction: ")


def test_agents_have_no_switching_intent():
    text = "So you want to leave [EE]."
    assert say(text, Speaker.AGENT).sentiment is Sentiment.NEUTRAL
    assert say(text, Speaker.UNKNOWN).sentiment is Sentiment.NEGATIVE


def test_a_clause_with_a_mention_of_its_own_does_not_continue_the_last():
    judgement = judged(
        LabelledSentence("I was with [EE].", Sentiment.NEUTRAL, next="But EE was awful.")
    )
    assert judgement.sentiment is Sentiment.NEUTRAL


@pytest.mark.parametrize("text", ["[EE]", "[EE]?", "[EE]!!! \U0001f600", "‘[EE]’s…", "so [EE] so"])
def test_unusual_texts_are_neutral(text: str):
    assert say(text).sentiment is Sentiment.NEUTRAL


def test_without_mentions_there_are_no_judgements():
    assert asyncio.run(LexiconJudge().judge(Conversation(()), ())) == ()


def test_overlapping_mentions_are_all_judged():
    """A StopIteration in the judge's thread once left its caller waiting permanently."""
    conversation = Conversation(a_transcript("sky mobile is great", channel=Channel.RIGHT).segments)
    names = [a_mention("Sky Mobile", char_start=0), a_mention("Mobile", char_start=4)]
    judged = asyncio.run(asyncio.wait_for(LexiconJudge().judge(conversation, names), 60))
    assert [j.competitor for j in judged] == ["Sky Mobile", "Mobile"]


def test_a_mention_of_another_transcript_is_an_error():
    conversation = Conversation(a_transcript("hello", channel=Channel.RIGHT).segments)
    stale = a_mention("Sky", segment_index=7)
    with pytest.raises(MissingObject, match="older transcript"):
        asyncio.run(asyncio.wait_for(LexiconJudge().judge(conversation, [stale]), 60))
