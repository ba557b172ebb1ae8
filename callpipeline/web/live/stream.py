"""Server-sent events: what a listener is told, as text on the wire."""

import re
import time
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse

from callpipeline.web.live.listener import Listener, Wish
from callpipeline.web.live.watch import Watch

BEAT_S = 15.0
"""A proxy takes a connection for dead on which nothing comes for so long, often a minute."""
LASTS_S = 600.0
"""Then the page asks anew: whether it still may is found out there."""
BEGIN = "retry: 2000\nevent: listening\ndata:\n\n"
BEAT = ": still here\n\n"


def stream(
    watch: Watch,
    wish: Wish,
    *,
    beat_s: float = BEAT_S,
    lasts_s: float = LASTS_S,
    now: Callable[[], float] = time.monotonic,
) -> StreamingResponse:
    """An answer that goes on. Raises HTTPException (503) where too many listen already."""
    watch.refuse_beyond_limits()

    async def told() -> AsyncIterator[str]:
        # Entered here, since what is never begun is never left either.
        with watch.listening(wish) as listener:
            async for text in _texts(listener, beat_s, now() + lasts_s, now):
                yield text

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


async def _texts(
    listener: Listener, beat_s: float, until: float, now: Callable[[], float]
) -> AsyncIterator[str]:
    yield BEGIN
    while not listener.is_closed and now() < until:
        messages = await listener.told(beat_s)
        yield "".join(event(name, text) for name, text in messages) or BEAT


def event(name: str, text: str) -> str:
    """One event; a line of its own for each line of the text."""
    head = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", text))
    return f"{head}{lines}\n"
