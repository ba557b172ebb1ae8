"""Answers of a language model: what is not exactly what was asked for is refused."""

import json
from typing import Any

import pytest

from callpipeline.domain.sentiment import Sentiment
from callpipeline.engines.sentiment.openai_answer import Answered, Completion, Unfit, answers

ASKED = {4821, 1733}


def item(number: Any = 4821, **other: Any) -> dict[str, Any]:
    return {"id": number, "quote": "it is cheap", "sentiment": "positive", "score": 0.6} | other


def written(*items: Any) -> str:
    return json.dumps({"judgements": list(items)})


def completion(content: Any = None, **other: Any) -> Completion:
    message = {"role": "assistant", "content": content} | other.pop("message", {})
    return Completion.model_validate({"choices": [{"message": message} | other]})


EXPECTED = {4821: Answered(Sentiment.POSITIVE, 0.6, "it is cheap")}


@pytest.mark.parametrize(
    "text",
    [
        written(item()),
        f"```json\n{written(item())}\n```",
        f"Here you are:\n{written(item())}\nAnything else?",
        f"<think>Is {{this}} [positive]?</think>\n{written(item())}",
        f"\n<THINKING>no</THINKING>{written(item())}",
        json.dumps([item()]),
        written(item("4821")),
        written(item(sentiment=" Positive ")),
        written(item(reason="because it says so", html="<img src=x>")),
    ],
)
def test_answers_are_read_however_they_are_wrapped(text: str) -> None:
    assert answers(text, ASKED) == EXPECTED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("I am sorry, I cannot help with that.", "no JSON"),
        ('{"judgements": [{"id": 48', "no JSON"),
        ("[" * 50_000, "no JSON"),
        ("{}", "no judgements"),
        ('{"judgements": {"id": 4821}}', "no judgements"),
        ("<think>I wonder whether " + written(item()), "its thoughts"),
        (written(item(), item(9999)), "not asked"),
        (written(item(), item(None)), "not asked"),
        (written(item(), "Vodafone is great"), "not asked"),
        (written(item(True)), "not asked"),
        (written(item(4821.5)), "not asked"),
        (written(item([4821])), "not asked"),
        (written(item("٤٨٢١")), "not asked"),
        (written(item(), item(sentiment="negative")), "twice"),
        (written(item(sentiment="furious"), item()), "twice"),
    ],
)
def test_an_answer_to_something_else_is_refused_as_a_whole(text: str, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        answers(text, ASKED)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"sentiment": "furious"},
        {"sentiment": None},
        {"sentiment": ["positive"]},
        {"sentiment": "positive; drop table"},
        {"quote": None},
        {"quote": ["it is cheap"]},
    ],
)
def test_a_judgement_that_is_none_is_left_out_and_the_others_kept(spoilt: dict[str, Any]) -> None:
    assert answers(written(item(1733, **spoilt), item()), ASKED) == EXPECTED


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
        ("unsure", -0.9, 0.0),
    ],
)
def test_a_score_agrees_with_its_label(sentiment: str, given: Any, score: float) -> None:
    [answer] = answers(written(item(sentiment=sentiment, score=given)), ASKED).values()
    assert answer.score == score


def test_text_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}, None]
    assert completion(parts).text() == "ab"


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (completion("{", finish_reason="length"), "cut short"),
        (completion("{}", finish_reason="content_filter"), "would not answer"),
        (completion(None, message={"refusal": "I will not"}), "would not answer"),
        (completion(None, message={"tool_calls": [{"id": "1"}]}), "wrote nothing"),
        (completion(""), "wrote nothing"),
        (completion(7), "wrote nothing"),
    ],
)
def test_what_is_no_answer_is_told_apart(odd: Completion, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        odd.text()
