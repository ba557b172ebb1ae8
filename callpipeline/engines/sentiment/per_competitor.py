"""Judgement of a call competitor by competitor: a failure for one does not affect the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, mark_unjudged
from callpipeline.errors import CallpipelineError, TransientError

JudgeCompetitor = Callable[[str, Sequence[Mention]], Awaitable[Sequence[Judgement]]]
"""Judges the mentions of one competitor, in the same order."""
Outcome = Sequence[Judgement] | CallpipelineError


async def judge_per_competitor(
    mentions: Sequence[Mention], judge: JudgeCompetitor
) -> tuple[JudgeResult, ...]:
    """Judge all competitors concurrently, and return the results in the order of the mentions.

    `judge` itself limits the number of concurrent requests. If every competitor fails, an error is
    raised, a transient one first: an outage must release the call, and a problem with the whole
    call must end it, instead of completing it without judgements. Any error that is not a
    CallpipelineError is a bug in the judge, and is raised after all have finished.
    """
    by_competitor: dict[str, list[Mention]] = {}
    for mention in mentions:
        by_competitor.setdefault(mention.competitor, []).append(mention)
    gathered = await asyncio.gather(
        *(_call(judge, name, of_name) for name, of_name in by_competitor.items()),
        return_exceptions=True,
    )
    outcomes: dict[str, Outcome] = {}
    for name, outcome in zip(by_competitor, gathered, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, CallpipelineError):
            raise outcome
        outcomes[name] = outcome
    _raise_if_all_failed(list(outcomes.values()))
    results = {
        result.mention_id: result
        for name, of_name in by_competitor.items()
        for result in _results(outcomes[name], of_name)
    }
    return tuple(results[mention.mention_id] for mention in mentions)


def transient_first(errors: Sequence[CallpipelineError]) -> CallpipelineError:
    """Return the first transient error, or the first error if none is transient."""
    return next((error for error in errors if isinstance(error, TransientError)), errors[0])


async def _call(
    judge: JudgeCompetitor, competitor: str, mentions: Sequence[Mention]
) -> Sequence[Judgement]:
    return await judge(competitor, mentions)


def _raise_if_all_failed(outcomes: Sequence[Outcome]) -> None:
    errors = [outcome for outcome in outcomes if isinstance(outcome, CallpipelineError)]
    if errors and len(errors) == len(outcomes):
        raise transient_first(errors)


def _results(outcome: Outcome, mentions: Sequence[Mention]) -> Sequence[JudgeResult]:
    if isinstance(outcome, CallpipelineError):
        return mark_unjudged(outcome, mentions)
    return outcome
