"""What the pipeline needs of storage; the adapters are Claims, Results and Recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.call import Call, CallState, Recording, Stage
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.mention import Mention
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.peaks import Peaks
from callpipeline.domain.sentiment import Judgement, Unjudged, Verdict
from callpipeline.domain.transcript import Transcript
from callpipeline.errors import CallpipelineError

ChannelPeaks = Mapping[Channel, Peaks]
NONE: ChannelPeaks = {}


@dataclass(frozen=True, slots=True)
class StageWrite:
    """Who writes which stage of which call, and how it was made; `took_s` is seconds of work."""

    call_id: str
    run_id: str
    stage: Stage
    took_s: float
    engine: str | None = None
    catalog_version: str | None = None


class CallStates(Protocol):
    """A run's hold on a call. All raise ClaimLost when another run holds it."""

    def begin(self, call_id: str, run_id: str) -> None: ...

    def own_content(self, call: Call, run_id: str, sha256: str) -> None:
        """Raises SameRecording or DuplicateRecording for bytes of another call.

        What was stored of the call is forgotten then.
        """
        ...

    def complete(self, call_id: str, run_id: str) -> CallState: ...

    def fail(
        self, call_id: str, run_id: str, stage: str, error: CallpipelineError
    ) -> datetime | None:
        """Returns when the call is tried again; None when it has ended."""
        ...


class ResultStore(Protocol):
    """Keeps what each stage made. Saving raises ClaimLost, loading MissingObject."""

    def save_audio(
        self, write: StageWrite, split: SplitRecording, folder: Path, peaks: ChannelPeaks = NONE
    ) -> None: ...

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None: ...

    def save_transcripts(self, write: StageWrite, transcripts: Sequence[Transcript]) -> None: ...

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """Returns the mentions as they stand: what people decided about them holds."""
        ...

    def save_sentiment(
        self, write: StageWrite, judgements: Sequence[Judgement], missing: Sequence[Unjudged] = ()
    ) -> None:
        """Verdicts on all mentions of a call: those that are `missing` are tried again later."""
        ...

    def remember_catalog(self, catalog: Catalog) -> None: ...

    def audio(self, call_id: str) -> SplitRecording: ...

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None: ...

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]: ...

    def mentions(self, call_id: str) -> tuple[Mention, ...]: ...

    def catalog_version(self, call_id: str) -> str | None: ...


class MissingJudgements(Protocol):
    """Mentions of complete calls that could not be judged, while these stay complete."""

    def take(self, call_id: str, run_id: str) -> frozenset[str]:
        """The mentions of a call that are to be judged now: a try of each, of this run alone."""
        ...

    def save(self, write: StageWrite, verdicts: Sequence[Verdict]) -> datetime | None:
        """Store verdicts on what the run took; returns when what is missing still is tried again.

        Raises ClaimLost when another run has the call or its mentions, or the call is erased.
        """
        ...


class RecordingSource(Protocol):
    """Where the recordings are. Reading and fetching raise MissingObject."""

    def fetch(self, recording: Recording, into: Path) -> None: ...

    def read(self, bucket: str, key: str) -> bytes: ...

    def exists(self, bucket: str, key: str) -> bool: ...
