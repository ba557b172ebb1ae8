"""Results of the stages: writing, reading, and reviewing them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from callpipeline.domain.audio import (
    CallMetrics,
    Channel,
    ChannelAudio,
    Peaks,
    SplitRecording,
)
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.disambiguation.scoring import NameAnswers
from callpipeline.domain.competitors.mentions import Mention, Review
from callpipeline.domain.redaction.masking import MaskedSpan, RedactionPolicy
from callpipeline.domain.sentiment import Judgement, JudgeResult, Sentiment, UnjudgedMention
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import CallpipelineError

ChannelPeaks = Mapping[Channel, Peaks]
NO_PEAKS: ChannelPeaks = {}
MAX_REVIEW_SHIFT_S = 1.0
"""Largest difference in time of a mention that is found again: word times vary by tenths."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Masked stretches of the transcripts of a call, and the channels whose audio is muted.

    The files are `folder/<channel>.flac`; without `folder`, no audio changes. `policy` masks what
    people's corrections add; with `is_corrected`, the transcripts have the corrected words already.
    """

    spans: tuple[MaskedSpan, ...]
    channels: tuple[ChannelAudio, ...] = ()
    folder: Path | None = None
    peaks: ChannelPeaks = field(default_factory=dict[Channel, Peaks])
    policy: RedactionPolicy = field(default_factory=RedactionPolicy)
    is_corrected: bool = False


@dataclass(frozen=True, slots=True)
class StageWrite:
    """Identifies the write of a stage and how its result was made; `took_s` is processing time."""

    call_id: str
    run_id: str
    stage: Stage
    took_s: float
    engine: str | None = None
    catalog_version: str | None = None
    rule_version: int | None = None


class ResultStore(Protocol):
    """Stores the result of each stage. Saving raises ClaimLost, loading MissingObject."""

    def save_audio(
        self,
        write: StageWrite,
        split: SplitRecording,
        folder: Path,
        peaks: ChannelPeaks = NO_PEAKS,
        *,
        withheld: bool = False,
    ) -> None:
        """Store channels; `withheld` ones can't be played until their transcripts are stored."""
        ...

    def save_metrics(self, write: StageWrite, metrics: CallMetrics) -> None: ...

    def save_transcripts(
        self,
        write: StageWrite,
        transcripts: Sequence[Transcript],
        redaction: Redaction | None = None,
    ) -> tuple[Transcript, ...]:
        """Store transcripts; return them with the roles that a person gave to the voices.

        With `redaction`, store what was masked, and the muted audio, in the same transaction.
        """
        ...

    def redactions(self, call_id: str) -> tuple[MaskedSpan, ...]:
        """Return what was masked in a call, in the order of the numbers."""
        ...

    def save_mentions(self, write: StageWrite, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """Store mentions and return them with the decisions of reviewers applied."""
        ...

    def save_sentiment(
        self,
        write: StageWrite,
        judgements: Sequence[Judgement],
        missing: Sequence[UnjudgedMention] = (),
    ) -> None:
        """Store judgements of all mentions of a call; those in `missing` are retried later."""
        ...

    def save_catalog(self, catalog: Catalog) -> None: ...

    def audio(self, call_id: str) -> SplitRecording: ...

    def fetch_channel(self, call_id: str, channel: Channel, into: Path) -> None: ...

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]: ...

    def mentions(self, call_id: str) -> tuple[Mention, ...]: ...

    def answers(self, competitors: Collection[str]) -> Mapping[str, NameAnswers]:
        """Return what reviewers said about the ambiguous names of these competitors."""
        ...

    def catalog_version(self, call_id: str) -> str | None: ...


class MissingJudgements(Protocol):
    """Mentions of completed calls that could not be judged; the calls stay completed."""

    def claim(self, call_id: str, run_id: str) -> frozenset[str]:
        """Claim the mentions of a call that are due and count an attempt; return their ids."""
        ...

    def save(self, write: StageWrite, verdicts: Sequence[JudgeResult]) -> datetime | None:
        """Store judgements of the claimed mentions; return the time of the next attempt.

        Raises ClaimLost if another run has claimed the call or its mentions, or it was erased.
        """
        ...


@dataclass(frozen=True, slots=True)
class MissingJudgement:
    """A mention without a judgement; `next_attempt_at` is None when retries have ended."""

    call_id: str
    mention_id: str
    competitor: str
    reason: str
    error_class: str
    transient: bool
    tries: int
    next_attempt_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MentionDetail:
    """A stored mention with its segment and its judgement, or the reason why there is none.

    Segment times are seconds from the start of the call. `next_attempt_at` is None if judging is
    not retried automatically.
    """

    mention_id: str
    mention: Mention
    sentiment: Sentiment | None
    score: float | None
    rule: str | None
    quote: str | None
    engine: str | None
    not_judged_because: str | None
    next_attempt_at: datetime | None
    segment_text: str | None
    segment_start_s: float | None
    segment_end_s: float | None
    sentiment_confidence: float | None = None
    switching: SwitchingIntent | None = None
    switching_quote: str | None = None
    judged_sentiment: Sentiment | None = None
    """The judge's, if a person corrected it."""


