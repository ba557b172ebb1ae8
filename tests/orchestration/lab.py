"""A small installation for Dagster tests: real stores, real splitter, transcripts supplied."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from callpipeline.defs.selection import JOB
from callpipeline.domain.audio import ChannelAudio, Interval, SplitRecording
from callpipeline.domain.call import Lane
from callpipeline.domain.matching import Matcher
from callpipeline.domain.transcript import Transcript
from callpipeline.engines.ports import SentimentJudge
from callpipeline.engines.sentiment.lexicon import LexiconJudge
from callpipeline.engines.split.local import LocalSplitter
from callpipeline.engines.transcribe.supplied import parse
from callpipeline.pipeline.ingest import ingest
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.pipeline.stages import Engines, Stages
from callpipeline.wiring import Storage, load_catalog

SAID = "i am switching to vodafone because it is cheaper"


@dataclass
class Listening:
    """Engines that count how often they are used; speech is found all over each channel."""

    name: str = "counting"
    used: list[str] = field(default_factory=list)
    before_split: Callable[[], None] = lambda: None

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        self.used.append("splitter")
        self.before_split()
        return await LocalSplitter().split(recording, into, agent_channel)

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        self.used.append("detector")
        return (Interval(0.0, soundfile.info(audio).duration),)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        self.used.append("transcriber")
        return Transcript(about.channel, about.speaker, engine=self.name)


@dataclass
class Lab:
    """An installation whose runs are executed in this process."""

    settings: Settings
    storage: Storage
    listening: Listening
    instance: dg.DagsterInstance
    folder: Path
    lanes: list[Lane] = field(default_factory=list)
    judge: SentimentJudge = field(default_factory=LexiconJudge)
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        self.definitions = build(self.settings, open_stages=self._stages)

    @contextmanager
    def _stages(self, storage: Storage, lane: Lane) -> Iterator[Stages]:
        self.lanes.append(lane)
        catalog = load_catalog(self.settings)
        storage.results.remember_catalog(catalog)
        engines = Engines(self.listening, self.listening, self.listening, self.judge)
        supplied = SidecarTranscripts(storage.recordings, parse)
        yield Stages(
            engines=engines,
            recordings=storage.recordings,
            supplied=supplied,
            states=storage.claims,
            results=storage.results,
            catalog=catalog,
            matcher=Matcher(catalog),
        )

    def add_call(self, name: str, *, said: str = SAID, audio: bytes | None = None) -> str:
        """Ingest a recording of two seconds in which the customer says something."""
        path = self.folder / f"{name}.wav"
        if audio is None:
            noise = np.random.default_rng(abs(hash(name)) % 2**32).normal(0, 0.1, (16000, 2))
            soundfile.write(path, noise, 8000)
        else:
            path.write_bytes(audio)
        segment = {"start": 0.0, "end": 2.0, "text": said, "channel": "right"}
        path.with_suffix(".transcript.json").write_text(json.dumps({"segments": [segment]}))
        return ingest(path, self.storage.inbox, self.storage.ledger, self.storage.home).call_id

    def run(
        self,
        call_ids: Sequence[str],
        *,
        assets: Sequence[str] | None = None,
        tags: dict[str, str] | None = None,
        listed: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Execute one run over calls whose partitions are added here, as a range or as a list."""
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
        return self.definitions.resolve_job_def(JOB).execute_in_process(
            instance=self.instance,
            run_config=config,
            tags=span | (tags or {}),
            asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
            raise_on_error=False,
        )

    def materialized(self, asset: str) -> set[str]:
        """The calls for which Dagster shows the asset as materialized."""
        return self.instance.get_materialized_partitions(dg.AssetKey(asset))
