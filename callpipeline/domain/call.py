"""A recording's identity and the states a call goes through."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class CallState(StrEnum):
    """Where a call stands in the ledger; COMPLETED, FAILED and ERASED are final."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ERASED = "ERASED"

    @property
    def is_final(self) -> bool:
        return self in (CallState.COMPLETED, CallState.FAILED, CallState.ERASED)


class Stage(StrEnum):
    """What is made of a call, in the order it is made; each is an asset of the same name."""

    CHANNEL_AUDIO = "channel_audio"
    CALL_METRICS = "call_metrics"
    TRANSCRIPTS = "transcripts"
    COMPETITOR_MENTIONS = "competitor_mentions"
    COMPETITOR_SENTIMENT = "competitor_sentiment"


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
class Call:
    """A recording under way through the stages, as the ledger knows it."""

    call_id: str
    recording: Recording
    agent_channel: str = "left"
    stages_done: frozenset[Stage] = frozenset()
