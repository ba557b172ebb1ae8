"""Changes of the catalog, and rematches: the calls with older results get new ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from callpipeline.domain.audio import Channel, Interval
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.disambiguation.scoring import NameAnswers
from callpipeline.domain.competitors.mentions import Decision, Mention
from callpipeline.domain.sentiment import Judgement, UnjudgedMention
from callpipeline.domain.transcripts import Transcript


class ChangeOrigin(StrEnum):
    """The place where a change of the catalog was made."""

    FILE = "file"
    COMMAND = "command"
    PAGE = "page"
    API = "api"
    REVERT = "revert"


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """A change of the catalog; `parent` is the version it replaced, None for the first."""

    change_id: int
    version: str
    parent: str | None
    origin: ChangeOrigin
    made_by: str | None
    note: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class ResultVersions:
    """The versions of catalog and rules that made the mentions of a call."""

    catalog_version: str | None
    rule_version: int | None


@dataclass(frozen=True, slots=True)
class VersionCount:
    """Completed calls whose mentions other versions made than those in force.

    Of these, `unreachable` have no transcripts any more, and `failed` could not be rematched.
    """

    versions: ResultVersions
    calls: int
    unreachable: int = 0
    failed: int = 0

    @property
    def waiting(self) -> int:
        return self.calls - self.unreachable - self.failed


@dataclass(frozen=True, slots=True)
class Staleness:
    """Completed calls, and those with results of older versions."""

    completed: int
    stale: tuple[VersionCount, ...]

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.stale)

    @property
    def waiting(self) -> int:
        return sum(each.waiting for each in self.stale)

    @property
    def unreachable(self) -> int:
        return sum(each.unreachable for each in self.stale)

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.stale)

    def describe(self) -> str:
        """Return "12 of 10,431 calls are on an older list", with the reasons that they stay so."""
        verb = "is" if self.calls == 1 else "are"
        text = f"{self.calls:,} of {self.completed:,} calls {verb} on an older list"
        if self.unreachable:
            text += f"; the transcripts of {self.unreachable:,} were deleted, so they stay so"
        if self.failed:
            text += f"; {self.failed:,} failed: `callpipeline catalog resume` retries them"
        return text


@dataclass(frozen=True, slots=True)
class RematchProgress:
    """A rematch: `calls` are computed again, of which `waiting` are left and `failed` could not.

    Of those that wait, `deferred` ones are due again at `next_attempt_at` or later: their judge
    was away.
    """

    rematch_id: int
    catalog_version: str
    rule_version: int
    reason: str
    asked_by: str | None
    calls: int
    unaffected: int
    created_at: datetime
    paused_at: datetime | None
    paused_by: str | None
    ended_at: datetime | None
    outcome: str | None
    waiting: int
    failed: int
    deferred: int = 0
    next_attempt_at: datetime | None = None
    deferred_because: str | None = None

    @property
    def is_deferred(self) -> bool:
        """Return whether no call is due before the judge may be back."""
        return 0 < self.waiting <= self.deferred

    @property
    def done(self) -> int:
        return self.calls - self.waiting - self.failed

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    def describe(self) -> str:
        """Return "12 of 30 calls rematched, 9,970 unaffected", and what went wrong."""
        text = f"{self.done:,} of {self.calls:,} calls rematched, {self.unaffected:,} unaffected"
        if self.failed:
            text += f", {self.failed:,} failed"
        if self.deferred and self.next_attempt_at and self.is_open:
            because = (self.deferred_because or "").rstrip(".")
            text += (
                f", {self.deferred:,} wait for the judge, next attempt at "
                f"{self.next_attempt_at.astimezone(UTC):%H:%M} UTC ({because})"
            )
        return f"{text}; stopped" if self.paused_at and self.is_open else text


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that a rematch has to compute.

    `stage` is the first one that a person asked to be computed again; None if the list changed.
    The judge was away for `deferrals` attempts.
    """

    call_id: str
    stage: Stage | None = None
    deferrals: int = 0


@dataclass(frozen=True, slots=True)
class NewRematch:
    """A rematch to open: the calls to compute, and those known to be unaffected by versions."""

    catalog_version: str
    rule_version: int
    calls: Sequence[WaitingCall]
    unaffected: Mapping[ResultVersions, Sequence[str]]
    examined_at: datetime
    reason: str
    asked_by: str | None = None