@dataclass(frozen=True, slots=True)
class VoiceDecision:
    """A person's decision on which voice of a mono recording is the agent."""

    decision_id: int
    call_id: str
    agent_voice: int
    decided_by: str | None
    decided_at: datetime


class ReviewPosition(NamedTuple):
    """Keyset position in the review queue: the last mention of a page."""

    took_place_at: datetime
    call_id: str
    worth: float
    mention_id: str


@dataclass(frozen=True, slots=True)
class PendingReview:
    """A mention that waits for review; `text` is its segment's, None if the transcript is gone.

    The queue is in order of `worth`, how useful an answer is.
    """

    call_id: str
    took_place_at: datetime
    agent: str | None
    mention: Mention
    text: str | None
    worth: float = 0.0

    @property
    def position(self) -> ReviewPosition:
        """Return the place of the mention in the queue."""
        return ReviewPosition(self.took_place_at, self.call_id, self.worth, self.mention.mention_id)


class MissingJudgementReader(Protocol):
    """Reads the mentions without a judgement."""

    def of_calls(self, call_ids: Collection[str]) -> Sequence[MissingJudgement]: ...


class ResultReader(Protocol):
    """Reads the results of a call. Raises MissingObject for stages that are not stored."""

    def transcripts(self, call_id: str) -> tuple[Transcript, ...]: ...

    def metrics(self, call_id: str) -> Mapping[str, Any] | None: ...

    def mentions(self, call_id: str) -> tuple[Mention, ...]: ...

    def judgements(self, call_id: str) -> tuple[Judgement, ...]: ...

    def redactions(self, call_id: str) -> tuple[MaskedSpan, ...]: ...


class DecisionReader(Protocol):
    """Reads the decisions of reviewers."""

    def in_force(self, call_id: str) -> Mapping[str, Review]:
        """Return the decisions in force, by mention id."""
        ...


@dataclass(frozen=True, slots=True)
class DecisionCount:
    """Mentions of a competitor that people confirmed and dismissed."""

    confirmed: int = 0
    dismissed: int = 0

    @property
    def precision(self) -> float | None:
        """Return the share of confirmed ones (0..1); None without decisions."""
        decided = self.confirmed + self.dismissed
        return self.confirmed / decided if decided else None


class DecisionCounter(Protocol):
    """Counts decisions of reviewers, and the questions that wait for one, by competitor."""

    def count_pending(self) -> Mapping[str, int]: ...

    def count_decisions(self) -> Mapping[str, DecisionCount]: ...


class ReviewQueue(Protocol):
    """Mentions that wait for review."""

    def pending(
        self,
        *,
        competitor: str | None = None,
        after: ReviewPosition | None = None,
        limit: int = ...,
    ) -> Sequence[PendingReview]: ...


class SeekableAudio(Protocol):
    """A seekable binary file over a channel's FLAC object.

    C libraries swallow exceptions of the file they read, so the first error is kept in `failed`;
    `check` raises it.
    """

    failed: CallpipelineError | None

    def check(self) -> None: ...

    def close(self) -> None: ...


class CallAudioReader(Protocol):
    """Reads channel audio. Raises MissingObject."""

    def split_recording(self, call_id: str) -> SplitRecording: ...

    def open_channel(self, call_id: str, channel: Channel) -> SeekableAudio: ...


class CallAudioStore(CallAudioReader, Protocol):
    """Reads channel audio and stores waveform peaks beside it."""

    def fetch(self, call_id: str, channel: Channel, into: Path) -> None: ...

    def peaks(self, call_id: str, channel: Channel, sha256: str) -> Peaks | None: ...

    def save_peaks(self, call_id: str, peaks: ChannelPeaks) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """An evaluation of `versions`; `outcomes` say by label whether the result was right."""

    versions: str
    labels: str
    outcomes: Mapping[str, bool]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ReviewedMention:
    """A mention that a person confirmed or dismissed; its name stands at `start:end` of `text`."""

    call_id: str
    competitor: str
    text: str
    start: int
    end: int
    is_company: bool


class EvaluationStore(Protocol):
    """Keeps evaluations, and knows the labels that people gave in review."""

    def last(self, subject: str) -> StoredEvaluation | None: ...

    def before(self, subject: str, versions: str) -> StoredEvaluation | None:
        """Return the last evaluation of other versions than these."""
        ...

    def save(self, subject: str, evaluation: StoredEvaluation) -> None: ...

    def reviewed_mentions(self) -> Sequence[ReviewedMention]: ...

    def estimated_recall(self) -> float | None: ...

    def questions_per_call(self) -> tuple[int, float]:
        """Return the number of newest calls that were looked at, and the open questions of each."""
        ...
