"""Sentiment towards competitors, per mention and per call."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.switching import SwitchingIntent, find_switching_intent
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import TargetContext, TargetContexts
from callpipeline.errors import CallpipelineError, ServiceUnavailable, TransientError


class Sentiment(StrEnum):
    """A speaker's stance towards a competitor; MIXED if the evidence is contradictory."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The sentiment of one mention: `score` is −1..1, `quote` the words that support it.

    `confidence` is the calibrated probability that the judge is right; None if it has none.
    `switching` is the customer's intent, found by rules of its own, in the words of
    `switching_quote`.
    """

    mention_id: str
    competitor: str
    sentiment: Sentiment
    score: float
    rule: str
    quote: str
    engine: str
    confidence: float | None = None
    switching: SwitchingIntent | None = None
    switching_quote: str = ""


@dataclass(frozen=True, slots=True)
class UnjudgedMention:
    """A mention without sentiment yet; `transient` if a retry may succeed.

    `reason` is a sentence for users, without any transcript text. `unavailable_service` is the
    service that the mention waits for.
    """

    mention_id: str
    competitor: str
    reason: str
    error_class: str
    transient: bool
    unavailable_service: str | None = None


JudgeResult = Judgement | UnjudgedMention
"""Outcome of judging one mention."""


def judged(results: Iterable[JudgeResult]) -> tuple[Judgement, ...]:
    return tuple(result for result in results if isinstance(result, Judgement))


def unjudged(results: Iterable[JudgeResult]) -> tuple[UnjudgedMention, ...]:
    return tuple(result for result in results if isinstance(result, UnjudgedMention))


def add_switching_intent(
    results: Iterable[JudgeResult], segments: Sequence[Segment], mentions: Iterable[Mention]
) -> tuple[JudgeResult, ...]:
    """Add to each judgement what the mention's speaker says about switching.

    `segments` are those of the conversation, in order of time; `mentions` those of the results.
    """
    contexts = TargetContexts(segments)
    return tuple(
        _with_switching(result, contexts.of(mention)) if isinstance(result, Judgement) else result
        for result, mention in zip(results, mentions, strict=True)
    )


def _with_switching(judgement: Judgement, context: TargetContext) -> Judgement:
    if found := find_switching_intent(context):
        return replace(judgement, switching=found.intent, switching_quote=found.quote)
    return judgement


def overall_sentiment(sentiments: Iterable[Sentiment]) -> Sentiment:
    """Return a call's stance towards one competitor: the non-neutral majority.

    MIXED for a tie of positive and negative, or if there are no sentiments; NEUTRAL if all are.
    """
    counts = Counter(sentiments)
    positive, negative = counts[Sentiment.POSITIVE], counts[Sentiment.NEGATIVE]
    if positive != negative:
        return Sentiment.POSITIVE if positive > negative else Sentiment.NEGATIVE
    if positive == 0 and counts[Sentiment.NEUTRAL]:
        return Sentiment.NEUTRAL
    return Sentiment.MIXED


@dataclass(frozen=True, slots=True)
class CallStance:
    """Overall sentiment of a call towards one competitor: the customer's, and the agent's.

    None for a speaker who doesn't name it, or whose mentions have no sentiment. Unknown speakers
    count as customers.
    """

    customer: Sentiment | None
    agent: Sentiment | None

    @property
    def main(self) -> Sentiment | None:
        """Return the customer's, or the agent's if only the agent names the competitor."""
        return self.customer or self.agent

    def describe(self) -> str:
        """Return "negative", "negative (agent: positive)" or "positive (agent only)"."""
        if self.customer is None:
            return f"{self.agent} (agent only)" if self.agent else "not judged"
        beside = f" (agent: {self.agent})" if self.agent not in (None, self.customer) else ""
        return f"{self.customer}{beside}"


def call_stance(sentiments: Iterable[tuple[Speaker, Sentiment]]) -> CallStance:
    """Return the stance of a call towards one competitor, from the mentions of each speaker."""
    pairs = tuple(sentiments)
    agent = [sentiment for speaker, sentiment in pairs if speaker is Speaker.AGENT]
    customer = [sentiment for speaker, sentiment in pairs if speaker is not Speaker.AGENT]
    return CallStance(*(overall_sentiment(s) if s else None for s in (customer, agent)))


def mark_unjudged(
    error: CallpipelineError, mentions: Sequence[Mention]
) -> tuple[UnjudgedMention, ...]:
    """Mark mentions as unjudged because of an error."""
    kind, transient = type(error).__name__, isinstance(error, TransientError)
    unavailable_service = error.service if isinstance(error, ServiceUnavailable) else None
    return tuple(
        UnjudgedMention(
            mention.mention_id, mention.competitor, str(error), kind, transient, unavailable_service
        )
        for mention in mentions
    )


PATTERN_ENGINE = "pattern"
"""Engine of judgements by a pattern: words of users that decide before any judge."""


class PatternKind(StrEnum):
    """Sentiment that a pattern implies."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


PatternLists = Mapping[PatternKind, tuple[str, ...]]
ReadPatterns = Callable[[], PatternLists]

_SENTIMENTS = (
    (PatternKind.NEGATIVE, Sentiment.NEGATIVE, -1.0),
    (PatternKind.POSITIVE, Sentiment.POSITIVE, 1.0),
)
"""In this order: negative patterns come before positive ones."""


class PatternStore(Protocol):
    """Stores both lists."""

    def lists(self) -> PatternLists: ...

    def changing(self, kind: PatternKind) -> AbstractContextManager[list[str]]:
        """Yield a list for changes under a lock; it is stored at the end."""
        ...


@dataclass(frozen=True, slots=True)
class PatternList:
    """A user's list and the phrases that are built in, which can't be changed."""

    own: Sequence[str]
    built_in: Sequence[str] = ()

    @property
    def all(self) -> list[str]:
        return [*self.own, *self.built_in]

    def has_built_in(self, pattern: str) -> bool:
        return normalise(pattern) in {normalise(each) for each in self.built_in}

    def without_built_in(self, patterns: Iterable[str]) -> list[str]:
        """Return those patterns that aren't built in, as sent by a client that edits all."""
        known = {normalise(each) for each in self.built_in}
        return [each for each in patterns if normalise(each) not in known]


def first_match(patterns: Sequence[str], text: str) -> str | None:
    """Return the first pattern found in the text as whole words, ignoring case and punctuation."""
    words = f" {normalise(text)} "
    return next((each for each in patterns if _form(each) in words), None)


def judge_by_pattern(mention: Mention, segment: Segment, lists: PatternLists) -> Judgement | None:
    """Judge a mention by the first pattern that its segment contains; None if it has none."""
    for kind, sentiment, score in _SENTIMENTS:
        if pattern := first_match(lists[kind], segment.text):
            return Judgement(
                mention_id=mention.mention_id,
                competitor=mention.competitor,
                sentiment=sentiment,
                score=score,
                rule=f"{kind} pattern: '{pattern}'",
                quote=segment.text,
                engine=PATTERN_ENGINE,
            )
    return None


@lru_cache(maxsize=4096)
def _form(pattern: str) -> str:
    return f" {normalise(pattern)} "
