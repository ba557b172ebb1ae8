"""The stages with all their fakes, and calls to process."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.call import Call, DuplicatePolicy, Stage
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.ports import Diarizer
from callpipeline.engines.split.channel_files import measure_peaks
from callpipeline.pipeline.ingest.beside import SidecarTranscripts
from callpipeline.pipeline.processing.processor import CallEvent, Processor, process_calls
from callpipeline.pipeline.processing.stages import Engines, Stages, SuppliedTranscripts
from callpipeline.storage.ports.results import ResultStore
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


def parse_plain_text(
    name: str, content: bytes, agent_channel: str, speakers: Mapping[str, Speaker]
) -> tuple[Transcript, ...]:
    """Parse a supplied transcript: its content is the text of the right channel."""
    text = content.decode()
    return (a_transcript(text, channel=Channel.RIGHT, engine="supplied"),) if text else ()


@dataclass
class Workplace:
    """Everything that processing needs; tests replace the fakes they are about."""

    splitter: ScriptedSplitter = field(default_factory=ScriptedSplitter)
    detector: ScriptedSpeechDetector = field(default_factory=ScriptedSpeechDetector)
    transcriber: ScriptedTranscriber = field(default_factory=ScriptedTranscriber)
    judge: ScriptedJudge = field(default_factory=ScriptedJudge)
    diarizer: Diarizer | None = None
    first_speakers: Mapping[str, Speaker] = field(default_factory=dict)
    recordings: InMemoryRecordings = field(default_factory=InMemoryRecordings)
    states: InMemoryStates = field(default_factory=InMemoryStates)
    stage_timeout_s: float = 60.0
    supplied: SuppliedTranscripts | None = None

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
        """Return a claimed call whose recording `<name>.wav` has its name as content."""
        self.recordings.put(f"{name}.wav", (content or name).encode())
        call = a_call(self.recordings.recording(f"{name}.wav"), done=done)
        call = replace(call, duplicates=duplicates, sha256=sha256)
        self.states.claim(call.call_id, RUN)
        return call

    def stages(self, results: ResultStore | None = None) -> Stages:
        return Stages(
            engines=Engines(
                self.splitter, self.detector, self.transcriber, self.judge, self.diarizer
            ),
            first_speakers=self.first_speakers,
            recordings=OneBucket(self.recordings),
            supplied=self.supplied
            or SidecarTranscripts(OneBucket(self.recordings), parse_plain_text),
            states=self.states,
            results=results or self.results,
            catalog=CATALOG,
            matcher=Matcher(CATALOG),
            measure_peaks=measure_peaks,
            stage_timeout_s=self.stage_timeout_s,
        )

    def process(
        self, *calls: Call, wanted: Collection[Stage] = tuple(Stage), concurrency: int = 4
    ) -> list[CallEvent]:
        """Process calls and return the events; raises TimeoutError after ten seconds."""
        return asyncio.run(asyncio.wait_for(self._process(calls, wanted, concurrency), 60))

    async def _process(
        self, calls: Sequence[Call], wanted: Collection[Stage], concurrency: int
    ) -> list[CallEvent]:
        processor = Processor(self.stages(), RUN)
        events = process_calls(processor, calls, wanted, concurrency=concurrency)
        return [event async for event in events]
