"""Switching intent of customers, independent of the judge."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.sentiment import add_switching_intent
from callpipeline.domain.switching import SwitchingIntent, find_switching_intent
from callpipeline.domain.utterances import TargetContext
from tests.builders import a_judgement, a_mention, a_segment, an_unjudged

LEAVING_TO, COMING_FROM = SwitchingIntent.LEAVING_TO, SwitchingIntent.COMING_FROM
CONSIDERING, STAYING = SwitchingIntent.CONSIDERING, SwitchingIntent.STAYING
SENTENCES = [
    ("I'm leaving you for [Sky].", LEAVING_TO),
    ("we've gone with [Sky] for three years", LEAVING_TO),
    ("We are moving all our lines over to [Sky] next week.", LEAVING_TO),
    ("I've already signed up with [Sky], so please close my account.", LEAVING_TO),
    ("Fix it today or I'm going to [Sky].", LEAVING_TO),
    ("We're not renewing with [Sky] in March.", COMING_FROM),
    ("we are migrating off [Sky]", COMING_FROM),
    ("I came to you from [Sky] last year.", COMING_FROM),
    ("I'd like to cancel my [Sky] contract.", COMING_FROM),
    ("I can't wait to leave [Sky].", COMING_FROM),
    ("I'd never go back to [Sky].", COMING_FROM),
    ("we've handed our notice in to [Sky]", COMING_FROM),
    ("They're ripping [Sky] out next month.", COMING_FROM),
    ("I'm thinking of moving to [Sky].", CONSIDERING),
    ("I'm seriously considering [Sky]", CONSIDERING),
    ("I'm tempted by [Sky] to be honest.", CONSIDERING),
    ("I'm staying with [Sky], thanks.", STAYING),
    ("I wouldn't leave [Sky] for anything.", STAYING),
    ("we have just renewed with [Sky]", STAYING),
    ("I don't want to move away from [Sky]", STAYING),
]
NO_INTENT = [
    "If I moved to [Sky], would I keep my number?",
    "Are you leaving [Sky]?",
    "I'm not going to [Sky].",
    "I regret ever signing up with [Sky].",
    "I left [Sky] a bad review.",
    "I can't see why anyone would leave [Sky].",
    "Why would people stay with [Sky]?",
    "They'd have to beg me to go back to [Sky].",
    "We tried to leave [Sky] in May.",
    "I only left [Sky] because I moved house.",
    "I only went with [Sky] because my friend did.",
    "My hours have been better since I left [Sky].",
    "The parcel went out to [Sky] on Tuesday.",
    "You can't go wrong with [Sky].",
    "[Sky] kept me on hold for an hour.",
    "We are with [Sky] at the moment.",
]


def context(sentence: str, speaker: Speaker = Speaker.CUSTOMER) -> TargetContext:
    left, _, rest = sentence.partition("[")
    name, _, right = rest.partition("]")
    return TargetContext(left, name, right, speaker)


@pytest.mark.parametrize(("sentence", "intent"), SENTENCES)
def test_a_customer_says_what_they_do(sentence: str, intent: SwitchingIntent):
    found = find_switching_intent(context(sentence))
    assert found is not None and found.intent is intent
    assert "Sky" in found.quote


@pytest.mark.parametrize("sentence", NO_INTENT)
def test_other_sentences_have_no_intent(sentence: str):
    assert find_switching_intent(context(sentence)) is None


def test_the_quote_is_verbatim():
    found = find_switching_intent(context("Well, We're  Leaving you, then, for [Sky]."))
    assert found is not None and found.quote == "Leaving you, then, for Sky"
    negated = find_switching_intent(context("Honestly I Wouldn’t leave [Sky]"))
    assert negated is not None and negated.quote == "Wouldn’t leave Sky"


def test_an_agent_has_no_intent():
    assert find_switching_intent(context("So you are leaving [Sky].", Speaker.AGENT)) is None


def test_capitals_and_recognisers_text_are_the_same():
    found = find_switching_intent(context("we are not renewing with [sky] when its up"))
    assert found is not None and found.intent is COMING_FROM


def test_judgements_of_any_judge_get_the_intent():
    segments = [a_segment("so we are leaving you for sky", channel=Channel.RIGHT)]
    mention = a_mention("sky", char_start=26)
    (judgement,) = add_switching_intent([a_judgement(mention)], segments, [mention])
    assert judgement == replace(
        a_judgement(mention), switching=LEAVING_TO, switching_quote="leaving you for sky"
    )
    missing = an_unjudged(mention)
    assert add_switching_intent([missing], segments, [mention]) == (missing,)
