"""The sentiment encoder and its judge, with the network of the package."""

import asyncio
import re
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import TargetContext, Turn
from callpipeline.engines.encoder.inputs import (
    MARKERS,
    NAME_TOKENS,
    SIDE_TOKENS,
    TURN_TOKENS,
    encode_context,
)
from callpipeline.engines.encoder.network import FILES, LabelProbabilities, UtteranceEncoder
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.encoder_judge import RULE_CONFIDENCE, EncoderJudge
from callpipeline.errors import MissingObject
from callpipeline.pipeline.quality.sentiment_evaluation import (
    evaluate_judge,
    measure,
    read_utterances,
)
from tests.builders import a_mention

MIN_MACRO_F1, MAX_TURNED_ROUND, MIN_RIGHT_IF_SURE = 0.72, 0.19, 0.85
"""Measured were 0.76, 0.17 and 0.88."""
HELDOUT = Path(__file__).parents[2] / "training" / "encoder" / "heldout.jsonl"
POSITIVE, NEGATIVE, NEUTRAL = Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL
CUSTOMER, AGENT = Speaker.CUSTOMER, Speaker.AGENT


@pytest.fixture(scope="module")
def judge() -> EncoderJudge:
    return EncoderJudge()


def conversation(*turns: tuple[Speaker, str]) -> Conversation:
    """Return a segment per turn, three seconds apart."""
    segments: list[Segment] = []
    for at, (speaker, text) in enumerate(turns):
        channel = Channel.LEFT if speaker is AGENT else Channel.RIGHT
        index = sum(segment.channel is channel for segment in segments)
        segments.append(Segment(index, at * 3.0, at * 3.0 + 2, channel, speaker, text))
    return Conversation(tuple(segments))


def judge_sky(judge: EncoderJudge, *turns: tuple[Speaker, str]) -> Judgement:
    """Judge the first "Sky" of a conversation."""
    said = conversation(*turns)
    segment = next(segment for segment in said.segments if "Sky" in segment.text)
    mention = a_mention(
        "Sky", segment_index=segment.index, char_start=segment.text.index("Sky"),
        channel=segment.channel,
    )  # fmt: skip
    return asyncio.run(judge.judge(said, [mention]))[0]


@pytest.mark.parametrize(
    ("text", "label", "decided_by"),
    [
        ("Sky have been brilliant, I can't fault them.", POSITIVE, "model"),
        ("Sky kept me on hold for an hour and then cut me off.", NEGATIVE, "model"),
        ("We are with Sky at the moment.", NEUTRAL, "model"),
        ("Sky is dearer than you are", NEGATIVE, "comparison"),
        ("You are dearer than Sky.", POSITIVE, "comparison"),
        ("I never had a single problem with Sky.", POSITIVE, "model"),
        ("If I moved to Sky, would I keep my number?", NEUTRAL, "model"),
        ("We are not renewing with Sky.", NEGATIVE, "leaving"),
        ("I am thinking of switching to Sky.", POSITIVE, "joining"),
        ("I wouldn't leave Sky.", POSITIVE, "staying"),
    ],
)
def test_plain_opinions(judge: EncoderJudge, text: str, label: Sentiment, decided_by: str):
    found = judge_sky(judge, (CUSTOMER, text))
    assert found.sentiment is label
    assert found.confidence is not None and 0 <= found.confidence <= 1
    assert found.rule.partition(":")[0] == decided_by
    assert found.quote in text


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Sky is cheaper", POSITIVE),
        ("Sky is cheaper.", POSITIVE),
        ("Sky are faster", POSITIVE),
        ("Sky was much cheaper", POSITIVE),
        ("Sky are a lot better", POSITIVE),
        ("Sky's quicker.", POSITIVE),
        ("Well, Sky is so much easier!", POSITIVE),
        ("Sky is more reliable.", POSITIVE),
        ("Sky is less complicated", POSITIVE),
        ("Sky has been far friendlier.", POSITIVE),
        ("Honestly, Sky is way better.", POSITIVE),
        ("I looked around. Sky is cheaper. Can you match it?", POSITIVE),
        ("Sky are better for us", POSITIVE),
        ("Sky is dearer", NEGATIVE),
        ("Sky are worse.", NEGATIVE),
        ("Sky was a lot slower", NEGATIVE),
        ("Sky is even pricier.", NEGATIVE),
        ("Sky is more expensive", NEGATIVE),
        ("Sky were less helpful.", NEGATIVE),
        ("Yeah, Sky is just harder.", NEGATIVE),
    ],
)
def test_a_bare_comparative_is_an_opinion(judge: EncoderJudge, text: str, label: Sentiment):
    found = judge_sky(judge, (CUSTOMER, text))
    assert found.sentiment is label
    assert found.rule.startswith("comparison: '")
    assert found.confidence is not None and found.confidence >= RULE_CONFIDENCE


@pytest.mark.parametrize(
    "text",
    [
        "Sky is cheaper?",
        "Is Sky cheaper?",
        "Why is Sky cheaper?",
        "If Sky is cheaper",
        "If Sky is cheaper, I will think about it.",
        "I hope Sky is better.",
        "He said Sky is cheaper.",
        "They claim Sky is faster",
        "I wish Sky was easier",
        "I doubt Sky is better.",
        "Sky would be cheaper",
        "Sky is not cheaper.",
        "Sky isn't better",
        "Sky is no better.",
        "Sky was slightly dearer but worth every penny.",
        "Sky is cheaper but useless.",
        "Sky is cheaper. But I don't trust them.",
        "Sky is cheaper, they said.",
        "Sky is cheaper, isn't it?",
        "Sky is cheaper. Is that right?",
        "Your deal with Sky is better",
        "Sky is bigger.",
        "Apparently Sky is cheaper",
        "I'm not saying Sky is better or worse",
    ],
)
def test_what_a_comparative_does_not_state_is_left_to_the_encoder(judge: EncoderJudge, text: str):
    assert judge_sky(judge, (CUSTOMER, text)).rule.startswith("model")


