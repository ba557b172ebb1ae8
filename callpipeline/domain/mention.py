"""A competitor named in a call: where, by whom, and why it counts."""

from dataclasses import dataclass
from enum import StrEnum

from callpipeline.domain.audio import Channel, Speaker


class MentionStatus(StrEnum):
    """ACCEPTED counts; UNSURE waits for a person; REJECTED is kept to show why it does not."""

    ACCEPTED = "accepted"
    UNSURE = "unsure"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Mention:
    """One occurrence of one competitor's name.

    `said` is the text as spoken, at `char_start:char_end` of segment `segment_index` of `channel`;
    times are seconds from the start of the call; `reason` is the rule that set `status`.
    """

    competitor: str
    alias: str
    said: str
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

    @property
    def counts(self) -> bool:
        return self.status is MentionStatus.ACCEPTED

    @property
    def mention_id(self) -> str:
        """Unique within the call and the same whenever it is found again."""
        return f"{self.channel}.{self.segment_index}.{self.char_start}.{self.competitor}"