@dataclass(frozen=True, slots=True)
class RematchInput:
    """The stored results of a completed call.

    `mentions` are as the rules found them, `statuses` as they count: people may have decided since.
    `decisions` are the last ones on each mention, with its time in seconds.
    """

    call_id: str
    transcribed_at: datetime
    matched_at: datetime
    transcripts: tuple[Transcript, ...]
    speech: Mapping[Channel, Sequence[Interval]]
    mentions: tuple[Mention, ...]
    counted: frozenset[str]
    decisions: Mapping[str, tuple[Decision, float]]
    judgements: Mapping[str, Judgement]


@dataclass(frozen=True, slots=True)
class RematchWrite:
    """The new results of a call: what to change, and the fences of what was read.

    `changed` mentions are new or different, `mention_ids` all that were found. The judgements of
    `dropped` mentions are deleted, after those with a context are kept for an undo. Those of
    `outdated` mentions, which people dismissed, are not given back by an undo.
    """

    call_id: str
    run_id: str
    rematch_id: int
    catalog_version: str
    rule_version: int
    transcribed_at: datetime
    matched_at: datetime
    mention_ids: Sequence[str]
    changed: Sequence[Mention]
    dropped: Mapping[str, str]
    outdated: Collection[str]
    judgements: Sequence[Judgement]
    missing: Sequence[UnjudgedMention]
    engine: str | None
    mention_engine: str | None
    is_changed: bool
    forgets_judgements: bool = False


class RematchResults(Protocol):
    """Reads and writes the results of completed calls for a rematch."""

    def load(self, call_id: str) -> RematchInput | None:
        """Return the results of a call; None if it is not complete. Raises MissingObject."""
        ...

    def answers(self, catalog: Catalog) -> Mapping[str, NameAnswers]:
        """Return what reviewers said about the ambiguous names of a catalog."""
        ...

    def kept_judgements(self, call_id: str, contexts: Mapping[str, str]) -> Mapping[str, Judgement]:
        """Return judgements of mentions that were made in the same context before."""
        ...

    def save(self, write: RematchWrite) -> bool:
        """Store the results of a call in one transaction; return False if others came first."""
        ...

    def save_failure(self, call_id: str, rematch_id: int, error: str) -> None: ...

    def defer(self, call_id: str, rematch_id: int, reason: str, wait_s: float) -> None:
        """Let a call wait until the judge may be back; it keeps its results."""
        ...


class RematchPlans(Protocol):
    """Plans of rematches, and what is left of them."""

    def versions_in_use(self) -> Sequence[VersionCount]: ...

    def stale_calls(self, made_by: ResultVersions, target: ResultVersions) -> Sequence[str]: ...

    def texts(self, call_ids: Sequence[str], pattern: str) -> Sequence[tuple[str, str]]:
        """Return (call id, text) of the segments that may match a pattern of ASCII texts."""
        ...

    def catalog(self, version: str) -> Catalog | None: ...

    def now(self) -> datetime: ...


class RematchPlanner(RematchPlans, Protocol):
    """The open rematch, of which there is at most one."""

    def staleness(self, target: ResultVersions) -> Staleness: ...

    def current(self) -> RematchProgress | None: ...

    def has_left_over(self) -> bool:
        """Return whether a person asked for calls that no open rematch will compute."""
        ...

    def open(self, new: NewRematch) -> bool:
        """Open a rematch in place of any other, unless the catalog has changed meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class EngineUse:
    """An engine that made a stage of completed calls, and when it was first used."""

    engine: str
    calls: int
    first_used: datetime


@dataclass(frozen=True, slots=True)
class SelectedCall:
    """A completed call whose stage can be computed again, with the expected cost.

    `took_s` is how long the stage took last time, `mentions` the number to judge.
    """

    call_id: str
    duration_s: float
    took_s: float
    mentions: int


class Recomputations(RematchPlanner, Protocol):
    """Stages of completed calls that can be computed again."""

    def engines(self, stage: Stage) -> Sequence[EngineUse]:
        """Return the engines that made a stage, in the order of their first use."""
        ...

    def select(
        self, stage: Stage, *, since: datetime | None, engines: Sequence[str] | None
    ) -> Sequence[SelectedCall]:
        """Return completed calls since a time, made by some engines; None for all."""
        ...
