"""Sentiment towards competitors, per mention and per call."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.mentions import Mention
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
