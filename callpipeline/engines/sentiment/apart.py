"""Judging a call competitor by competitor: what fails for one is kept from the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Unjudged, Verdict
from callpipeline.errors import CallpipelineError, EngineAway, TransientError

Ask = Callable[[str, Sequence[Mention]], Awaitable[Sequence[Judgement]]]
"""Judges the mentions of one competitor, in the same order."""
Outcome = Sequence[Judgement] | CallpipelineError


async def judge_apart(mentions: Sequence[Mention], ask: Ask) -> tuple[Verdict, ...]:
    """A verdict on each mention, in the same order; all competitors are asked for at once.

    How many requests are under way is the asker's own affair. Where every one fails the error is
    raised, one that may pass before others: an outage is to send the call back, and what is wrong
    with the whole call is to end it, instead of completing it with nothing. An error that is none
    of ours is a fault of the judge and is raised too, when all have ended.
    """
    by_competitor: dict[str, list[Mention]] = {}
    for mention in mentions:
        by_competitor.setdefault(mention.competitor, []).append(mention)
    came = await asyncio.gather(
        *(_outcome(ask, name, named) for name, named in by_competitor.items()),
        return_exceptions=True,
    )
    outcomes: dict[str, Outcome] = {}
    for name, outcome in zip(by_competitor, came, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, CallpipelineError):
            raise outcome
        outcomes[name] = outcome
    _raise_if_all_failed(list(outcomes.values()))
    found = {
        verdict.mention_id: verdict
        for name, named in by_competitor.items()
        for verdict in _verdicts(outcomes[name], named)
    }
    return tuple(found[mention.mention_id] for mention in mentions)


async def _outcome(ask: Ask, competitor: str, named: Sequence[Mention]) -> Sequence[Judgement]:
    return await ask(competitor, named)


def _raise_if_all_failed(outcomes: Sequence[Outcome]) -> None:
    errors = [outcome for outcome in outcomes if isinstance(outcome, CallpipelineError)]
    if errors and len(errors) == len(outcomes):
        raise next((error for error in errors if isinstance(error, TransientError)), errors[0])


def _verdicts(outcome: Outcome, named: Sequence[Mention]) -> Sequence[Verdict]:
    if isinstance(outcome, CallpipelineError):
        return unjudged_by(outcome, named)
    return outcome


def unjudged_by(error: CallpipelineError, mentions: Sequence[Mention]) -> tuple[Unjudged, ...]:
    """The mentions that an error kept from being judged."""
    kind, transient = type(error).__name__, isinstance(error, TransientError)
    away_from = error.service if isinstance(error, EngineAway) else None
    return tuple(
        Unjudged(mention.mention_id, mention.competitor, str(error), kind, transient, away_from)
        for mention in mentions
    )