def test_the_answer_to_a_question_counts(judge: EncoderJudge):
    asked = (AGENT, "And how did you find Sky?")
    found = judge_sky(judge, asked, (CUSTOMER, "Terrible, absolutely terrible."))
    assert found.sentiment is NEGATIVE
    assert judge_sky(judge, asked, (CUSTOMER, "Really good.")).sentiment is POSITIVE


def test_a_cut_utterance_is_judged_like_the_whole(judge: EncoderJudge):
    whole = judge_sky(judge, (CUSTOMER, "we had Sky for a year and it was a nightmare"))
    cut = judge_sky(
        judge, (CUSTOMER, "we had Sky for a year"), (CUSTOMER, "and it was a nightmare")
    )
    assert (cut.sentiment, cut.score) == (whole.sentiment, whole.score) == (NEGATIVE, whole.score)


def test_the_quote_is_the_clause_that_matters(judge: EncoderJudge):
    found = judge_sky(
        judge, (CUSTOMER, "I have a shop in Leeds, and Sky have been an absolute nightmare.")
    )
    assert "nightmare" in found.quote and "Leeds" not in found.quote


def test_other_mentions_do_not_change_a_judgement(judge: EncoderJudge):
    said = conversation((CUSTOMER, "Sky is awful."), (AGENT, "Vodafone is great."))
    sky = a_mention("Sky", char_start=0)
    vodafone = a_mention("Vodafone", char_start=0, channel=Channel.LEFT)
    alone = asyncio.run(judge.judge(said, [sky]))
    both = asyncio.run(judge.judge(said, [sky, vodafone]))
    assert both[0] == alone[0] and both[1].competitor == "Vodafone"


def test_the_name_has_the_hash_of_the_network(judge: EncoderJudge):
    assert re.fullmatch(r"encoder [0-9a-f]{8}", judge.name)
    assert judge_sky(judge, (CUSTOMER, "Sky is fine.")).engine == judge.name


def test_a_mention_of_another_transcript_is_refused(judge: EncoderJudge):
    with pytest.raises(MissingObject):
        asyncio.run(judge.judge(conversation((CUSTOMER, "Hello.")), [a_mention("Sky")]))


class FixedEncoder(UtteranceEncoder):
    """Encoder with the same answer for all."""

    def __init__(self, *answer: float) -> None:
        super().__init__()
        self.answer = LabelProbabilities(*answer)

    def probabilities(self, contexts: object) -> list[LabelProbabilities]:
        return [self.answer] * 20


def test_an_improbable_judgement_is_mixed():
    found = judge_sky(EncoderJudge(FixedEncoder(0.36, 0.3, 0.34)), (CUSTOMER, "Sky, well."))
    assert found.sentiment is Sentiment.MIXED
    assert found.rule == "model: unclear, negative 36 %, positive 34 %"
    assert (found.score, found.confidence) == (-0.02, 0.36)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ((0.57, 0.05, 0.38), Sentiment.MIXED),
        ((0.38, 0.05, 0.57), Sentiment.MIXED),
        ((0.65, 0.30, 0.05), NEGATIVE),
        ((0.05, 0.30, 0.65), POSITIVE),
        ((0.25, 0.50, 0.25), NEUTRAL),
        ((0.10, 0.46, 0.44), NEUTRAL),
    ],
)
def test_an_opinion_is_mixed_if_its_opposite_is_probable(
    answer: tuple[float, ...], label: Sentiment
):
    found = judge_sky(EncoderJudge(FixedEncoder(*answer)), (CUSTOMER, "Sky, well."))
    assert found.sentiment is label


def test_words_far_from_the_name_are_left_out():
    ids = {marker: -n for n, marker in enumerate(MARKERS, start=1)}
    long = " ".join(map(str, range(100)))
    context = TargetContext(
        long, long, long, CUSTOMER, (Turn(AGENT, long),), (Turn(CUSTOMER, long),)
    )
    encoded = encode_context(context, lambda text: [int(word) for word in text.split()], ids)
    words = [piece for piece in encoded.ids if piece >= 0]
    assert len(words) == 2 * SIDE_TOKENS + NAME_TOKENS + 2 * TURN_TOKENS - 1
    assert words[:2] == [60, 61] and words[SIDE_TOKENS] == 0
    assert len(encoded.ids) == len(encoded.segments)


def test_the_files_are_small_enough_to_ship():
    assert sum(file.stat().st_size for file in FILES.iterdir()) < 5_000_000


def test_accuracy_on_utterances_that_nobody_trained_on(judge: EncoderJudge):
    evaluation = asyncio.run(evaluate_judge(judge, read_utterances(HELDOUT)))
    whole, cut = measure(evaluation.whole), measure(evaluation.cut)
    assert whole.macro_f1 > MIN_MACRO_F1
    assert whole.turned_round < MAX_TURNED_ROUND
    assert cut.macro_f1 > whole.macro_f1 - 0.03
    sure = [e for e in evaluation.whole if e.confidence is not None and e.confidence >= 0.8]
    assert sum(each.is_right for each in sure) / len(sure) > MIN_RIGHT_IF_SURE
