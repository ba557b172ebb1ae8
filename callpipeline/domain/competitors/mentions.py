"""Mentions of competitors, and people's reviews of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callpipeline.domain.audio import Channel, Speaker


class MentionStatus(StrEnum):
    """Outcome of disambiguation; only COUNTED mentions count, DISMISSED ones are stored too."""

    COUNTED = "counted"
    NEEDS_REVIEW = "needs_review"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Mention:
    """One occurrence of a competitor's name in a call.

    `text` is the name as transcribed, at `char_start:char_end` of segment `segment_index` of
    `channel`. Times are seconds from the start of the call. `reason` explains `status` to users.
    An ambiguous name that a score decides has `log_odds`, from its context, that it means the
    company, and a `phrase`: the name with a next word that may belong to it.
    """

    competitor: str
    alias: str
    text: str
    channel: Channel
    speaker: Speaker
    segment_index: int
    char_start: int
    char_end: int
    start_s: float
    end_s: float
    confidence: float | None
    status: MentionStatus
    reason: str
    log_odds: float | None = None
    phrase: str = ""

    @property
    def counts(self) -> bool:
        return self.status is MentionStatus.COUNTED

    @property
    def mention_id(self) -> str:
        """Return an ID, unique within the call, that survives rematching."""
        return f"{self.channel}.{self.segment_index}.{self.char_start}.{self.competitor}"


MAX_COVERED_LOG_ODDS = 3.0
"""Occurrences that a score decided less surely than this follow an answer in their call."""


def follows(other: Mention, asked: Mention) -> bool:
    """Return whether an answer about the open mention `asked` also decides another of its call.

    Open ones follow, and those that a moderate score decided; after an answer about a phrase only
    those that begin the same phrase.
    """
    if other.competitor != asked.competitor:
        return False
    is_moderate = other.log_odds is not None and abs(other.log_odds) < MAX_COVERED_LOG_ODDS
    has_same_phrase = asked.phrase in ("", other.phrase)
    return other.status is MentionStatus.NEEDS_REVIEW or (is_moderate and has_same_phrase)


class Decision(StrEnum):
    """A reviewer's decision; RESET returns the mention to the outcome of the rules."""

    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Review:
    """One decision about a mention; the latest one applies.

    `decided_by` is the reviewer's login name. `undoes` is the ID of the review that this reverts.
    """

    review_id: int
    call_id: str
    mention_id: str
    decision: Decision
    decided_by: str | None
    decided_at: datetime
    undoes: int | None = None
