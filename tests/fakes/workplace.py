"""The stages with all their fakes in place, and calls to put through them."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import Call, DuplicatePolicy, Stage
from callpipeline.domain.matching import Matcher
from callpipeline.domain.transcript import Transcript
from callpipeline.pipeline.batch import process_calls
from callpipeline.pipeline.process import Event, Processor
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.pipeline.stages import Engines, Stages
from callpipeline.storage.ports import ResultStore
from tests.builders import CATALOG, a_call, a_transcript
from tests.fakes.engines import (
    ScriptedJudge,
    ScriptedSpeechDetector,
    ScriptedSplitter,
    ScriptedTranscriber,
)
from tests.fakes.storage import (
    InMemoryMissing,
    InMemoryRecordings,
    InMemoryResults,
    InMemoryStates,
    OneBucket,
)

RUN = "run-1"


def parse_plainly(name: str, content: bytes, agent_channel: str) -> tuple[Transcript, ...]:
    """A supplied transcript: the content is what the right channel says."""
    text = content.decode()
    return (a_transcript(text, channel=Channel.RIGHT, engine="supplied"),) if text else ()


@dataclass
class Workplace:
    """Everything that processing needs; a test replaces the fake that it is about."""

    splitter: ScriptedSplitter = field(default_factory=ScriptedSplitter)
    detector: ScriptedSpeechDetector = field(default_factory=ScriptedSpeechDetector)
    transcriber: ScriptedTranscriber = field(default_factory=ScriptedTranscriber)
    judge: ScriptedJudge = field(default_factory=ScriptedJudge)
    recordings: InMemoryRecordings = field(default_factory=InMemoryRecordings)
    states: InMemoryStates = field(default_factory=InMemoryStates)
    stage_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        self.results = InMemoryResults(self.states)
        self.missing = InMemoryMissing(self.states, self.results)

    def call(
        self,
        name: str = "one",
        *,
        content: str | None = None,
        done: Sequence[Stage] = (),
        duplicates: DuplicatePolicy = DuplicatePolicy.LINK,
        sha256: str | None = None,
    ) -> Call:
        """A claimed call whose recording `<name>.wav` has its name as content."""
        self.recordings.put(f"{name}.wav", (content or name).encode())
        call = a_call(self.recordings.recording(f"{name}.wav"), done=done)
        call = replace(call, duplicates=duplicates, sha256=sha256)
        self.states.claim(call.call_id, RUN)
        return call

    def stages(self, results: ResultStore | None = None) -> Stages:
        return Stages(
            engines=Engines(self.splitter, self.detector, self.transcriber, self.judge),
            recordings=OneBucket(self.recordings),
            supplied=SidecarTranscripts(OneBucket(self.recordings), parse_plainly),
            states=self.states,
            results=results or self.results,
            catalog=CATALOG,
            matcher=Matcher(CATALOG),
            stage_timeout_s=self.stage_timeout_s,
        )

    def process(
        self, *calls: Call, wanted: Collection[Stage] = tuple(Stage), concurrency: int = 4
    ) -> list[Event]:
        """What happened, in order. A test that hangs ends after ten seconds."""
        return asyncio.run(asyncio.wait_for(self._process(calls, wanted, concurrency), 10))

    async def _process(
        self, calls: Sequence[Call], wanted: Collection[Stage], concurrency: int
    ) -> list[Event]:
        processor = Processor(self.stages(), RUN)
        events = process_calls(processor, calls, wanted, concurrency=concurrency)
        return [event async for event in events]
