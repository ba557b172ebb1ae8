"""Calls: their recordings and IDs, states, stages, progress and retention."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

CALL_ID = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}(?![0-9a-f])", re.ASCII)


class CallState(StrEnum):
    """The state of a call in the ledger; all but PENDING and PROCESSING are final."""

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
    """The queue that a call waits in, so that live calls never wait behind a backlog."""

    LIVE = "live"
    BULK = "bulk"


class DuplicatePolicy(StrEnum):
    """Treatment of a recording whose bytes are those of an earlier call.

    `link`: the call ends DUPLICATE and refers to the first one; `process`: it is processed
    normally; `refuse`: it ends FAILED.
    """

    LINK = "link"
    PROCESS = "process"
    REFUSE = "refuse"


class Stage(StrEnum):
    """A processing stage, in order; each is an asset of the same name."""

    CHANNEL_AUDIO = "channel_audio"
    CALL_METRICS = "call_metrics"
    TRANSCRIPTS = "transcripts"
    COMPETITOR_MENTIONS = "competitor_mentions"
    COMPETITOR_SENTIMENT = "competitor_sentiment"


STAGE_DEPENDENCIES: Mapping[Stage, frozenset[Stage]] = {
    Stage.CHANNEL_AUDIO: frozenset(),
    Stage.CALL_METRICS: frozenset({Stage.CHANNEL_AUDIO}),
    Stage.TRANSCRIPTS: frozenset({Stage.CHANNEL_AUDIO}),
    Stage.COMPETITOR_MENTIONS: frozenset({Stage.TRANSCRIPTS}),
    Stage.COMPETITOR_SENTIMENT: frozenset({Stage.TRANSCRIPTS, Stage.COMPETITOR_MENTIONS}),
}
"""The stages whose results each stage reads."""


def missing_dependencies(wanted: Collection[Stage]) -> list[Stage]:
    """Return the stages that must be stored before the wanted ones can run, in order."""
    required = {dependency for stage in wanted for dependency in STAGE_DEPENDENCIES[stage]}
    return [stage for stage in Stage if stage in required and stage not in wanted]


@dataclass(frozen=True, slots=True)
class Recording:
    """An object in a bucket, or a file in a folder that serves as a bucket.

    `beginning_sha256` is the hash of a part near its beginning, if that was read: it stays the same
    while a recording grows.
    """

    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: datetime
    beginning_sha256: str | None = field(default=None, compare=False)

    @property
    def call_id(self) -> str:
        """Return `YYYY-MM-DD-<12 hex>`: the UTC day, and a hash of bucket, key and etag.

        The ID is deterministic, sorts by day, and contains neither personal data nor characters
        that are special in Dagster or URLs. Partition keys come from here only.
        """
        identity = "\0".join((self.bucket, self.key, self.etag))
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self.last_modified.astimezone(UTC):%Y-%m-%d}-{digest[:12]}"


@dataclass(frozen=True, slots=True)
class Registration:
    """A recording to enter into the ledger, with the attributes of its call.

    `metadata` is parsed from the file name (agent, customer, direction, …), `started_at` is the
    time of the call, `sha256` that of the recording if it has been read already. `priority` takes
    precedence over age: 1 for a call that a person is waiting for.
    """

    recording: Recording
    agent_channel: str = "left"
    started_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    lane: Lane = Lane.LIVE
    priority: int = 0
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredCall:
    """The call created for a recording; `duplicate_of` is an earlier call of the same bytes."""

    call_id: str
    is_new: bool
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call in processing, as stored in the ledger.

    `sha256` is that of the recording, if it has been read already.
    """

    call_id: str
    recording: Recording
    agent_channel: str = "left"
    stages_done: frozenset[Stage] = frozenset()
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    sha256: str | None = None


def call_ids_in(text: str | None) -> set[str]:
    """Return the call IDs that a text contains, in a single pass."""
    return set(CALL_ID.findall(text or ""))


def is_call_id(text: str) -> bool:
    return CALL_ID.fullmatch(text) is not None


def mask_call_ids(text: str, call_ids: Collection[str], by: str) -> str:
    """Replace these call IDs in a text."""
    return CALL_ID.sub(lambda match: by if match[0] in call_ids else match[0], text)


