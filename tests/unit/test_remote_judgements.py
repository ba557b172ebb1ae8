"""Requests to the sentiment service, and judgements from its responses."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import interleave
from callpipeline.engines.sentiment.remote import (
    NO_REASON,
    NO_RESULT,
    AnalysedRemoteSegment,
    AnalysisRequest,
    match_segment,
    parse_analysis,
)
from callpipeline.errors import EngineRefused
from tests.builders import a_mention, a_transcript

SEGMENTS = interleave(
    [
        a_transcript("Do you know Vodafone?", "Vodafone is fine."),
        a_transcript("I hate Vodafone.", "Vodafone is fine.", channel=Channel.RIGHT),
    ]
)
"""Left 0, right 0, left 1, right 1; the last two have the same text and time."""
MENTION = a_mention(char_start=7)
"""In the first segment on the right: the second of all."""


def segment(**fields: Any) -> AnalysedRemoteSegment:
    return AnalysedRemoteSegment.model_validate({"sentiment": "negative", **fields})


def judged(*segments: AnalysedRemoteSegment, mention: Mention = MENTION) -> Judgement:
    return AnalysisRequest(SEGMENTS, (mention,)).judgement(mention, {1: segments}, "remote")


@pytest.mark.parametrize(
    ("fields", "indexes"),
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
def test_a_segment_is_matched_by_id_start_and_text(fields: dict[str, Any], indexes: list[int]):
    assert match_segment(segment(**fields), 0, SEGMENTS) == indexes


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"segment-id": 4},
        {"segment-id": 1, "text": "Something else."},
        {"segment-id": 2, "text": "I hate Vodafone."},
        {"start": 77.0, "text": "I hate Vodafone."},
    ],
)
def test_a_segment_that_was_not_sent_is_rejected(fields: dict[str, Any]):
    with pytest.raises(EngineRefused, match=r"segments\[5\]: no such segment was sent"):
        match_segment(segment(**fields), 5, SEGMENTS)


@pytest.mark.parametrize(
    ("word", "sentiment", "score"),
    [
        ("positive", Sentiment.POSITIVE, 1.0),
        (" NEGATIVE ", Sentiment.NEGATIVE, -1.0),
        ("Neutral", Sentiment.NEUTRAL, 0.0),
        ("mixed", Sentiment.MIXED, 0.0),
        (" Mixed ", Sentiment.MIXED, 0.0),
        ("unsure", Sentiment.MIXED, 0.0),
    ],
)
def test_a_label_becomes_a_sentiment_and_a_score(word: str, sentiment: Sentiment, score: float):
    judgement = judged(segment(sentiment=word))
    assert (judgement.sentiment, judgement.score) == (sentiment, score)
    assert (judgement.quote, judgement.engine) == ("I hate Vodafone.", "remote")


@pytest.mark.parametrize("word", ["furious", "", None, 1, ["positive"]])
def test_an_unknown_label_is_rejected_without_a_quote(word: object):
    answer = {"segments": [{"segment-id": 1, "sentiment": word}]}
    with pytest.raises(EngineRefused, match=r"segments\[0\].sentiment") as caught:
        parse_analysis(answer, "Vodafone")
    assert "furious" not in str(caught.value)


def test_contradictory_labels_are_mixed():
    both = judged(segment(sentiment="positive"), segment(sentiment="negative"))
    assert (both.sentiment, both.score) == (Sentiment.MIXED, 0.0)


@pytest.mark.parametrize("answer", [[], {"segments": []}])
def test_a_mention_that_the_service_did_not_find_is_mixed(answer: object):
    assert parse_analysis(answer, "Vodafone") == []
    judgement = judged()
    assert (judgement.sentiment, judgement.rule) == (Sentiment.MIXED, NO_RESULT)


@pytest.mark.parametrize(
    ("fields", "rule"),
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
def test_text_that_may_quote_the_call_follows_a_colon(fields: dict[str, Any], rule: str):
    assert judged(segment(**fields)).rule == rule


def test_long_details_are_truncated():
    assert len(judged(segment(detection_details="hate " * 1000)).rule) < 220


@pytest.mark.parametrize("context", ["vodafone", "VODAFONE", None])
def test_the_context_may_be_spelled_differently(context: str | None):
    assert parse_analysis({"context": context, "segments": []}, "Vodafone") == []


def test_a_response_about_another_name_is_rejected():
    with pytest.raises(EngineRefused, match="about another name"):
        parse_analysis({"context": "Orange", "segments": []}, "Vodafone")


def own_judgement(mention: Mention, **changes: object) -> dict[str, object]:
    return {
        "competitor": mention.competitor,
        "char_start": mention.char_start,
        "char_end": mention.char_end,
        "sentiment": "negative",
        "score": -0.6,
        "rule": "dislike: hate",
        "quote": "I hate Vodafone.",
        "engine": "lexicon",
        "confidence": 0.9,
    } | changes


def test_our_own_servers_judgement_is_used_unchanged():
    judgement = judged(segment(sentiment="neutral", judgements=[own_judgement(MENTION)]))
    assert judgement == Judgement(
        MENTION.mention_id,
        "Vodafone",
        Sentiment.NEGATIVE,
        -0.6,
        "dislike: hate",
        "I hate Vodafone.",
        "lexicon",
        confidence=0.9,
    )


def test_each_mention_of_a_segment_has_its_own_judgement():
    other = a_mention("Orange", char_start=0)
    both = [own_judgement(other, sentiment="positive", score=0.3), own_judgement(MENTION)]
    assert judged(segment(judgements=both)).score == -0.6
    assert judged(segment(judgements=both), mention=other).score == 0.3


def test_a_quote_that_is_not_in_the_call_is_replaced():
    judgement = judged(segment(judgements=[own_judgement(MENTION, quote="I love it")]))
    assert judgement.quote == "I hate Vodafone."


def test_mentions_are_sent_with_the_index_of_their_segment():
    mentions: Sequence[Mention] = (MENTION, a_mention(segment_index=1, channel=Channel.LEFT))
    document = json.loads(AnalysisRequest(SEGMENTS, mentions).document)
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
def test_the_metadata_contain_the_channel_of_a_single_channel(channel: Channel):
    segments = interleave([a_transcript("Vodafone", channel=channel)])
    assert json.loads(AnalysisRequest(segments, ()).document)["metadata"]["channel"] == channel
