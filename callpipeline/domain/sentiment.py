"""How a competitor is spoken of, mention by mention."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Sentiment(StrEnum):
    """The speaker's stance towards the competitor; UNSURE where the evidence contradicts itself."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The sentiment of one mention: `score` in −1..1, the words it rests on, the rule."""

    mention_id: str
    competitor: str
    sentiment: Sentiment
    score: float
    rule: str
    quote: str
    engine: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A mention of which nothing is known yet: why, and whether another try may find out.

    `reason` is a sentence for people; it holds no word of what was said. `away_from` is the service
    that it waits for, where that is away.
    """

    mention_id: str
    competitor: str
    reason: str
    error_class: str
    transient: bool
    away_from: str | None = None


Verdict = Judgement | Unjudged
"""What a judge says of a mention."""


def judged(verdicts: Iterable[Verdict]) -> tuple[Judgement, ...]:
    return tuple(verdict for verdict in verdicts if isinstance(verdict, Judgement))


def unjudged(verdicts: Iterable[Verdict]) -> tuple[Unjudged, ...]:
    return tuple(verdict for verdict in verdicts if isinstance(verdict, Unjudged))


def overall(sentiments: Iterable[Sentiment]) -> Sentiment:
    """The stance of a call towards one competitor: the majority of what is not neutral.

    A tie of positive and negative is UNSURE; only neutral ones are NEUTRAL; none at all is UNSURE.
    """
    counts = Counter(sentiments)
    positive, negative = counts[Sentiment.POSITIVE], counts[Sentiment.NEGATIVE]
    if positive != negative:
        return Sentiment.POSITIVE if positive > negative else Sentiment.NEGATIVE
    if positive == 0 and counts[Sentiment.NEUTRAL]:
        return Sentiment.NEUTRAL
    return Sentiment.UNSURE
