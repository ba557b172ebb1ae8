"""Storage in memory; `tests/contracts` holds it to what Postgres and the object stores do."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.call import CallState, Recording, Stage
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.mention import Mention
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.sentiment import Judgement
from callpipeline.domain.transcript import Transcript
from callpipeline.errors import CallpipelineError, ClaimLost, MissingObject
from callpipeline.storage.ports import StageWrite


class InMemoryRecordings:
    """A bucket: the fake of ObjectStore."""

    name = "recordings"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.put_keys: list[str] = []

    def put(self, key: str, content: bytes | Path) -> None:
        if {"", ".", ".."} & set(key.split("/")):
            raise MissingObject(f"{self.name} cannot hold an object of that name.")
        content = content.read_bytes() if isinstance(content, Path) else content
        self.objects[key] = (content, datetime.now(UTC))
        self.put_keys.append(key)

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise MissingObject(f"{self.name} does not hold the object any more.")
        return self.objects[key][0]

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        content = self.read(key)
        if etag is not None and self.recording(key).etag != etag:
            raise MissingObject("The recording was replaced by another one.")
        into.write_bytes(content)

    def key_of(self, path: Path) -> str | None:
        return None

    def exists(self, key: str) -> bool:
        return key in self.objects

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def recording(self, key: str) -> Recording:
        content = self.read(key)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Recording(self.name, key, etag, len(content), self.objects[key][1])

    def list(self, prefix: str = "") -> Iterator[Recording]:
        inside = (key for key in sorted(self.objects) if not prefix or _is_below(key, prefix))
        return map(self.recording, inside)


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(prefix.rstrip("/") + "/")


class InMemoryRegistry:
    """What discovery and ingestion see of the ledger."""

    def __init__(self) -> None:
        self.recordings: dict[str, Recording] = {}
        self.agent_channels: dict[str, str] = {}
        self._contents: dict[str, str] = {}

    def unknown(self, recordings: list[Recording]) -> list[Recording]:
        return [recording for recording in recordings if recording.call_id not in self.recordings]

    def register(
        self,
        recordings: Iterable[Recording],
        *,
        agent_channel: str = "left",
        sha256: str | None = None,
    ) -> list[str]:
        new: list[str] = []
        for recording in recordings:
            if recording.call_id not in self.recordings:
                new.append(recording.call_id)
                self.recordings[recording.call_id] = recording
                self.agent_channels[recording.call_id] = agent_channel
            if sha256:
                self._contents.setdefault(sha256, recording.call_id)
        return new

    def call_of_content(self, sha256: str) -> str | None:
        return self._contents.get(sha256)


@dataclass
class InMemoryStates:
    """Who holds which call, and how calls ended."""

    holders: dict[str, str] = field(default_factory=dict)
    states: dict[str, CallState] = field(default_factory=dict)
    errors: dict[str, tuple[str, CallpipelineError]] = field(default_factory=dict)
    stages: dict[str, set[Stage]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    def claim(self, call_id: str, run_id: str) -> None:
        self.holders[call_id] = run_id
        self.states[call_id] = CallState.PROCESSING

    def check(self, call_id: str, run_id: str) -> None:
        if self.holders.get(call_id) != run_id:
            raise ClaimLost(f"Call {call_id} belongs to another run now.")

    def begin(self, call_id: str, run_id: str) -> None:
        self.check(call_id, run_id)
        self.attempts[call_id] = self.attempts.get(call_id, 0) + 1

    def complete(self, call_id: str, run_id: str) -> CallState:
        self.check(call_id, run_id)
        whole = self.stages.get(call_id, set()) == set(Stage)
        return self._end(call_id, CallState.COMPLETED if whole else CallState.PENDING)

    def fail(self, call_id: str, run_id: str, stage: str, error: CallpipelineError) -> None:
        self.check(call_id, run_id)
        self.errors[call_id] = (stage, error)
        self._end(call_id, CallState.FAILED)

    def _end(self, call_id: str, state: CallState) -> CallState:
        del self.holders[call_id]
        self.states[call_id] = state
        return state


class InMemoryResults:
    """What the stages made, for calls that `states` says are held."""

    def __init__(self, states: InMemoryStates) -> None:
        self._states = states
        self.catalogs: dict[str, Catalog] = {}
        self.writes: list[StageWrite] = []
        self._audio: dict[str, SplitRecording] = {}
        self._files: dict[tuple[str, Channel], bytes] = {}
        self._metrics: dict[str, CallMetrics] = {}
        self._transcripts: dict[str, tuple[Transcript, ...]] = {}
        self._mentions: dict[str, dict[str, Mention]] = {}
        self._judgements: dict[str, dict[str, Judgement]] = {}

    def _stored(self, write: StageWrite) -> str:
        self._states.check(write.call_id, write.run_id)
        self._states.stages.setdefault(write.call_id, set()).add(write.stage)
        self.writes.append(write)
        return write.call_id

    def save_audio(self, write: StageWrite, split: SplitRecording, folder: Path) -> None:
        for channel in split.channels:
            content = (folder / f"{channel.channel}.flac").read_bytes()
            self._files[write.call_id, channel.channel] = content
        self._audio[self._stored(write)] = split

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None:
        self._metrics[self._stored(write)] = metrics

    def save_transcripts(self, write: StageWrite, transcripts: Sequence[Transcript]) -> None:
        in_order = sorted(transcripts, key=lambda transcript: transcript.channel)
        self._transcripts[self._stored(write)] = tuple(in_order)

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> None:
        call_id = self._stored(write)
        found = {mention.mention_id: mention for mention in mentions}
        judged = self._judgements.get(call_id, {})
        self._mentions[call_id] = found
        self._judgements[call_id] = {id_: judged[id_] for id_ in judged if id_ in found}

    def save_sentiment(self, write: StageWrite, judgements: Sequence[Judgement]) -> None:
        call_id = self._stored(write)
        self._judgements[call_id] = {judgement.mention_id: judgement for judgement in judgements}

    def remember_catalog(self, catalog: Catalog) -> None:
        self.catalogs[catalog.version] = catalog

    def catalog_version(self, call_id: str) -> str | None:
        made = [w for w in self.writes if w.call_id == call_id]
        found = [w.catalog_version for w in made if w.stage is Stage.COMPETITOR_MENTIONS]
        return found[-1] if found else None

    def audio(self, call_id: str) -> SplitRecording:
        if call_id not in self._audio:
            raise MissingObject(f"Call {call_id} has no channel_audio yet.")
        return self._audio[call_id]

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None:
        if (call_id, channel) not in self._files:
            raise MissingObject("The store does not hold the object any more.")
        into.write_bytes(self._files[call_id, channel])

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]:
        if call_id not in self._transcripts:
            raise MissingObject(f"Call {call_id} has no transcripts yet.")
        return self._transcripts[call_id]

    def mentions(self, call_id: str) -> tuple[Mention, ...]:
        found = self._mentions.get(call_id, {}).values()
        return tuple(sorted(found, key=lambda mention: (mention.start_s, mention.mention_id)))

    def metrics(self, call_id: str) -> dict[str, Any] | None:
        found = self._metrics.get(call_id)
        return {"call_id": call_id, **asdict(found)} if found else None

    def judgements(self, call_id: str) -> tuple[Judgement, ...]:
        judged = self._judgements.get(call_id, {})
        return tuple(judged[mention_id] for mention_id in sorted(judged))
