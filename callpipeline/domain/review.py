"""What a person decides about a mention of which the rules are unsure, or wrong."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Decision(StrEnum):
    """ACCEPTED counts, REFUSED does not; LEFT is left to the rules, as before anybody decided."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Review:
    """One decision. The last one of a mention holds; `undoes` is the one that it takes back.

    `decided_by` is whoever decided, as they are known where they logged in.
    """

    review_id: int
    call_id: str
    mention_id: str
    decision: Decision
    decided_by: str | None
    decided_at: datetime
    undoes: int | None = None
