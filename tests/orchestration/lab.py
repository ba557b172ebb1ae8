"""A small installation for Dagster tests: real stores and splitter, supplied transcripts."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import numpy as np
import soundfile
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.defs.partitions import PROCESS_CALLS_JOB
from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.calls.call import Lane
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.ports import SentimentJudge
from callpipeline.engines.sentiment.lexicon import LexiconJudge
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.supplied import parse_supplied
from callpipeline.pipeline.ingest.beside import SidecarTranscripts
from callpipeline.pipeline.ingest.registration import ingest_file
from callpipeline.pipeline.processing.redaction import Redactor
from callpipeline.pipeline.processing.stages import Engines, Stages
from callpipeline.wiring import Storage, load_catalog, redaction_policies
from callpipeline.wiring.engines import measure_peaks, mute_channel
from tests.builders import a_transcript

SAID = "i am switching to vodafone because it is cheaper"


@dataclass
class CountingEngines:
    """Engines that record their use; all of each channel is speech."""

    name: str = "counting"
    used: list[str] = field(default_factory=list)
    heard: str = ""
    before_split: Callable[[], None] = lambda: None

    async def split(
        self,
        recording: Path,
        into: Path,
        agent_channel: str,
        *,
        file_name: str | None = None,
        source: SourceAudio = UNSPECIFIED,
    ) -> SplitRecording:
        self.used.append("splitter")
        self.before_split()
        return await LocalSplitter().split(recording, into, agent_channel)

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        self.used.append("detector")
        return (Interval(0.0, soundfile.info(audio).duration),)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        self.used.append("transcriber")
        said = self.heard if about.channel is Channel.RIGHT else ""
        transcript = a_transcript(*([said] if said else []), channel=about.channel)
        return replace(transcript, engine=self.name)


@dataclass
class Lab:
    """An installation whose runs are executed in this process."""

    settings: Settings
    storage: Storage
    engines: CountingEngines
    instance: dg.DagsterInstance
    folder: Path
    lanes: list[Lane] = field(default_factory=list)
    judge: SentimentJudge = field(default_factory=LexiconJudge)
    shared: "SharedParts | None" = None
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        if self.shared:
            self.definitions = self.shared.definitions(self)
        else:
            self.definitions = build(self.settings, open_stages=self.open_stages)

    @contextmanager
    def open_stages(self, storage: Storage, lane: Lane) -> Iterator[Stages]:
        self.lanes.append(lane)
        catalog = load_catalog(self.settings, storage.catalogs)
        engines = Engines(self.engines, self.engines, self.engines, self.judge)
        supplied = SidecarTranscripts(storage.recordings, parse_supplied)
        yield Stages(
            engines=engines,
            recordings=storage.recordings,
            supplied=supplied,
            states=storage.claims,
            results=storage.results,
            catalog=catalog,
            matcher=Matcher(catalog),
            measure_peaks=measure_peaks,
            redactor=Redactor(
                storage.results, mute_channel, measure_peaks, redaction_policies(self.settings)
            ),
        )

    def add_call(self, name: str, *, said: str | None = SAID, audio: bytes | None = None) -> str:
        """Ingest a recording of two seconds in which the customer speaks.

        It has a transcript of what is `said` beside it; None if the recogniser is to hear it.
        """
        path = self.folder / f"{name}.wav"
        if audio is None:
            noise = np.random.default_rng(abs(hash(name)) % 2**32).normal(0, 0.1, (16000, 2))
            soundfile.write(path, noise, 8000)
        else:
            path.write_bytes(audio)
        if said is not None:
            segment = {"start": 0.0, "end": 2.0, "text": said, "channel": "right"}
            path.with_suffix(".transcript.json").write_text(json.dumps({"segments": [segment]}))
        return ingest_file(path, self.storage.inbox, self.storage.ledger, self.storage.home).call_id

    def run(
        self,
        call_ids: Sequence[str],
        *,
        assets: Sequence[str] | None = None,
        tags: dict[str, str] | None = None,
        listed: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Add partitions and execute one run over them, as a range or as a list."""
        self.instance.add_dynamic_partitions("calls", list(call_ids))
        if listed:
            config = {"ops": {"process_calls": {"config": {"calls": list(call_ids)}}}}
            span = {"dagster/partition": call_ids[0]}
        else:
            config = None
            span = {
                ASSET_PARTITION_RANGE_START_TAG: call_ids[0],
                ASSET_PARTITION_RANGE_END_TAG: call_ids[-1],
            }
        return self.definitions.resolve_job_def(PROCESS_CALLS_JOB).execute_in_process(
            instance=self.instance,
            run_config=config,
            tags=span | (tags or {}),
            asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
            raise_on_error=False,
        )

    def materialized(self, asset: str) -> set[str]:
        """Return the calls for which Dagster shows the asset as materialized."""
        return self.instance.get_materialized_partitions(dg.AssetKey(asset))


class SharedParts:
    """What is slow to create and the same for each test: an instance and definitions."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self._lab: Lab | None = None
        self._definitions = build(settings, open_stages=self._open_stages)

    def definitions(self, lab: Lab) -> dg.Definitions:
        """Return definitions whose stages are those of this lab."""
        self._lab = lab
        return self._definitions

    def _open_stages(self, storage: Storage, lane: Lane) -> AbstractContextManager[Stages]:
        assert self._lab
        return self._lab.open_stages(storage, lane)
