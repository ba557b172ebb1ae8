"""One call through its stages, from what is there already to a final state."""

import asyncio
import errno
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from callpipeline.domain.call import Call, Stage
from callpipeline.engines.asking import on_behalf_of
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    EngineUnavailable,
    MachineExhausted,
    SameRecording,
    TransientError,
    UnexpectedError,
)
from callpipeline.pipeline.facts import Facts
from callpipeline.pipeline.stages import Stages
from callpipeline.pipeline.workbench import Workbench
from callpipeline.storage.ports import CallStates

log = logging.getLogger(__name__)

Made = TypeVar("Made")

SHORTAGES = {
    errno.ENOSPC: "no disk space",
    errno.EDQUOT: "no disk space (quota)",
    errno.ENOMEM: "no memory",
    errno.EMFILE: "no open files",
    errno.ENFILE: "no open files",
    errno.EAGAIN: "no processes",
}
"""What a machine runs out of, and has again later."""


@dataclass(frozen=True, slots=True)
class StageStored:
    """A stage of a call is stored; `kept` when an earlier try had stored it already."""

    call_id: str
    stage: Stage
    facts: Facts = field(default_factory=dict)
    kept: bool = False


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call ended with a reason, or waits until `again_at` to be tried again; `stage` is where."""

    call_id: str
    stage: Stage
    reason: str
    error_class: str
    transient: bool
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallLinked:
    """A call ended as a duplicate: its recording is that of call `first`."""

    call_id: str
    first: str


@dataclass(frozen=True, slots=True)
class CallGivenUp:
    """Another run holds the call now; this one wrote nothing more and says nothing of its state."""

    call_id: str


Event = StageStored | CallFailed | CallLinked | CallGivenUp


@dataclass(frozen=True, slots=True)
class Processor:
    """Walks calls through stages on behalf of one run."""

    stages: Stages
    run_id: str

    @property
    def states(self) -> CallStates:
        return self.stages.states

    async def process(self, call: Call, wanted: Collection[Stage]) -> AsyncIterator[Event]:
        """Make the wanted stages of a claimed call, in order; ends with its final state stored."""
        stage = Stage.CHANNEL_AUDIO
        try:
            await asyncio.to_thread(self.states.begin, call.call_id, self.run_id)
            await self._compare(call)
            with self._folder() as folder:
                bench = Workbench(call, Path(folder), self.stages.results)
                for stage in (stage for stage in Stage if stage in wanted):
                    yield await self._one(stage, bench)
            await asyncio.to_thread(self.states.complete, call.call_id, self.run_id)
        except ClaimLost:
            yield CallGivenUp(call.call_id)
        except SameRecording as same:
            yield CallLinked(call.call_id, same.first)
        except Exception as error:
            yield await self._fail(call, stage, as_ours(error, call.call_id, stage))

    async def _compare(self, call: Call) -> None:
        """Its bytes may have become those of another call since they were read."""
        if Stage.CHANNEL_AUDIO in call.stages_done and call.sha256:
            await asyncio.to_thread(self.states.own_content, call, self.run_id, call.sha256)

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        """What a stage that was called off still writes there stays: no reason to fail the call."""
        return tempfile.TemporaryDirectory(dir=self.stages.workspace, ignore_cleanup_errors=True)

    async def _one(self, stage: Stage, bench: Workbench) -> StageStored:
        call = bench.call
        if stage in call.stages_done:
            return StageStored(call.call_id, stage, kept=True)
        making = self.stages.run(stage, bench, self.run_id)
        with on_behalf_of(call.call_id):
            facts = await in_time(making, self.stages.stage_timeout_s)
        return StageStored(call.call_id, stage, facts)

    async def _fail(self, call: Call, stage: Stage, error: CallpipelineError) -> Event:
        try:
            fail = self.states.fail
            again_at = await asyncio.to_thread(fail, call.call_id, self.run_id, stage, error)
        except ClaimLost:
            return CallGivenUp(call.call_id)
        kind, transient = type(error).__name__, isinstance(error, TransientError)
        return CallFailed(call.call_id, stage, str(error), kind, transient, again_at)


async def in_time(work: Awaitable[Made], allowed_s: float) -> Made:
    """What the work makes. Raises EngineUnavailable when it takes longer than it may."""
    deadline = asyncio.timeout(allowed_s)
    try:
        async with deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise EngineUnavailable(f"It had not ended after {allowed_s:g} seconds.") from None


def as_ours(error: Exception, call_id: str, stage: Stage) -> CallpipelineError:
    """Errors of ours as they are; of others only the kind, since their text may quote the call."""
    if isinstance(error, CallpipelineError):
        return error
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return MachineExhausted(f"This machine has {SHORTAGES[error.errno]} left.")
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else "?"
    log.error("call %s, stage %s: %s at %s", call_id, stage, type(error).__name__, place)
    return UnexpectedError(
        f"callpipeline met an error of its own ({type(error).__name__} at {place}). "
        "Please report it; nothing of the recording is lost."
    )
