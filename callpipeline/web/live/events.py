"""Server-sent events for open pages (`/events/…`)."""

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse

from callpipeline.domain.calls.call import is_call_id
from callpipeline.web.live.watch import CallWatcher, Listener, Subscription
from callpipeline.web.state import State

HEARTBEAT_S = 15.0
"""Proxies close idle connections, often after a minute."""
MAX_DURATION_S = 600.0
"""Then the page reconnects, which checks its permissions again."""
OPENING_EVENT = "retry: 2000\nevent: listening\ndata:\n\n"
HEARTBEAT = ": still here\n\n"

router = APIRouter(prefix="/events")

MAX_ROWS = 100
MAX_MARK_LENGTH = 40

Rows = Annotated[
    list[Annotated[str, Query(max_length=40)]], Query(alias="row", max_length=MAX_ROWS)
]


def event_stream(
    watcher: CallWatcher,
    subscription: Subscription,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    max_duration_s: float = MAX_DURATION_S,
    now: Callable[[], float] = time.monotonic,
) -> StreamingResponse:
    """Return an open-ended response. Raises HTTPException (503) if too many pages are open."""
    watcher.check_limits()

    async def events() -> AsyncIterator[str]:
        # Register in the generator: a response that never starts would never unregister.
        with watcher.listen(subscription) as listener:
            async for text in _events(listener, heartbeat_s, now() + max_duration_s, now):
                yield text

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


async def _events(
    listener: Listener, heartbeat_s: float, until: float, now: Callable[[], float]
) -> AsyncIterator[str]:
    yield OPENING_EVENT
    while not listener.is_closed and now() < until:
        messages = await listener.wait(heartbeat_s)
        yield "".join(format_event(name, text) for name, text in messages) or HEARTBEAT


def format_event(name: str, text: str) -> str:
    """Format one event, with a `data:` line for each line of the text."""
    head = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", text))
    return f"{head}{lines}\n"


@router.get("/calls")
async def row_events(state: State, rows: Rows = [], top: str = "") -> StreamingResponse:  # noqa: B006
    """Stream changes of the rows of a list (call ID and mark), and of calls newer than `top`."""
    return event_stream(state.watcher, Subscription("row", _marks(rows), top=top or None))


@router.get("/newest")
async def newest_events(state: State, rows: Rows = []) -> StreamingResponse:  # noqa: B006
    """Stream changes of the list of newest calls, which shows these rows."""
    marks = _marks(rows)
    return event_stream(state.watcher, Subscription("row", marks, newest=tuple(marks)))


@router.get("/calls/{call_id}")
async def call_events(state: State, call_id: str, mark: str = "") -> StreamingResponse:
    """Stream changes of the header of a call's page."""
    return event_stream(state.watcher, Subscription("state", _marks([f"{call_id}.{mark}"])))


def _marks(rows: list[str]) -> dict[str, str]:
    marks: dict[str, str] = {}
    for row in rows:
        call_id, _, mark = row.partition(".")
        if not is_call_id(call_id) or len(mark) > MAX_MARK_LENGTH:
            raise HTTPException(422, "This is not a call ID.")
        marks[call_id] = mark
    return marks
