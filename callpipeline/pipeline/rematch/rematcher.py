"""Rematching of calls for one run: mentions are found again, and those that changed judged."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import (
    Judgement,
    UnjudgedMention,
    judged,
    mark_unjudged,
    unjudged,
)
from callpipeline.engines.ports import call_context
from callpipeline.errors import ClaimLost, TransientError
from callpipeline.pipeline.processing.processor import (
    run_concurrently,
    to_pipeline_error,
    with_timeout,
)
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.pipeline.processing.summaries import StageSummary, summarize_sentiment
from callpipeline.pipeline.rematch.changes import CallChanges, find_changes
from callpipeline.storage.ports.rematch import (
    RematchInput,
    RematchResults,
    RematchWrite,
    WaitingCall,
)


@dataclass(frozen=True, slots=True)
class CallRematched:
    """A call has the results of the catalog in force, with summaries for both assets."""

    call_id: str
    mentions: StageSummary
    sentiment: StageSummary
    judged: int


@dataclass(frozen=True, slots=True)
class RematchSkipped:
    """Another run was faster, the call is processed again, or it was erased."""

    call_id: str


@dataclass(frozen=True, slots=True)
class RematchFailed:
    """A call keeps its old results, since it could not be rematched."""

    call_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RematchDeferred:
    """A call keeps its old results until the judge is back, and is tried again in `wait_s`.

    `service` is the service that is down; None if the judge could not answer for another reason.
    """

    call_id: str
    reason: str
    wait_s: float
    service: str | None


RematchEvent = CallRematched | RematchSkipped | RematchFailed | RematchDeferred

WAITS_S = (30.0, 120.0, 480.0, 900.0)
"""Waits between attempts while the judge is away; the last one repeats."""
MAX_DEFERRALS = 8
"""Attempts for which a judge may fail in passing, unless its service is known to be down."""


@dataclass(frozen=True, slots=True)
class Rematcher:
    """Rematches calls for one run. Transient errors outside the judge end the run."""

    stages: Stages
    results: RematchResults
    rematch_id: int
    run_id: str

    async def rematch_all(
        self, calls: Sequence[WaitingCall], *, concurrency: int
    ) -> AsyncIterator[RematchEvent]:
        """Rematch calls, at most `concurrency` at once, and yield events as they happen."""
        async for event in run_concurrently(self._events, calls, concurrency=concurrency):
            yield event

    async def _events(self, call: WaitingCall) -> AsyncIterator[RematchEvent]:
        yield await self.rematch(call)

    async def rematch(self, call: WaitingCall) -> RematchEvent:
        """Rematch one call; judge all of its mentions again if a person asked for that."""
        call_id, judges_all = call.call_id, call.stage is Stage.COMPETITOR_SENTIMENT
        try:
            examined = await asyncio.to_thread(self._examine, call_id, judges_all)
            if examined is None:
                return RematchSkipped(call_id)
            return await self._store(*examined, call)
        except (TransientError, ClaimLost):
            raise
        except Exception as error:
            cause = to_pipeline_error(error, call_id, Stage.COMPETITOR_MENTIONS)
            return await self._fail(call_id, str(cause))

    async def _fail(self, call_id: str, reason: str) -> RematchFailed:
        save_failure = self.results.save_failure
        await asyncio.to_thread(save_failure, call_id, self.rematch_id, reason)
        return RematchFailed(call_id, reason)

    async def _defer(
        self, call: WaitingCall, missing: Sequence[UnjudgedMention]
    ) -> RematchDeferred | RematchFailed:
        """Let a call wait for the judge, or fail it if waiting can't help."""
        permanent = next((each for each in missing if not each.transient), None)
        if permanent:
            return await self._fail(call.call_id, permanent.reason)
        reason = missing[0].reason
        service = next(filter(None, (each.unavailable_service for each in missing)), None)
        if service is None and call.deferrals >= MAX_DEFERRALS:
            return await self._fail(call.call_id, reason)
        wait_s = WAITS_S[min(call.deferrals, len(WAITS_S) - 1)]
        defer = self.results.defer
        await asyncio.to_thread(defer, call.call_id, self.rematch_id, reason, wait_s)
        return RematchDeferred(call.call_id, reason, wait_s, service)

    def _examine(
        self, call_id: str, judges_all: bool
    ) -> tuple[RematchInput, CallChanges, Mapping[str, Judgement]] | None:
        stored = self.results.load(call_id)
        if stored is None:
            return None
        answers = self.results.answers(self.stages.catalog)
        changes = find_changes(stored, self.stages.matcher, answers, judges_all=judges_all)
        wanted = dict[str, str]() if judges_all else changes.judged_in
        return stored, changes, self.results.kept_judgements(call_id, wanted)

    async def _store(
        self,
        stored: RematchInput,
        changes: CallChanges,
        kept: Mapping[str, Judgement],
        call: WaitingCall,
    ) -> RematchEvent:
        judges_all = call.stage is Stage.COMPETITOR_SENTIMENT
        asked = [
            mention
            for mention in changes.found
            if mention.mention_id in changes.judged_in and mention.mention_id not in kept
        ]
        new, missing = await self._judge(stored, asked)
        if judges_all and missing:
            # A call keeps the judgements that it has if the judge is away.
            return await self._defer(call, missing)
        judgements = [*kept.values(), *new]
        write = replace(
            self._write(stored, changes, judgements, missing),
            engine=self.stages.engines.judge.name if asked else None,
            forgets_judgements=judges_all,
        )
        if not await asyncio.to_thread(self.results.save, write):
            return RematchSkipped(stored.call_id)
        unchanged = [
            judgement
            for id_, judgement in stored.judgements.items()
            if id_ in changes.counted and id_ not in changes.judged_in
        ]
        sentiment = summarize_sentiment([*unchanged, *judgements], missing, changes.found)
        mentions = self._summarize(changes)
        return CallRematched(stored.call_id, mentions, sentiment, len(new))

    async def _judge(
        self, stored: RematchInput, mentions: Sequence[Mention]
    ) -> tuple[Sequence[Judgement], Sequence[UnjudgedMention]]:
        """Judge mentions; what an unavailable judge leaves out is retried as in other calls."""
        if not mentions:
            return (), ()
        try:
            judging = self.stages.judge(stored.transcripts, mentions)
            with call_context(stored.call_id):
                results = await with_timeout(judging, self.stages.stage_timeout_s)
        except Exception as error:
            cause = to_pipeline_error(error, stored.call_id, Stage.COMPETITOR_SENTIMENT)
            results = mark_unjudged(cause, mentions)
        return judged(results), unjudged(results)

    def _write(
        self,
        stored: RematchInput,
        changes: CallChanges,
        judgements: Sequence[Judgement],
        missing: Sequence[UnjudgedMention],
    ) -> RematchWrite:
        return RematchWrite(
            call_id=stored.call_id,
            run_id=self.run_id,
            rematch_id=self.rematch_id,
            catalog_version=self.stages.catalog.version,
            rule_version=RULE_VERSION,
            transcribed_at=stored.transcribed_at,
            matched_at=stored.matched_at,
            mention_ids=[mention.mention_id for mention in changes.found],
            changed=changes.changed,
            dropped=changes.dropped,
            outdated=changes.outdated,
            judgements=judgements,
            missing=missing,
            engine=None,
            mention_engine=self.stages.mention_engine,
            is_changed=changes.is_changed,
        )

    def _summarize(self, changes: CallChanges) -> StageSummary:
        counted = [m for m in changes.found if m.mention_id in changes.counted]
        return {
            "mentions": len(counted),
            "competitors": ", ".join(sorted({mention.competitor for mention in counted})),
            "not_counted": len(changes.found) - len(counted),
            "catalog_version": self.stages.catalog.version,
            "rule_version": RULE_VERSION,
            "changed": len(changes.changed) + len(changes.gone),
        }