class RetentionClass(StrEnum):
    """A class of data with its own retention period, counted from when a call first ended.

    The periods of notifications and of the audit log count from each entry. That of `dagster`
    counts from the call's latest end, since a call that is processed again shows up in Dagster
    again. After the period of `results` the whole call is erased; its tombstone prevents a
    remaining recording from being imported again.
    """

    DAGSTER = "dagster"
    RECORDINGS = "recordings"
    AUDIO = "audio"
    TRANSCRIPTS = "transcripts"
    RESULTS = "results"
    NOTIFICATIONS = "notifications"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """Days of retention by class; None means permanently."""

    days: dict[RetentionClass, int | None]

    def cutoff(self, retained: RetentionClass, now: datetime) -> datetime | None:
        """Return the time before which data is deleted; None if it never is."""
        days = self.days.get(retained)
        return None if days is None else now - timedelta(days=days)

    def cutoffs(
        self, now: datetime, *classes: RetentionClass
    ) -> Iterator[tuple[RetentionClass, datetime]]:
        """Yield those of the classes that have a period, with their cutoffs."""
        for retained in classes:
            if cutoff := self.cutoff(retained, now):
                yield retained, cutoff


STAGE_WEIGHTS: Mapping[Stage, int] = {
    Stage.CHANNEL_AUDIO: 10,
    Stage.CALL_METRICS: 5,
    Stage.TRANSCRIPTS: 60,
    Stage.COMPETITOR_MENTIONS: 10,
    Stage.COMPETITOR_SENTIMENT: 14,
}
"""Approximate share of a call's work in percent; completing the call is the last percent."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """Progress of a call; `percentage` is 0..100, `step` is worded as in the API."""

    percentage: int
    step: str


def call_progress(
    state: CallState,
    stored: Collection[Stage],
    *,
    channels: Collection[str] = (),
    competitors: tuple[str, ...] = (),
    judged: int = 0,
    error_stage: str | None = None,
) -> CallProgress:
    """Return the progress of a call with these stages stored.

    `competitors` are those mentioned, in order; the first `judged` of them have sentiment.
    """
    percentage = sum(STAGE_WEIGHTS[stage] for stage in set(stored))
    step = _current_step(stored, channels, competitors, judged)
    match state:
        case CallState.COMPLETED:
            return CallProgress(100, "completed")
        case CallState.FAILED:
            return CallProgress(percentage, f"failed at {_step_label(error_stage, channels)}")
        case CallState.PROCESSING:
            return CallProgress(percentage, step)
        case CallState.PENDING:
            return CallProgress(percentage, f"waiting, then {step}" if stored else "waiting")
        case CallState.DUPLICATE:
            return CallProgress(100, "the same recording as another call")
        case CallState.ERASED:
            return CallProgress(100, "erased")


def _current_step(
    stored: Collection[Stage], channels: Collection[str], competitors: tuple[str, ...], judged: int
) -> str:
    missing = next((stage for stage in Stage if stage not in stored), None)
    if missing is None:
        return "finalising"
    if missing is Stage.COMPETITOR_SENTIMENT and competitors:
        index = min(judged, len(competitors) - 1)
        return f"sentiment for {competitors[index]} ({index + 1}/{len(competitors)})"
    return _step_label(missing, channels)


def _step_label(stage: str | None, channels: Collection[str]) -> str:
    """Name a step as the API does; channels are transcribed concurrently, so they share one."""
    match stage:
        case Stage.CHANNEL_AUDIO:
            return "split"
        case Stage.CALL_METRICS | Stage.TRANSCRIPTS:
            sides = [side for side in ("left", "right") if side in channels]
            numbered = f"{len(channels)} channels" if len(channels) > 2 else ""
            return f"transcribing {' and '.join(sides) or numbered}".rstrip()
        case Stage.COMPETITOR_MENTIONS:
            return "analysing for competitors"
        case Stage.COMPETITOR_SENTIMENT:
            return "sentiment"
        case None:
            return "an unknown stage"
        case _:
            return stage


@dataclass(frozen=True, slots=True)
class Throughput:
    """Recent throughput: calls ended in the last hour, and average seconds by stage."""

    calls_last_hour: int
    stage_durations_s: Mapping[Stage, float]

    def remaining_s(self, stored: Collection[Stage]) -> float | None:
        """Return the seconds of work left for a call; None without recent calls."""
        if not self.stage_durations_s:
            return None
        return sum(s for stage, s in self.stage_durations_s.items() if stage not in stored)


def estimate_remaining_s(
    state: CallState,
    stored: Collection[Stage],
    throughput: Throughput,
    *,
    ahead: int = 0,
    waits_s: float = 0,
) -> float | None:
    """Estimate the seconds until a call completes; None if unknown or if it has ended.

    `ahead` calls are queued before it, and it stays queued for at least `waits_s` seconds. The
    queue moves at the rate of the last hour, or one call at a time if that is faster: the last
    hour may have been quiet.
    """
    work_s = throughput.remaining_s(stored)
    if state.is_final or work_s is None:
        return None
    if state is CallState.PROCESSING:
        return work_s
    sequential_s = ahead * sum(throughput.stage_durations_s.values())
    at_recent_rate_s = (
        ahead * 3600 / throughput.calls_last_hour if throughput.calls_last_hour else sequential_s
    )
    return max(waits_s, min(sequential_s, at_recent_rate_s)) + work_s
