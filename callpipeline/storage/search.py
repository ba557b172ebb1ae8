"""Full-text search in what was said."""

from dataclasses import dataclass
from datetime import datetime

from callpipeline.domain.audio import Speaker
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.database import Database

BEGIN, END = "⟦", "⟧"
"""Around the words that were looked for, in `Hit.marked`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. `competitor` is one that is named in the same call, `sentiment` how."""

    words: str
    competitor: str | None = None
    speaker: Speaker | None = None
    sentiment: Sentiment | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """A segment with the words: when the call took place, seconds from its beginning, and text."""

    call_id: str
    channel: str
    segment_index: int
    speaker: str
    start_s: float
    end_s: float
    text: str
    took_place_at: datetime
    agent: str | None
    rank: float
    marked: str


def search(database: Database, wanted: Wanted) -> list[Hit]:
    """The best of the newest 5,000 segments that match, best first."""
    asked = {name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}
    return [Hit(**row) for row in database.rows("search/segments", asked)]


def is_too_common(database: Database, words: str) -> bool:
    """Whether the words are all ones that are not looked for, such as `the` and `to`."""
    [row] = database.rows("search/is_empty", {"words": words})
    return row["is_empty"]
