"""In-memory storage; `tests/contracts` runs the same suites over it and the real adapters."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import CallMetrics, Channel, SplitRecording
from callpipeline.domain.calls.call import (
    Call,
    CallState,
    DuplicatePolicy,
    Recording,
    RegisteredCall,
    Registration,
    Stage,
)
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.disambiguation.scoring import NameAnswers
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.redaction.masking import MaskedSpan
from callpipeline.domain.sentiment import Judgement, JudgeResult, UnjudgedMention, judged, unjudged
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DuplicateRecording,
    MissingObject,
    SameRecording,
    ServiceUnavailable,
    TransientError,
)
from callpipeline.storage.ports.results import NO_PEAKS, ChannelPeaks, Redaction, StageWrite


class InMemoryRecordings:
    """Fake of ObjectStore."""

    name = "recordings"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.put_keys: list[str] = []
        self.page_size = 1000

    def put_all(
        self, contents: Mapping[str, bytes | Path], check: Callable[[], None] = lambda: None
    ) -> None:
        for key, content in contents.items():
            check()
            self.put(key, content)

    def put(self, key: str, content: bytes | Path) -> None:
        if {"", ".", ".."} & set(key.split("/")):
            raise MissingObject(f"{self.name} cannot hold an object of that name.")
        content = content.read_bytes() if isinstance(content, Path) else content
        self.objects[key] = (content, datetime.now(UTC))
        self.put_keys.append(key)

    def put_new(self, key: str, content: bytes | Path) -> None:
        if key not in self.objects:
            self.put(key, content)

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise MissingObject(f"{self.name} no longer contains the object.")
        return self.objects[key][0]

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self.read(key)[start : start + length]

    def size(self, key: str) -> int:
        return len(self.read(key))

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        content = self.read(key)
        if etag is not None and self.recording(key).etag != etag:
            raise MissingObject("The recording was replaced by another one.")
        into.write_bytes(content)

    def key_of(self, path: Path) -> str | None:
        return None

    def exists(self, key: str) -> bool:
        return key in self.objects

    def beside(self, stem: str) -> Sequence[str]:
        folder = stem.rpartition("/")[0]
        below = sorted(key for key in self.objects if key.rpartition("/")[0] == folder)
        return [key for key in below if key.casefold().startswith(stem.casefold())]

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def delete_below(self, prefix: str) -> int:
        keys = [recording.key for recording in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)

    def recording(self, key: str) -> Recording:
        content = self.read(key)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Recording(self.name, key, etag, len(content), self.objects[key][1])

    def is_being_written(self, recording: Recording) -> bool:
        return False

    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: Callable[[str], None] = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        below = (key for key in sorted(self.objects) if not prefix or _is_below(key, prefix))
        remaining = (key for key in below if after is None or key > after)
        found = (self.recording(key) for key in remaining if key in self.objects)
        while page := list(islice(found, self.page_size)):
            yield page

    def list(self, prefix: str = "") -> Iterator[Recording]:
        return chain.from_iterable(self.pages(prefix))


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(prefix.rstrip("/") + "/")


@dataclass(frozen=True)
class OneBucket:
    """Fake of Recordings with one bucket."""

    bucket: InMemoryRecordings

    def fetch(self, recording: Recording, into: Path) -> None:
        self.bucket.fetch(recording.key, into, recording.etag)

    def read(self, bucket: str, key: str) -> bytes:
        assert bucket == self.bucket.name
        return self.bucket.read(key)

    def exists(self, bucket: str, key: str) -> bool:
        assert bucket == self.bucket.name
        return self.bucket.exists(key)

    def beside(self, bucket: str, stem: str) -> Sequence[str]:
        assert bucket == self.bucket.name
        return self.bucket.beside(stem)


class InMemoryRegistry:
    """Fake of the ledger for discovery and ingestion."""

    def __init__(self) -> None:
        self.recordings: dict[str, Recording] = {}
        self.registrations: dict[str, Registration] = {}
        self._calls: dict[tuple[str, str, str], str] = {}
        self._contents: dict[str, str] = {}
        self._duplicates: dict[str, str] = {}

    def unknown(self, recordings: list[Recording]) -> list[Recording]:
        return [r for r in recordings if (r.bucket, r.key, r.etag) not in self._calls]

    def register(self, registrations: Iterable[Registration]) -> list[RegisteredCall]:
        return [self._enter(registration) for registration in registrations]

    def _enter(self, registration: Registration) -> RegisteredCall:
        recording, sha256 = registration.recording, registration.sha256
        identity = (recording.bucket, recording.key, recording.etag)
        if known := self._calls.get(identity):
            return RegisteredCall(known, is_new=False, duplicate_of=self._duplicates.get(known))
        call_id = self._calls[identity] = recording.call_id
        self.recordings[call_id] = recording
        self.registrations[call_id] = registration
        first = self._contents.setdefault(sha256, call_id) if sha256 else call_id
        if first != call_id and registration.duplicates is not DuplicatePolicy.PROCESS:
            self._duplicates[call_id] = first
        return RegisteredCall(call_id, is_new=True, duplicate_of=self._duplicates.get(call_id))

    def call_of_content(self, sha256: str) -> str | None:
        return self._contents.get(sha256)

    def waiting_recording(self, sha256: str, bucket: str) -> tuple[str, str] | None:
        call_id = self._contents.get(sha256)
        known = self.recordings.get(call_id or "")
        return (known.call_id, known.key) if known and known.bucket == bucket else None

    def move_recording(self, call_id: str, recording: Recording) -> None:
        self.recordings[call_id] = recording


@dataclass
class InMemoryStates:
    """Fake of Claims; transient failures have `max_retries`."""

    holders: dict[str, str] = field(default_factory=dict)
    states: dict[str, CallState] = field(default_factory=dict)
    errors: dict[str, tuple[str, CallpipelineError]] = field(default_factory=dict)
    stages: dict[str, set[Stage]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)
    max_retries: int = 3
    on_claim: Callable[[str], None] = lambda call_id: None

    def claim(self, call_id: str, run_id: str) -> bool:
        state = self.states.get(call_id, CallState.PENDING)
        if state in (CallState.DUPLICATE, CallState.ERASED):
            return False
        if state.is_final:
            self.retries[call_id] = 0
        self.on_claim(call_id)
        self.holders[call_id] = run_id
        self.states[call_id] = CallState.PROCESSING
        return True

    def check(self, call_id: str, run_id: str) -> None:
        if self.holders.get(call_id) != run_id:
            raise ClaimLost(f"Call {call_id} is claimed by another run now.")

    def begin(self, call_id: str, run_id: str) -> None:
        self.check(call_id, run_id)
        self.attempts[call_id] = self.attempts.get(call_id, 0) + 1

    def complete(self, call_id: str, run_id: str) -> CallState:
        self.check(call_id, run_id)
        is_whole = self.stages.get(call_id, set()) == set(Stage)
        self.retries[call_id] = 0
        return self._end(call_id, CallState.COMPLETED if is_whole else CallState.PENDING)

    def own_content(self, call: Call, run_id: str, sha256: str) -> None:
        self.check(call.call_id, run_id)
        first = self.contents.setdefault(sha256, call.call_id)
        if self._can_retry_duplicate(first):
            first = self.contents[sha256] = call.call_id
        is_erased = self.states.get(first) is CallState.ERASED
        policy = DuplicatePolicy.LINK if is_erased else call.duplicates
        if first == call.call_id or policy is DuplicatePolicy.PROCESS:
            return
        self.stages.pop(call.call_id, None)
        if policy is DuplicatePolicy.REFUSE:
            raise DuplicateRecording(f"The recording is that of call {first}.")
        self._end(call.call_id, CallState.DUPLICATE)
        self.firsts[call.call_id] = first
        raise SameRecording(first)

    def fail(
        self, call_id: str, run_id: str, stage: str, error: CallpipelineError
    ) -> datetime | None:
        self.check(call_id, run_id)
        self.errors[call_id] = (stage, error)
        if isinstance(error, ServiceUnavailable):
            self._end(call_id, CallState.PENDING)
            return datetime.now(UTC) + timedelta(seconds=error.retry_after_s)
        retries = self.retries.get(call_id, 0)
        if isinstance(error, TransientError) and retries < self.max_retries:
            self.retries[call_id] = retries + 1
            self._end(call_id, CallState.PENDING)
            return datetime.now(UTC) + timedelta(seconds=30)
        self._end(call_id, CallState.FAILED)
        if self._can_retry_duplicate(call_id):
            self._retry_duplicate(call_id)
        return None

    def _can_retry_duplicate(self, call_id: str) -> bool:
        """Return whether the call failed for a reason that a copy may not share."""
        failed = self.states.get(call_id) is CallState.FAILED
        return failed and isinstance(self.errors[call_id][1], TransientError | MissingObject)

    def _retry_duplicate(self, failed: str) -> None:
        duplicates = [call_id for call_id, first in self.firsts.items() if first == failed]
        for call_id in duplicates:
            self.firsts[call_id] = duplicates[0]
        for heir in duplicates[:1]:
            del self.firsts[heir]
            self.states[heir] = CallState.PENDING
            self.contents |= {sha: heir for sha, owner in self.contents.items() if owner == failed}

    def _end(self, call_id: str, state: CallState) -> CallState:
        del self.holders[call_id]
        self.states[call_id] = state
        return state


@dataclass
class MissingMention:
    """A mention that is not judged yet; `is_retried` if another attempt is scheduled."""

    error: UnjudgedMention
    tries: int = 1
    is_retried: bool = True
    is_due: bool = False
    claimed_by: str | None = None


class InMemoryMissing:
    """Fake of UnjudgedMentions, on in-memory results and states."""

    def __init__(self, states: InMemoryStates, results: "InMemoryResults") -> None:
        self._states, self._results = states, results

    def _of(self, call_id: str) -> dict[str, MissingMention]:
        """Return the missing mentions; none unless the call is completed."""
        is_complete = self._states.states.get(call_id) is CallState.COMPLETED
        return self._results.missing.get(call_id, {}) if is_complete else {}

    def claim(self, call_id: str, run_id: str) -> frozenset[str]:
        due = {id_: one for id_, one in self._of(call_id).items() if one.is_due and one.is_retried}
        for one in due.values():
            one.tries, one.is_due, one.claimed_by = one.tries + 1, False, run_id
        return frozenset(due)

    def save(self, write: StageWrite, verdicts: Sequence[JudgeResult]) -> datetime | None:
        waiting = self._of(write.call_id)
        claimed = {id_: one for id_, one in waiting.items() if one.claimed_by == write.run_id}
        if not claimed:
            raise ClaimLost(f"The mentions of call {write.call_id} are not this run's.")
        found = [verdict for verdict in verdicts if verdict.mention_id in claimed]
        self._results.add_judgements(write.call_id, judged(found))
        for verdict in judged(found):
            del waiting[verdict.mention_id]
        for error in unjudged(found):
            one = waiting[error.mention_id]
            one.error, one.is_retried = error, error.transient
        has_retries = any(one.is_retried for one in waiting.values())
        return datetime.now(UTC) + timedelta(minutes=10) if has_retries else None


class InMemoryResults:
    """Fake of Results, for the claims in `states`."""

    def __init__(self, states: InMemoryStates) -> None:
        self._states = states
        states.on_claim = self._release_mentions
        self.catalogs: dict[str, Catalog] = {}
        self.given_answers: dict[str, NameAnswers] = {}
        self.writes: list[StageWrite] = []
        self._audio: dict[str, SplitRecording] = {}
        self.peaks: dict[str, ChannelPeaks] = {}
        self._files: dict[tuple[str, Channel], bytes] = {}
        self._redactions: dict[str, tuple[MaskedSpan, ...]] = {}
        self.withheld: set[str] = set()
        self._metrics: dict[str, CallMetrics] = {}
        self._transcripts: dict[str, tuple[Transcript, ...]] = {}
        self._mentions: dict[str, dict[str, Mention]] = {}
        self._judgements: dict[str, dict[str, Judgement]] = {}
        self.missing: dict[str, dict[str, MissingMention]] = {}

    def _write(self, write: StageWrite) -> str:
        self._states.check(write.call_id, write.run_id)
        self._states.stages.setdefault(write.call_id, set()).add(write.stage)
        self.writes.append(write)
        return write.call_id

    def save_audio(
        self,
        write: StageWrite,
        split: SplitRecording,
        folder: Path,
        peaks: ChannelPeaks = NO_PEAKS,
        *,
        withheld: bool = False,
    ) -> None:
        for channel in split.channels:
            content = (folder / f"{channel.channel}.flac").read_bytes()
            self._files[write.call_id, channel.channel] = content
        self._audio[self._write(write)] = split
        self.peaks[write.call_id] = dict(peaks)
        self.withheld = self.withheld - {write.call_id} | ({write.call_id} if withheld else set())

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None:
        self._metrics[self._write(write)] = metrics

    def save_transcripts(
        self,
        write: StageWrite,
        transcripts: Sequence[Transcript],
        redaction: Redaction | None = None,
    ) -> tuple[Transcript, ...]:
        if redaction:
            self._redactions[write.call_id] = redaction.spans
            self._replace_audio(write.call_id, redaction)
        self.withheld -= {write.call_id}
        in_order = sorted(transcripts, key=lambda transcript: transcript.channel)
        self._transcripts[self._write(write)] = tuple(in_order)
        return tuple(transcripts)

    def _replace_audio(self, call_id: str, redaction: Redaction) -> None:
        if redaction.folder is None:
            return
        for channel in redaction.channels:
            content = (redaction.folder / f"{channel.channel}.flac").read_bytes()
            self._files[call_id, channel.channel] = content
        self._audio[call_id] = replace(self._audio[call_id], channels=redaction.channels)
        self.peaks[call_id] = dict(redaction.peaks)

    def redactions(self, call_id: str) -> tuple[MaskedSpan, ...]:
        return self._redactions.get(call_id, ())

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        call_id = self._write(write)
        found = {mention.mention_id: mention for mention in mentions}
        judgements, missing = self._judgements.get(call_id, {}), self.missing.get(call_id, {})
        self._mentions[call_id] = found
        self._judgements[call_id] = {id_: judgements[id_] for id_ in judgements if id_ in found}
        self.missing[call_id] = {id_: missing[id_] for id_ in missing if id_ in found}
        return tuple(mentions)

    def save_sentiment(
        self,
        write: StageWrite,
        judgements: Sequence[Judgement],
        missing: Sequence[UnjudgedMention] = (),
    ) -> None:
        call_id = self._write(write)
        self._judgements[call_id] = {judgement.mention_id: judgement for judgement in judgements}
        self.missing[call_id] = {
            m.mention_id: MissingMention(m, is_retried=m.transient) for m in missing
        }

    def _release_mentions(self, call_id: str) -> None:
        """Release the mentions of a call that a run claims."""
        for one in self.missing.get(call_id, {}).values():
            one.claimed_by = None

    def add_judgements(self, call_id: str, judgements: Sequence[Judgement]) -> None:
        """Add judgements of missing mentions."""
        self._judgements[call_id] |= {judgement.mention_id: judgement for judgement in judgements}

    def save_catalog(self, catalog: Catalog) -> None:
        self.catalogs[catalog.version] = catalog

    def answers(self, competitors: Collection[str]) -> Mapping[str, NameAnswers]:
        return {name: given for name, given in self.given_answers.items() if name in competitors}

    def catalog_version(self, call_id: str) -> str | None:
        writes = [w for w in self.writes if w.call_id == call_id]
        found = [w.catalog_version for w in writes if w.stage is Stage.COMPETITOR_MENTIONS]
        return found[-1] if found else None

    def audio(self, call_id: str) -> SplitRecording:
        if call_id not in self._audio:
            raise MissingObject(f"Call {call_id} has no channel_audio yet.")
        return self._audio[call_id]

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None:
        if (call_id, channel) not in self._files:
            raise MissingObject("The store no longer contains the object.")
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
