"""Calls in the ledger, and their recordings: how they are registered, claimed, and read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from callpipeline.domain.audio import Channel, QualityFlag, Speaker
from callpipeline.domain.calls.call import (
    Call,
    CallProgress,
    CallState,
    Lane,
    Recording,
    RegisteredCall,
    Registration,
    Stage,
    call_progress,
)
from callpipeline.domain.calls.filters import MentionSentiment
from callpipeline.domain.calls.legacy import job_uuid
from callpipeline.domain.sentiment import CallStance, Sentiment, call_stance
from callpipeline.errors import CallpipelineError


class CallStates(Protocol):
    """State changes of a claimed call. All methods raise ClaimLost if another run has the claim."""

    def begin(self, call_id: str, run_id: str) -> None: ...

    def own_content(self, call: Call, run_id: str, sha256: str) -> None:
        """Record the content hash of a call.

        Raises SameRecording or DuplicateRecording if another call owns the content; the stored
        results of this call are then deleted.
        """
        ...

    def complete(self, call_id: str, run_id: str) -> CallState: ...

    def fail(
        self, call_id: str, run_id: str, stage: str, error: CallpipelineError
    ) -> datetime | None:
        """Record a failure; return the time of the next attempt, None if there is none."""
        ...


UNJUDGED = MentionSentiment.UNJUDGED


@dataclass(frozen=True, slots=True)
class CompetitorMentions:
    """Counted mentions of a competitor in a call; `first_s` is the time of the first."""

    competitor: str
    mentions: Mapping[tuple[Speaker, MentionSentiment], int]
    first_s: float

    @property
    def count(self) -> int:
        return sum(self.mentions.values())

    @property
    def is_judged(self) -> bool:
        """Return true if every mention has a sentiment."""
        return not any(
            count for (_, sentiment), count in self.mentions.items() if sentiment is UNJUDGED
        )

    @property
    def overall_sentiment(self) -> MentionSentiment:
        """Return the customer's sentiment, or the agent's if only the agent names it.

        UNJUDGED if no mention is judged.
        """
        main = self.stance.main
        return MentionSentiment(main) if main else UNJUDGED

    @property
    def stance(self) -> CallStance:
        """Return the sentiments of the customer and the agent."""
        return call_stance(
            (speaker, Sentiment(sentiment))
            for (speaker, sentiment), count in self.mentions.items()
            if sentiment is not UNJUDGED
            for _ in range(count)
        )


@dataclass(frozen=True, slots=True)
class ChannelObjects:
    """Object keys of a channel; `transcript_key` is None until the channel is transcribed."""

    channel: Channel
    speaker: Speaker
    object_key: str
    transcript_key: str | None


@dataclass(frozen=True, slots=True)
class OldTranscript:
    """A transcript with its path in the old system; `key` is that of its object."""

    path: str
    key: str
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call as lists show it. `competitors` are in the order of their first mention.

    `metadata` comes from the recording's name; `claimed_by` is the run that processes the call.
    """

    call_id: str
    key: str
    source: str
    state: CallState
    took_place_at: datetime
    started_at: datetime | None
    duration_s: float | None
    metadata: Mapping[str, str]
    flags: tuple[QualityFlag, ...]
    claimed_by: str | None
    attempts: int
    retries: int
    error_stage: str | None
    error_class: str | None
    error_message: str | None
    error_transient: bool | None
    duplicate_of: str | None
    lane: Lane
    next_attempt_at: datetime | None
    unavailable_service: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    stages: tuple[Stage, ...]
    competitors: tuple[CompetitorMentions, ...]
    channels: tuple[ChannelObjects, ...]

    @property
    def agent(self) -> str | None:
        return self.metadata.get("agent")

    @property
    def job_uuid(self) -> str:
        """Return the id that the old system gives the call, or gave it before it was imported."""
        return job_uuid(self.call_id, self.source, self.key)

    @property
    def file_name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def total_competitors(self) -> int:
        return len(self.competitors)

    @property
    def completed_competitors(self) -> int:
        """Return the number of competitors whose mentions are all judged."""
        return sum(each.is_judged for each in self.competitors)

    @property
    def competitors_found(self) -> tuple[str, ...]:
        return tuple(each.competitor for each in self.competitors)

    @property
    def progress(self) -> CallProgress:
        return call_progress(
            self.state,
            self.stages,
            channels=[each.channel for each in self.channels],
            competitors=self.competitors_found,
            judged=self.completed_competitors,
            error_stage=self.error_stage,
        )


