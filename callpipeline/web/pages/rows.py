"""Rows of lists of calls, as pages have them when they open; the watch tells how they go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from callpipeline.storage.reading.calls import CallRow
from callpipeline.storage.reading.following import FollowedCall
from callpipeline.web.live.pieces import Piece
from callpipeline.web.opened import Opened
from callpipeline.web.pages.standing import Standing, row_of, standing


class Place(Protocol):
    """A place in a call, such as a mention."""

    @property
    def call_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A call in a list."""

    it: Standing
    piece: Piece


def rows_of(here: Opened, calls: Sequence[FollowedCall]) -> list[Row]:
    """The rows of these calls, in the order given."""
    found = [standing(call, here.links) for call in calls]
    return [Row(it, row_of(it)) for it in found]


def calls_of(here: Opened, places: Iterable[Place]) -> dict[str, CallRow]:
    """The calls of places in what was said, by id: their names, and who is named in them."""
    return {row.call_id: row for row in here.reading.rows({place.call_id for place in places})}


def stream_of(path: str, rows: Sequence[Row], **more: str) -> str:
    """The address at which the page that shows these rows is told how they go on."""
    shown = [("row", f"{row.it.call.call_id}.{row.piece.mark}") for row in rows]
    return f"{path}?{urlencode([*shown, *more.items()])}"
