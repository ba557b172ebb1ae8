"""Complete calls that lack some judgements: only these are asked for, and the call stays complete.

Whatever is in the way is noted with the mentions that it kept from being judged.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from callpipeline.domain.call import Stage
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Unjudged, Verdict, judged, unjudged
from callpipeline.engines.asking import on_behalf_of
from callpipeline.engines.sentiment.apart import unjudged_by
from callpipeline.errors import ClaimLost
from callpipeline.pipeline.batch import at_once
from callpipeline.pipeline.facts import Facts, sentiment_facts
from callpipeline.pipeline.process import as_ours, in_time
from callpipeline.pipeline.stages import Stages
from callpipeline.storage.ports import MissingJudgements, StageWrite


@dataclass(frozen=True, slots=True)
class JudgedAgain:
    """What came of a call's missing judgements.

    `missing` are those that are missing still; the next try is at `again_at`, None where there is
    none. `facts` are of the mentions that were judged now.
    """

    call_id: str
    judged: int
    missing: tuple[Unjudged, ...]
    again_at: datetime | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Nothing of the call was to be judged any more, or another run took it, or it was erased."""

    call_id: str


AgainEvent = JudgedAgain | LeftAlone


@dataclass(frozen=True, slots=True)
class JudgesAgain:
    """Judges what is missing on behalf of one run."""

    stages: Stages
    missing: MissingJudgements
    run_id: str

    async def judge_all(
        self, call_ids: Sequence[str], *, concurrency: int
    ) -> AsyncIterator[AgainEvent]:
        """What came of each call, as it comes; at most `concurrency` are under way at once."""
        async for event in at_once(self._events, call_ids, concurrency=concurrency):
            yield event

    async def _events(self, call_id: str) -> AsyncIterator[AgainEvent]:
        yield await self.judge(call_id)

    async def judge(self, call_id: str) -> AgainEvent:
        """Ask for what is missing of one call, and store what came of it."""
        asked = await asyncio.to_thread(self.missing.take, call_id, self.run_id)
        if not asked:
            return LeftAlone(call_id)
        started, verdicts = time.monotonic(), await self._verdicts(call_id, asked)
        took_s = time.monotonic() - started
        write = StageWrite(call_id, self.run_id, Stage.COMPETITOR_SENTIMENT, took_s)
        try:
            again_at = await asyncio.to_thread(self.missing.save, write, verdicts)
        except ClaimLost:
            return LeftAlone(call_id)
        made, missing = judged(verdicts), unjudged(verdicts)
        return JudgedAgain(call_id, len(made), missing, again_at, sentiment_facts(made, missing))

    async def _verdicts(self, call_id: str, asked: frozenset[str]) -> Sequence[Verdict]:
        found = await asyncio.to_thread(self.stages.results.mentions, call_id)
        mentions = [mention for mention in found if mention.mention_id in asked]
        try:
            judging = self._judged(call_id, mentions)
            with on_behalf_of(call_id):
                return await in_time(judging, self.stages.stage_timeout_s)
        except Exception as error:
            cause = as_ours(error, call_id, Stage.COMPETITOR_SENTIMENT)
            return unjudged_by(cause, mentions)

    async def _judged(self, call_id: str, mentions: Sequence[Mention]) -> Sequence[Verdict]:
        transcripts = await asyncio.to_thread(self.stages.results.transcripts, call_id)
        return await self.stages.judge(transcripts, mentions)
