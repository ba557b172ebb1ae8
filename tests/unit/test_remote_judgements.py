"""What is asked of the sentiment service, and what is made of its answers."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcript import interleave
from callpipeline.engines.sentiment.remote import NOTHING, Inquiry
from callpipeline.engines.sentiment.remote_answer import NO_REASON, Found, found_in, places_of
from callpipeline.errors import EngineRefused
from tests.builders import a_mention, a_transcript

SEGMENTS = interleave(
    [
        a_transcript("Do you know Vodafone?", "Vodafone is fine."),
        a_transcript("I hate Vodafone.", "Vodafone is fine.", channel=Channel.RIGHT),
    ]
)
"""Left 0, right 0, left 1, right 1; the last two say the same at the same time."""
MENTION = a_mention(char_start=7)
"""In the first segment on the right: the second of all."""


def found(**fields: Any) -> Found:
    return Found.model_validate({"sentiment": "negative", **fields})


def judged(*segments: Found, mention: Mention = MENTION) -> Judgement:
    return Inquiry(SEGMENTS, (mention,)).judgement(mention, {1: segments}, "remote")


@pytest.mark.parametrize(
    ("told", "places"),
    [
        ({"segment-id": 1, "start": 0.0, "text": "I hate Vodafone."}, [1]),
        ({"segment_id": "1", "start": 0.0, "text": " I  hate Vodafone. "}, [1]),
        ({"segment-id": 999, "start": 0.0, "text": "I hate Vodafone."}, [1]),
        ({"segment-id": 2, "start": 0.0, "text": "I hate Vodafone."}, [1]),  # numbered from 1
        ({"segment-id": 1, "start": float("nan"), "text": "I hate Vodafone."}, [1]),
        ({"segment-id": 1}, [1]),
        ({"text": "I hate Vodafone."}, [1]),
        ({"start": 10.0, "text": "Vodafone is fine."}, [2, 3]),
        ({"segment-id": 3, "start": 10.0, "text": "Vodafone is fine."}, [3]),
    ],
)
def test_a_segment_is_known_by_its_id_time_and_text(told: dict[str, Any], places: list[int]):
    assert places_of(found(**told), 0, SEGMENTS) == places


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"segment-id": 4},
        {"segment-id": 1, "text": "Something else."},
        {"segment-id": 2, "text": "I hate Vodafone."},
        {"start": 77.0, "text": "I hate Vodafone."},
    ],
)
def test_a_segment_that_was_not_sent_is_refused(told: dict[str, Any]):
    with pytest.raises(EngineRefused, match=r"segments\[5\]: nothing like it was sent"):
        places_of(found(**told), 5, SEGMENTS)


@pytest.mark.parametrize(
    ("word", "sentiment", "score"),
    [
        ("positive", Sentiment.POSITIVE, 1.0),
        (" NEGATIVE ", Sentiment.NEGATIVE, -1.0),
        ("Neutral", Sentiment.NEUTRAL, 0.0),
        ("unsure", Sentiment.UNSURE, 0.0),
    ],
)
def test_a_label_is_a_sentiment_and_a_score(word: str, sentiment: Sentiment, score: float):
    judgement = judged(found(sentiment=word))
    assert (judgement.sentiment, judgement.score) == (sentiment, score)
    assert (judgement.quote, judgement.engine) == ("I hate Vodafone.", "remote")


@pytest.mark.parametrize("word", ["furious", "", None, 1, ["positive"]])
def test_another_label_is_refused_without_being_quoted(word: object):
    answer = {"segments": [{"segment-id": 1, "sentiment": word}]}
    with pytest.raises(EngineRefused, match=r"segments\[0\].sentiment") as caught:
        found_in(answer, "Vodafone")
    assert "furious" not in str(caught.value)


def test_labels_that_contradict_each_other_are_unsure():
    both = judged(found(sentiment="positive"), found(sentiment="negative"))
    assert (both.sentiment, both.score) == (Sentiment.UNSURE, 0.0)


@pytest.mark.parametrize("answer", [[], {"segments": []}])
def test_where_the_service_finds_nothing_the_mention_is_unsure(answer: object):
    assert found_in(answer, "Vodafone") == []
    judgement = judged()
    assert (judgement.sentiment, judgement.rule) == (Sentiment.UNSURE, NOTHING)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"detection_method": "pattern", "detection_details": "hate"}, "pattern: hate"),
        ({"detection_method": "llm"}, "llm"),
        ({"detection_details": "they said hate"}, "the service: they said hate"),
        ({"detection_method": "it said: I hate"}, "the service: it said: I hate"),
        ({"detection_method": {"a": 1}, "detection_details": ["b"]}, NO_REASON),
        ({"detection_details": "a\0b"}, NO_REASON),
        ({}, NO_REASON),
    ],
)
def test_what_may_quote_the_call_stands_behind_a_colon(told: dict[str, Any], rule: str):
    assert judged(found(**told)).rule == rule


def test_long_details_are_cut():
    assert len(judged(found(detection_details="hate " * 1000)).rule) < 220


@pytest.mark.parametrize("context", ["vodafone", "VODAFONE", None])
def test_the_context_may_be_written_otherwise(context: str | None):
    assert found_in({"context": context, "segments": []}, "Vodafone") == []


def test_an_answer_about_another_name_is_refused():
    with pytest.raises(EngineRefused, match="about another name"):
        found_in({"context": "Orange", "segments": []}, "Vodafone")


def opinion(mention: Mention, **changes: object) -> dict[str, object]:
    return {
        "competitor": mention.competitor,
        "char_start": mention.char_start,
        "char_end": mention.char_end,
        "sentiment": "negative",
        "score": -0.6,
        "rule": "dislike: hate",
        "quote": "I hate Vodafone.",
        "engine": "lexicon",
    } | changes


def test_our_own_servers_judgement_is_taken_as_it_is():
    judgement = judged(found(sentiment="neutral", judgements=[opinion(MENTION)]))
    assert judgement == Judgement(
        MENTION.mention_id,
        "Vodafone",
        Sentiment.NEGATIVE,
        -0.6,
        "dislike: hate",
        "I hate Vodafone.",
        "lexicon",
    )


def test_of_several_mentions_in_a_segment_each_has_its_own_judgement():
    other = a_mention("Orange", char_start=0)
    both = [opinion(other, sentiment="positive", score=0.3), opinion(MENTION)]
    assert judged(found(judgements=both)).score == -0.6
    assert judged(found(judgements=both), mention=other).score == 0.3


def test_a_quote_that_nobody_said_is_not_kept():
    judgement = judged(found(judgements=[opinion(MENTION, quote="I love it")]))
    assert judgement.quote == "I hate Vodafone."


def test_what_is_sent_names_each_mention_by_its_place():
    mentions: Sequence[Mention] = (MENTION, a_mention(segment_index=1, channel=Channel.LEFT))
    document = json.loads(Inquiry(SEGMENTS, mentions).document)
    assert document["text"].startswith("Do you know Vodafone? I hate Vodafone. Vodafone is fine.")
    assert [segment["id"] for segment in document["segments"]] == [0, 1, 2, 3]
    assert [each["segment_id"] for each in document["mentions"]] == [1, 2]
    assert list(document["metadata"]) == [
        "ref-id",
        "used-model",
        "transcribed-at",
        "company-code",
        "agent-name",
        "source-file",
        "channel",
    ]


@pytest.mark.parametrize("channel", Channel)
def test_of_one_channel_the_channel_is_told(channel: Channel):
    segments = interleave([a_transcript("Vodafone", channel=channel)])
    assert json.loads(Inquiry(segments, ()).document)["metadata"]["channel"] == channel