class CallRegistry(Protocol):
    """Registers recordings as calls."""

    def unknown(self, recordings: list[Recording]) -> list[Recording]:
        """Return those recordings (all of one bucket) that the ledger doesn't have."""
        ...

    def register(self, registrations: Iterable[Registration]) -> list[RegisteredCall]: ...


class ContentRegistry(CallRegistry, Protocol):
    """Registers recordings, and finds calls by content."""

    def call_of_content(self, sha256: str) -> str | None: ...

    def waiting_recording(self, sha256: str, bucket: str) -> tuple[str, str] | None: ...

    def move_recording(self, call_id: str, recording: Recording) -> None: ...


class NamedQueries(Protocol):
    """Runs named queries, such as `checks/failures`."""

    def rows(
        self, name: str, parameters: Mapping[str, object] | None = None
    ) -> list[dict[str, Any]]: ...


class RecordingSource(Protocol):
    """Reads recordings and the files beside them. Raises MissingObject."""

    def fetch(self, recording: Recording, into: Path) -> None: ...

    def read(self, bucket: str, key: str) -> bytes: ...

    def exists(self, bucket: str, key: str) -> bool: ...

    def beside(self, bucket: str, stem: str) -> Sequence[str]:
        """Return the keys in the folder of `stem` that begin with it, in any case."""
        ...


class RecordingStore(Protocol):
    """The recordings of one bucket, or those announced by URL, which are downloaded first."""

    @property
    def name(self) -> str: ...

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None: ...

    def read(self, key: str) -> bytes: ...

    def recording(self, key: str) -> Recording: ...

    def exists(self, key: str) -> bool: ...

    def beside(self, stem: str) -> Sequence[str]: ...

    def delete(self, key: str) -> None: ...

    def remove_empty_folders(self, key: str) -> None: ...


ANNOUNCED_BUCKET = "announced/"
"""Bucket of recordings announced by URL. No real bucket or source has a slash in its name."""


def announced_recording(token: str, name: str, at: datetime) -> Recording:
    """Return the recording of an announcement; its size is not known before the download."""
    return Recording(ANNOUNCED_BUCKET, f"{token}/{name}", token, 0, at)


def etag_from_key(key: str) -> str:
    """Return the etag of an announced recording: the first part of its key."""
    return key.partition("/")[0]


class RecordingStores(Protocol):
    """The stores of all sources."""

    def store(self, bucket: str) -> RecordingStore:
        """Return the store of a bucket. Raises MissingObject if no source has that bucket."""
        ...


class AnnouncedUrls(Protocol):
    """URLs of announced recordings."""

    def delete_old_urls(self, older_than: datetime) -> int: ...


class RecordingBucket(Protocol):
    """Stores recordings that are handed over."""

    @property
    def name(self) -> str: ...

    def put_new(self, key: str, content: bytes | Path) -> None: ...

    def recording(self, key: str) -> Recording: ...

    def key_of(self, path: Path) -> str | None: ...


class ListableStore(Protocol):
    """Lists recordings page by page, in the order of their keys."""

    def pages(
        self, prefix: str = "", after: str | None = None, unreadable: Callable[[str], None] = ...
    ) -> Iterator[list[Recording]]: ...

    def is_being_written(self, recording: Recording) -> bool: ...


@runtime_checkable
class RangeReader(Protocol):
    """Reads parts of objects."""

    def read_range(self, key: str, start: int, length: int) -> bytes: ...


class AnnouncementRegistry(Protocol):
    """Registers calls whose recordings are downloaded later."""

    def register(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> RegisteredCall: ...
