"""Full-text search in what was said: the best at once, or all of it page by page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from callpipeline.domain.audio import Speaker
from callpipeline.domain.filters import Filters
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.database import Database, storable
from callpipeline.storage.reading import cursors
from callpipeline.storage.reading.asking import ask, named_as_known

LIST = "words"
COUNTED_TO = 1_000
LOOKED_AT = 20_000
"""As many segments with the words are looked at to count those of the calls that are wanted."""

NEAR = 1_000
"""So many of the newest calls are read through before the index of words is asked: in 10 to 25 ms,
and as much as it takes by the index where a word is in one of a thousand segments."""

PLACE = ("after_at", "after_id", "after_s", "after_channel", "after_index")
NOWHERE = (None,) * len(PLACE)

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


@dataclass(frozen=True, slots=True)
class HitPage:
    """Segments with the words, and the cursor of those after them; None where there are none."""

    hits: tuple[Hit, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class HitCount:
    """`segments` have the words, and more where they were not counted to the end."""

    segments: int
    is_more: bool


def page(
    database: Database, words: str, filters: Filters, *, limit: int = 20, after: str | None = None
) -> HitPage:
    """Segments with the words, the newest call first, in each call in the order of speech.

    `filters.speaker` is who said them; competitors and sentiment are those of the call, whoever
    spoke of them. Raises CursorInvalid.
    """
    kinds = (float, str, int)
    place = cursors.read(after, LIST, kinds) if after else NOWHERE
    known, where = _where(database, words, filters, place)
    rows = ask(database, "search/page", known, where | {"limit": limit + 1, "looked_at": None})
    hits = tuple(Hit(**row) for row in rows[:limit])
    if len(rows) <= limit or not hits:
        return HitPage(hits, None)
    last = hits[-1]
    more = (float(last.start_s), last.channel, last.segment_index)
    return HitPage(hits, cursors.written(LIST, last.took_place_at, last.call_id, *more))


def count(database: Database, words: str, filters: Filters) -> HitCount:
    """In how many segments they were said: to 1,000, and of the first 20,000 with the words."""
    known, where = _where(database, words, filters, NOWHERE)
    most = {"limit": COUNTED_TO + 1, "looked_at": LOOKED_AT}
    [row] = ask(database, "search/count", known, where | most)
    found = row["segments"]
    return HitCount(min(found, COUNTED_TO), found > COUNTED_TO or row["may_be_more"])


def _where(
    database: Database, words: str, filters: Filters, place: Sequence[object]
) -> tuple[Filters, dict[str, object]]:
    """Of a call the speaker is not asked for, but of the segment."""
    said_by = str(filters.speaker) if filters.speaker else None
    known = named_as_known(database, replace(filters, speaker=None).counted())
    after = dict(zip(PLACE, place, strict=True))
    return known, {"words": storable(words), "said_by": said_by, "near": NEAR} | after


def is_too_common(database: Database, words: str) -> bool:
    """Whether the words are all ones that are not looked for, such as `the` and `to`."""
    [row] = database.rows("search/is_empty", {"words": storable(words)})
    return row["is_empty"]
