"""Calls in a list: a page of them, newest first, and how many there are. No segment is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from callpipeline.domain.call import CallState, Lane, Stage
from callpipeline.domain.filters import Filters, Stance
from callpipeline.domain.sentiment import Sentiment, overall
from callpipeline.domain.standing import Progress, progress
from callpipeline.storage.database import Database, Row
from callpipeline.storage.reading import cursors
from callpipeline.storage.reading.asking import ask, named_as_known

LIST = "calls"


@dataclass(frozen=True, slots=True)
class Named:
    """A competitor that is named in a call, by mentions of each sentiment; `first_s` is when."""

    competitor: str
    mentions: Mapping[Stance, int]
    first_s: float

    @property
    def count(self) -> int:
        return sum(self.mentions.values())

    @property
    def is_judged(self) -> bool:
        """Whether the sentiment of each mention is known."""
        return not self.mentions.get(Stance.UNJUDGED)

    @property
    def overall(self) -> Stance:
        """How the call speaks of it; UNJUDGED where no mention is judged."""
        known = [
            Sentiment(stance)
            for stance, count in self.mentions.items()
            if stance is not Stance.UNJUDGED
            for _ in range(count)
        ]
        return Stance(overall(known)) if known else Stance.UNJUDGED


@dataclass(frozen=True, slots=True)
class ChannelKept:
    """A channel with the keys of its objects in the store; None before it is transcribed."""

    channel: str
    speaker: str
    object_key: str
    transcript_key: str | None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as lists show it. `competitors` are in the order of speech."""

    call_id: str
    key: str
    source: str
    state: CallState
    agent: str | None
    took_place_at: datetime
    duration_s: float | None
    error_stage: str | None
    error_class: str | None
    error_message: str | None
    error_transient: bool | None
    duplicate_of: str | None
    lane: Lane
    not_before: datetime | None
    away_from: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    stages: tuple[Stage, ...]
    competitors: tuple[Named, ...]
    channels: tuple[ChannelKept, ...]

    @property
    def file_name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def total_competitors(self) -> int:
        return len(self.competitors)

    @property
    def completed_competitors(self) -> int:
        """Those of which every mention is judged."""
        return sum(each.is_judged for each in self.competitors)

    @property
    def competitors_found(self) -> tuple[str, ...]:
        return tuple(each.competitor for each in self.competitors)

    @property
    def progress(self) -> Progress:
        return progress(
            self.state,
            self.stages,
            channels=[each.channel for each in self.channels],
            competitors=self.competitors_found,
            judged=self.completed_competitors,
            error_stage=self.error_stage,
        )


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, and the cursor of those after them; None where there are none."""

    calls: tuple[CallRow, ...]
    after: str | None


def page(
    database: Database,
    filters: Filters,
    *,
    limit: int = 50,
    after: str | None = None,
    skip: int = 0,
) -> CallPage:
    """Calls that the filters let through, newest first, `after` a cursor or `skip` of them.

    By cursor no call comes twice and none is missing, also while new ones arrive. Raises
    CursorInvalid.
    """
    at, call_id = cursors.read(after, LIST)[:2] if after else (None, None)
    where = {"after_at": at, "after_id": call_id, "limit": limit + 1, "skip": skip}
    rows = ask(database, "reading/page", named_as_known(database, filters), where)
    calls = with_what_is_named(database, rows[:limit])
    more = len(rows) > limit and bool(calls)
    return CallPage(
        calls, cursors.written(LIST, calls[-1].created_at, calls[-1].call_id) if more else None
    )


def count(database: Database, filters: Filters) -> int:
    """How many calls the filters let through."""
    [row] = ask(database, "reading/count", named_as_known(database, filters))
    return row["calls"]


def of_ids(database: Database, call_ids: Iterable[str]) -> tuple[CallRow, ...]:
    """These calls, newest first, erased ones too; those that are not there are left out."""
    rows = database.rows("reading/one", {"call_ids": list(call_ids)})
    return with_what_is_named(database, rows)


def with_what_is_named(database: Database, rows: Sequence[Row]) -> tuple[CallRow, ...]:
    """Calls with their competitors and channels, which two more queries find for all at once."""
    wanted = {"call_ids": [row["call_id"] for row in rows]}
    if not rows:
        return ()
    named = _by_call(database.rows("reading/named_in", wanted))
    channels = _by_call(database.rows("reading/channels_of", wanted))
    return tuple(
        _call_row(row, named.get(row["call_id"], []), channels.get(row["call_id"], []))
        for row in rows
    )


def _by_call(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return {call_id: list(of) for call_id, of in groupby(rows, key=lambda row: row["call_id"])}


def _call_row(row: Row, named: Sequence[Row], channels: Sequence[Row]) -> CallRow:
    typed: dict[str, Any] = {
        "state": CallState(row["state"]),
        "lane": Lane(row["lane"]),
        "stages": tuple(Stage(stage) for stage in row["stages"]),
        "competitors": tuple(_named(named)),
        "channels": tuple(
            ChannelKept(r["channel"], r["speaker"], r["object_key"], r["transcript_key"])
            for r in channels
        ),
    }
    return CallRow(**(row | typed))


def _named(rows: Sequence[Row]) -> Iterable[Named]:
    """Rows come in the order of speech, so the first of each competitor says when it begins."""
    for competitor in dict.fromkeys(row["competitor"] for row in rows):
        of = [row for row in rows if row["competitor"] == competitor]
        mentions = {Stance(row["stance"]): int(row["mentions"]) for row in of}
        yield Named(competitor, mentions, of[0]["first_s"])
