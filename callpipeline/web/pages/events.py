"""`/events/…`: what open pages are told, as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse

from callpipeline.domain.call_ids import is_call_id
from callpipeline.web.live.listener import Wish
from callpipeline.web.live.stream import stream
from callpipeline.web.opened import Here

router = APIRouter(prefix="/events")

MOST_ROWS = 100
LONGEST_MARK = 40

Rows = Annotated[
    list[Annotated[str, Query(max_length=40)]], Query(alias="row", max_length=MOST_ROWS)
]


@router.get("/calls")
async def of_rows(here: Here, rows: Rows = [], top: str = "") -> StreamingResponse:  # noqa: B006
    """Of the rows that a list shows, each as its call's id and mark; and of newer calls than
    `top`."""
    return stream(here.watch, Wish("row", _marks(rows), top=top or None))


@router.get("/newest")
async def of_newest(here: Here, rows: Rows = []) -> StreamingResponse:  # noqa: B006
    """Of the newest calls, as a list that shows these rows."""
    marks = _marks(rows)
    return stream(here.watch, Wish("row", marks, newest=tuple(marks)))


@router.get("/calls/{call_id}")
async def of_call(here: Here, call_id: str, mark: str = "") -> StreamingResponse:
    """Of one call, as the head of its page shows it."""
    return stream(here.watch, Wish("state", _marks([f"{call_id}.{mark}"])))


def _marks(rows: list[str]) -> dict[str, str]:
    marks: dict[str, str] = {}
    for row in rows:
        call_id, _, mark = row.partition(".")
        if not is_call_id(call_id) or len(mark) > LONGEST_MARK:
            raise HTTPException(422, "The request cannot be used. It names what is no call.")
        marks[call_id] = mark
    return marks
