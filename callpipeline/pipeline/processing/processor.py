"""Processing of claimed calls, and retry of missing judgements of completed ones.

Each claimed call goes through its stages and ends in a final state. A retry leaves the call
completed; errors are recorded with the mentions that they kept from being judged.
"""

import asyncio
import errno
import logging
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from callpipeline.domain.calls.call import Call, Stage
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import (
    JudgeResult,
    UnjudgedMention,
    judged,
    mark_unjudged,
    unjudged,
)
from callpipeline.engines.ports import call_context
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    EngineUnavailable,
    MachineExhausted,
    SameRecording,
    TransientError,
    UnexpectedError,
)
from callpipeline.pipeline.processing.stages import (
    Stages,
)
from callpipeline.pipeline.processing.summaries import (
    StageSummary,
    SummaryValue,
    summarize_sentiment,
)
from callpipeline.pipeline.processing.workspace import CallWorkspace
from callpipeline.storage.ports.calls import CallStates
from callpipeline.storage.ports.results import MissingJudgements, StageWrite

log = logging.getLogger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")
EventT = TypeVar("EventT")

CANCEL_S = 5.0
"""Longest wait for items in process to notice that they are cancelled."""

SHORTAGES = {
    errno.ENOSPC: "no disk space",
    errno.EDQUOT: "no disk space (quota)",
    errno.ENOMEM: "no memory",
    errno.EMFILE: "no open files",
    errno.ENFILE: "no open files",
    errno.EAGAIN: "no processes",
}
"""Resources that a machine runs out of temporarily."""


