"""A recording's identity, how it is registered, and the states a call goes through."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class CallState(StrEnum):
    """Where a call stands in the ledger; all but PENDING and PROCESSING are final."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    DUPLICATE = "DUPLICATE"
    ERASED = "ERASED"

    @property
    def is_final(self) -> bool:
        return self not in (CallState.PENDING, CallState.PROCESSING)


class Lane(StrEnum):
    """Which queue a call waits in: calls of today are not to wait behind a backlog."""

    LIVE = "live"
    BULK = "bulk"


class DuplicatePolicy(StrEnum):
    """What happens to bytes that a call was made of before.

    `link`: the call ends DUPLICATE and names the first one; `process`: it is a call like any
    other; `refuse`: it ends FAILED.
    """

    LINK = "link"
    PROCESS = "process"
    REFUSE = "refuse"


class Stage(StrEnum):
    """What is made of a call, in the order it is made; each is an asset of the same name."""

    CHANNEL_AUDIO = "channel_audio"
    CALL_METRICS = "call_metrics"
    TRANSCRIPTS = "transcripts"
    COMPETITOR_MENTIONS = "competitor_mentions"
    COMPETITOR_SENTIMENT = "competitor_sentiment"


NEEDS: Mapping[Stage, frozenset[Stage]] = {
    Stage.CHANNEL_AUDIO: frozenset(),
    Stage.CALL_METRICS: frozenset({Stage.CHANNEL_AUDIO}),
    Stage.TRANSCRIPTS: frozenset({Stage.CHANNEL_AUDIO}),
    Stage.COMPETITOR_MENTIONS: frozenset({Stage.TRANSCRIPTS}),
    Stage.COMPETITOR_SENTIMENT: frozenset({Stage.TRANSCRIPTS, Stage.COMPETITOR_MENTIONS}),
}
"""The stages whose results each stage reads."""


def needed_for(wanted: Collection[Stage]) -> list[Stage]:
    """The stages that must be stored before the wanted ones can be made, in their order."""
    needed = {need for stage in wanted for need in NEEDS[stage]}
    return [stage for stage in Stage if stage in needed and stage not in wanted]


@dataclass(frozen=True, slots=True)
class Recording:
    """One object in a bucket, or one file in a folder that serves as bucket."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: datetime

    @property
    def call_id(self) -> str:
        """`YYYY-MM-DD-<12 hex>`: the object's day (UTC) and a hash of bucket, key and etag.

        Deterministic, sorted by day, and free of personal data and of characters that Dagster
        or a URL dislikes; the only source of partition keys.
        """
        identity = "\0".join((self.bucket, self.key, self.etag))
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self.last_modified.astimezone(UTC):%Y-%m-%d}-{digest[:12]}"


@dataclass(frozen=True, slots=True)
class Registration:
    """A recording and all that is known of its call before anybody listens to it.

    `metadata` is what the file's name tells (agent, customer, direction, …), `started_at` when the
    call took place; `sha256` is that of the bytes, where they were read already. `priority` goes
    before age: a person who waits for a call asks with 1.
    """

    recording: Recording
    agent_channel: str = "left"
    started_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    lane: Lane = Lane.LIVE
    priority: int = 0
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """The call that a recording has become; `duplicate_of` is the call of the same bytes."""

    call_id: str
    is_new: bool
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A recording under way through the stages, as the ledger knows it.

    `sha256` is that of its bytes, where they were read already.
    """

    call_id: str
    recording: Recording
    agent_channel: str = "left"
    stages_done: frozenset[Stage] = frozenset()
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    sha256: str | None = None
