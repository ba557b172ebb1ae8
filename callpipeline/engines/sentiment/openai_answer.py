"""Reading what a language model answers: what is not exactly what was asked for is refused."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from callpipeline.domain.sentiment import Sentiment

USUAL = {Sentiment.POSITIVE: 0.7, Sentiment.NEGATIVE: -0.7}
"""The score of an opinion where a model gives none that agrees with its label."""
_THOUGHT = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"^\s*<think(?:ing)?>", re.IGNORECASE)


class Unfit(Exception):
    """An answer that is none, and why, in words of ours."""


class Message(BaseModel):
    content: Any = None
    refusal: str | None = None


class Choice(BaseModel):
    message: Message
    finish_reason: str | None = None


class Completion(BaseModel):
    """An answer of `POST /v1/chat/completions`."""

    choices: list[Choice] = Field(min_length=1)

    def text(self) -> str:
        """What the model wrote. Raises Unfit where it did not end, or would not."""
        choice = self.choices[0]
        if choice.finish_reason == "length":
            raise Unfit("its answer was cut short")
        if choice.finish_reason == "content_filter" or choice.message.refusal:
            raise Unfit("the model would not answer")
        text = _joined(choice.message.content)
        if not text.strip():
            raise Unfit("the model wrote nothing")
        return text


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model says of a mention. The quote has not been looked up yet."""

    sentiment: Sentiment
    score: float
    quote: str


def answers(text: str, asked: Collection[int]) -> dict[int, Answered]:
    """What is said of the mentions asked for, by their numbers; only what is well formed.

    Raises Unfit for the whole where it is no JSON, or speaks of what was not asked, or of
    something twice: then the model did something else than it was told.
    """
    found: dict[int, Answered | None] = {}
    for item in _items(text):
        number = _number(item)
        if number is None or number not in asked:
            raise Unfit("it judges what was not asked")
        if number in found:
            raise Unfit("it judges a mention twice")
        found[number] = _answered(item)
    return {number: answer for number, answer in found.items() if answer}


def _joined(content: Any) -> str:
    """Some servers give the text in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _items(text: str) -> list[Any]:
    """The judgements in an answer, which may stand behind a thought and within a fence."""
    said = _THOUGHT.sub("", text, count=1)
    if _OPEN_THOUGHT.match(said):
        raise Unfit("the model did not come to an end of its thoughts")
    starts = [at for at in (said.find("{"), said.find("[")) if at >= 0]
    if not starts:
        raise Unfit("its answer is no JSON")
    try:
        document, _ = json.JSONDecoder().raw_decode(said, min(starts))
    except (ValueError, RecursionError):
        raise Unfit("its answer is no JSON") from None
    items = document.get("judgements") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise Unfit("its answer has no judgements")
    return items


def _number(item: Any) -> int | None:
    number = item.get("id") if isinstance(item, dict) else None
    if isinstance(number, str) and re.fullmatch(r"[0-9]{1,9}", number):
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _answered(item: dict[str, Any]) -> Answered | None:
    label, quote = item.get("sentiment"), item.get("quote")
    if not isinstance(label, str) or not isinstance(quote, str):
        return None
    try:
        sentiment = Sentiment(label.strip().lower())
    except ValueError:
        return None
    return Answered(sentiment, _score(sentiment, item.get("score")), quote)


def _score(sentiment: Sentiment, given: Any) -> float:
    """The model's where it has the label's sign; what is neutral or unsure has none."""
    usual = USUAL.get(sentiment, 0.0)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if usual and is_number and abs(given) <= 1 and given * usual > 0:
        return round(float(given), 4)
    return usual
