"""Parsing of a language model's answers: only exactly what was requested is accepted."""

import json
from typing import Any

import pytest

from callpipeline.domain.sentiment import Sentiment
from callpipeline.engines.sentiment.transcript_lines import (
    ChatCompletion,
    InvalidAnswer,
    ModelJudgement,
    parse_answer,
)

REQUESTED = {4821, 1733}


def item(number: Any = 4821, **other: Any) -> dict[str, Any]:
    return {"id": number, "quote": "it is cheap", "sentiment": "positive", "score": 0.6} | other


def answer(*items: Any) -> str:
    return json.dumps({"judgements": list(items)})


def completion(content: Any = None, **other: Any) -> ChatCompletion:
    message = {"role": "assistant", "content": content} | other.pop("message", {})
    return ChatCompletion.model_validate({"choices": [{"message": message} | other]})


EXPECTED = {4821: ModelJudgement(Sentiment.POSITIVE, 0.6, "it is cheap")}


@pytest.mark.parametrize(
    "text",
    [
        answer(item()),
        f"```json\n{answer(item())}\n```",
        f"Here you are:\n{answer(item())}\nAnything else?",
        f"<think>Is {{this}} [positive]?</think>\n{answer(item())}",
        f"\n<THINKING>no</THINKING>{answer(item())}",
        json.dumps([item()]),
        answer(item("4821")),
        json.dumps({"judgements": {"4821": {k: v for k, v in item().items() if k != "id"}}}),
        json.dumps({"judgements": {"4821": item(9999)}}),
        answer(item(sentiment=" Positive ")),
        answer(item(reason="because it says so", html="<img src=x>")),
    ],
)
def test_answers_are_parsed_however_they_are_wrapped(text: str) -> None:
    assert parse_answer(text, REQUESTED) == EXPECTED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("I am sorry, I cannot help with that.", "not JSON"),
        ('{"judgements": [{"id": 48', "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("{}", "no judgements"),
        ('{"judgements": 4821}', "no judgements"),
        ('{"judgements": {"id": 4821}}', "not requested"),
        ("<think>I wonder whether " + answer(item()), "its reasoning"),
        (answer(item(), item(9999)), "not requested"),
        (answer(item(), item(None)), "not requested"),
        (answer(item(), "Vodafone is great"), "not requested"),
        (answer(item(True)), "not requested"),
        (answer(item(4821.5)), "not requested"),
        (answer(item([4821])), "not requested"),
        (answer(item("٤٨٢١")), "not requested"),
        (answer(item(), item(sentiment="negative")), "twice"),
        (answer(item(sentiment="furious"), item()), "twice"),
    ],
)
def test_an_answer_that_was_not_requested_is_rejected_completely(text: str, reason: str) -> None:
    with pytest.raises(InvalidAnswer, match=reason):
        parse_answer(text, REQUESTED)


@pytest.mark.parametrize(
    "invalid",
    [
        {"sentiment": "furious"},
        {"sentiment": None},
        {"sentiment": ["positive"]},
        {"sentiment": "positive; drop table"},
        {"quote": None},
        {"quote": True},
        {"quote": 1.5},
        {"quote": ["it is cheap"]},
    ],
)
def test_invalid_judgements_are_omitted_and_the_others_retained(invalid: dict[str, Any]) -> None:
    assert parse_answer(answer(item(1733, **invalid), item()), REQUESTED) == EXPECTED


@pytest.mark.parametrize(
    ("quote", "read"),
    [(3, 3), ("3", 3), (" 12 ", 12), ("12345", "12345"), (-1, -1), ("3 of 4",) * 2],
)
def test_a_quote_is_the_number_of_a_line_or_words(quote: int | str, read: int | str) -> None:
    [judgement] = parse_answer(answer(item(quote=quote)), REQUESTED).values()
    assert judgement.quote == read


def test_a_key_that_is_repeated_makes_the_answer_invalid() -> None:
    one = '"4821": {"quote": 1, "sentiment": "positive"}'
    with pytest.raises(InvalidAnswer, match="twice"):
        parse_answer(f'{{"judgements": {{{one}, {one}}}}}', REQUESTED)


@pytest.mark.parametrize(
    ("sentiment", "given", "score"),
    [
        ("positive", 0.6, 0.6),
        ("positive", 1, 1.0),
        ("positive", -0.9, 0.7),
        ("positive", 7, 0.7),
        ("positive", 10**400, 0.7),
        ("positive", float("nan"), 0.7),
        ("positive", "0.9", 0.7),
        ("positive", True, 0.7),
        ("negative", -0.3, -0.3),
        ("negative", 0.3, -0.7),
        ("neutral", 0.9, 0.0),
        ("mixed", -0.9, 0.0),
    ],
)
def test_a_score_agrees_with_its_label(sentiment: str, given: Any, score: float) -> None:
    [judgement] = parse_answer(answer(item(sentiment=sentiment, score=given)), REQUESTED).values()
    assert judgement.score == score


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}, None]
    assert completion(parts).text() == "ab"


@pytest.mark.parametrize(
    ("unusable", "reason"),
    [
        (completion("{", finish_reason="length"), "truncated"),
        (completion("{}", finish_reason="content_filter"), "refused to answer"),
        (completion(None, message={"refusal": "I will not"}), "refused to answer"),
        (completion(None, message={"tool_calls": [{"id": "1"}]}), "answer is empty"),
        (completion(""), "answer is empty"),
        (completion(7), "answer is empty"),
    ],
)
def test_unusable_completions_are_rejected_with_a_reason(
    unusable: ChatCompletion, reason: str
) -> None:
    with pytest.raises(InvalidAnswer, match=reason):
        unusable.text()
