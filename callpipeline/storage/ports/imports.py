"""Imports from the system that callpipeline replaces: its rows, and the calls made of them."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState, Recording
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.redaction.imported import MaskedTexts, StoredTexts
from callpipeline.domain.redaction.masking import MaskedSpan
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.domain.sentiment import Judgement
from callpipeline.domain.transcripts import Transcript

OldRow = dict[str, Any]


class OldJob(NamedTuple):
    """A row of the old table `jobs`, and those of `sentiment_results` that belong to it."""

    row: OldRow
    results: list[OldRow]


class OldDatabase(Protocol):
    """The old system's database, which is only read."""

    def count(self) -> int: ...

    def jobs(self) -> Iterator[OldJob]:
        """Yield the jobs, oldest first."""
        ...

    def orphans(self) -> list[str]:
        """Return the ids of sentiment results without a job."""
        ...


ParseTranscript = Callable[[bytes, Channel], Transcript]
"""Parses a transcript of the old system. Raises TranscriptInvalid."""
MaskTexts = Callable[[StoredTexts], MaskedTexts | None]
"""Masks the stored texts of a call; None if there is nothing to mask."""


@dataclass(frozen=True, slots=True)
class ImportedCall:
    """A call of the old system. `fingerprint` changes with anything that it was made of.

    `masked` are the stretches of its transcripts that were masked, and `masked_kinds` what was
    searched for in all its texts.
    """

    recording: Recording
    state: CallState
    error_message: str | None
    created_at: datetime
    ended_at: datetime
    judged_at: datetime
    transcripts: tuple[Transcript, ...]
    mentions: tuple[Mention, ...]
    judgements: tuple[Judgement, ...]
    fingerprint: str
    masked: tuple[MaskedSpan, ...] = ()
    masked_kinds: Set[Kind] = frozenset()

    @property
    def call_id(self) -> str:
        return self.recording.call_id


class ImportOutcome(StrEnum):
    """Outcome of the import of a call; CHANGED_HERE and ERASED ones were left as they are."""

    NEW = "new"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CHANGED_HERE = "changed here"
    ERASED = "erased"


class ImportStore(Protocol):
    """Stores imported calls, each in one transaction."""

    def save(self, call: ImportedCall) -> ImportOutcome: ...