@dataclass(frozen=True, slots=True)
class StageStored:
    """A stage of a call is stored; `reused` if an earlier attempt had stored it."""

    call_id: str
    stage: Stage
    summary: StageSummary = field(default_factory=dict[str, SummaryValue])
    reused: bool = False


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A stage failed; the call ends FAILED, or is retried at `retry_at`."""

    call_id: str
    stage: Stage
    reason: str
    error_class: str
    transient: bool
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallLinked:
    """A call ended as a duplicate of call `first`."""

    call_id: str
    first: str


@dataclass(frozen=True, slots=True)
class CallAbandoned:
    """Another run has claimed the call; this run stops without changing its state."""

    call_id: str


CallEvent = StageStored | CallFailed | CallLinked | CallAbandoned


@dataclass(frozen=True, slots=True)
class Processor:
    """Processes calls for one run."""

    stages: Stages
    run_id: str

    @property
    def states(self) -> CallStates:
        return self.stages.states

    async def process(self, call: Call, wanted: Collection[Stage]) -> AsyncIterator[CallEvent]:
        """Run the wanted stages of a claimed call in order, then store its final state."""
        stage = Stage.CHANNEL_AUDIO
        try:
            await asyncio.to_thread(self.states.begin, call.call_id, self.run_id)
            await self._check_content(call)
            with self._folder() as folder:
                workspace = CallWorkspace(call, Path(folder), self.stages.results)
                for stage in (stage for stage in Stage if stage in wanted):
                    yield await self._run_stage(stage, workspace)
            await asyncio.to_thread(self.states.complete, call.call_id, self.run_id)
        except ClaimLost:
            yield CallAbandoned(call.call_id)
        except SameRecording as same:
            yield CallLinked(call.call_id, same.original_call_id)
        except Exception as error:
            yield await self._fail(call, stage, to_pipeline_error(error, call.call_id, stage))

    async def _check_content(self, call: Call) -> None:
        """Check again whether another call owns the content, if it was read by an earlier run."""
        if Stage.CHANNEL_AUDIO in call.stages_done and call.sha256:
            await asyncio.to_thread(self.states.own_content, call, self.run_id, call.sha256)

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        """Create a folder; leftovers of cancelled stages must not fail the call on cleanup."""
        return tempfile.TemporaryDirectory(dir=self.stages.workspace, ignore_cleanup_errors=True)

    async def _run_stage(self, stage: Stage, workspace: CallWorkspace) -> StageStored:
        call = workspace.call
        if stage in call.stages_done:
            return StageStored(call.call_id, stage, reused=True)
        running = self.stages.run(stage, workspace, self.run_id)
        with call_context(call.call_id):
            summary = await with_timeout(running, self.stages.stage_timeout_s)
        return StageStored(call.call_id, stage, summary)

    async def _fail(self, call: Call, stage: Stage, error: CallpipelineError) -> CallEvent:
        try:
            fail = self.states.fail
            retry_at = await asyncio.to_thread(fail, call.call_id, self.run_id, stage, error)
        except ClaimLost:
            return CallAbandoned(call.call_id)
        kind, transient = type(error).__name__, isinstance(error, TransientError)
        return CallFailed(call.call_id, stage, str(error), kind, transient, retry_at)


async def with_timeout(work: Awaitable[T], timeout_s: float) -> T:
    """Await work for at most `timeout_s`. Raises EngineUnavailable on a timeout."""
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise EngineUnavailable(f"It did not finish within {timeout_s:g} seconds.") from None


def to_pipeline_error(error: Exception, call_id: str, stage: Stage) -> CallpipelineError:
    """Return our errors unchanged; of others keep only the type, as their text may quote a call."""
    if isinstance(error, CallpipelineError):
        return error
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return MachineExhausted(f"This machine has {SHORTAGES[error.errno]} left.")
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    location = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else "?"
    log.error("call %s, stage %s: %s at %s", call_id, stage, type(error).__name__, location)
    return UnexpectedError(
        f"Internal error in callpipeline ({type(error).__name__} at {location}). "
        "Please report it; the recording is not affected."
    )


async def process_calls(
    processor: Processor, calls: Sequence[Call], wanted: Collection[Stage], *, concurrency: int
) -> AsyncGenerator[CallEvent, None]:
    """Process calls, at most `concurrency` at once, and yield events as they happen."""
    events = run_concurrently(
        lambda call: processor.process(call, wanted), calls, concurrency=concurrency
    )
    async with aclosing(events):
        async for event in events:
            yield event


async def run_concurrently(
    process: Callable[[Item], AsyncIterator[EventT]], items: Sequence[Item], *, concurrency: int
) -> AsyncGenerator[EventT, None]:
    """Process items, at most `concurrency` at once, and yield events as they happen.

    Raises only what makes further items pointless, such as a database that is unavailable.
    """
    events: asyncio.Queue[EventT | None] = asyncio.Queue()
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            async for event in process(item):
                await events.put(event)

    async def run_workers() -> None:
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(items))):
                    workers.create_task(work())
        finally:
            await events.put(None)

    running = asyncio.create_task(run_workers())
    try:
        while (event := await events.get()) is not None:
            yield event
        await running
    except BaseExceptionGroup as failures:
        # If the database is unavailable all workers fail: one error is enough. A panic in a Rust
        # library is a BaseException and must be raised as itself.
        raise failures.exceptions[0] from None
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=CANCEL_S)


@dataclass(frozen=True, slots=True)
class RejudgeResult:
    """The number of new judgements of a call, and those that are still missing.

    The next attempt is at `retry_at`; None if there is none.
    """

    call_id: str
    judged: int
    missing: tuple[UnjudgedMention, ...]
    retry_at: datetime | None
    summary: StageSummary


@dataclass(frozen=True, slots=True)
class RejudgeSkipped:
    """No judgement of the call was due, another run claimed it, or it was erased."""

    call_id: str


RejudgeEvent = RejudgeResult | RejudgeSkipped


@dataclass(frozen=True, slots=True)
class Rejudger:
    """Judges unjudged mentions for one run."""

    stages: Stages
    missing: MissingJudgements
    run_id: str

    async def judge_all(
        self, call_ids: Sequence[str], *, concurrency: int
    ) -> AsyncGenerator[RejudgeEvent, None]:
        """Judge calls, at most `concurrency` at once, and yield results as they arrive."""
        events = run_concurrently(self._events, call_ids, concurrency=concurrency)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _events(self, call_id: str) -> AsyncIterator[RejudgeEvent]:
        yield await self.judge(call_id)

    async def judge(self, call_id: str) -> RejudgeEvent:
        """Judge the mentions of a call that are due, and store the results."""
        due = await asyncio.to_thread(self.missing.claim, call_id, self.run_id)
        if not due:
            return RejudgeSkipped(call_id)
        started, results = time.monotonic(), await self._judge_due(call_id, due)
        took_s = time.monotonic() - started
        write = StageWrite(call_id, self.run_id, Stage.COMPETITOR_SENTIMENT, took_s)
        try:
            retry_at = await asyncio.to_thread(self.missing.save, write, results)
        except ClaimLost:
            return RejudgeSkipped(call_id)
        judgements, missing = judged(results), unjudged(results)
        mentions = await asyncio.to_thread(self.stages.results.mentions, call_id)
        summary = summarize_sentiment(judgements, missing, mentions)
        return RejudgeResult(call_id, len(judgements), missing, retry_at, summary)

    async def _judge_due(self, call_id: str, due: frozenset[str]) -> Sequence[JudgeResult]:
        found = await asyncio.to_thread(self.stages.results.mentions, call_id)
        mentions = [mention for mention in found if mention.mention_id in due]
        try:
            judging = self._judge(call_id, mentions)
            with call_context(call_id):
                return await with_timeout(judging, self.stages.stage_timeout_s)
        except Exception as error:
            cause = to_pipeline_error(error, call_id, Stage.COMPETITOR_SENTIMENT)
            return mark_unjudged(cause, mentions)

    async def _judge(self, call_id: str, mentions: Sequence[Mention]) -> Sequence[JudgeResult]:
        transcripts = await asyncio.to_thread(self.stages.results.transcripts, call_id)
        return await self.stages.judge(transcripts, mentions)
