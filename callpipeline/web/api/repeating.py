"""Requests that may be sent again: with the same `Idempotency-Key` they are done once.

The key holds for two days, for whoever sent it and the route it was sent to.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request, Response

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.repeats import Repeatable, Repeats
from callpipeline.web.access import visitor_of

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]( *[!-~])*$",
        description="A word of the sender's own: sent again with it, the request is done once.",
    ),
]
REPLAYED = "Idempotency-Replayed"
Work = Callable[[], dict[str, Any]]


def repeatable(
    request: Request, key: str | None, *asked: str, hold_s: float = 0.0
) -> Repeatable | None:
    """The request as it is known again; None where it has no key. `asked` is all it asks for."""
    if key is None:
        return None
    route = request.scope["route"].path
    return Repeatable(_hash(_asker(request), route, key), _hash(*asked), hold_s)


async def once(
    repeats: Repeats, request: Repeatable | None, response: Response, work: Work
) -> dict[str, Any]:
    """What `work` answers, or answered when the request was sent before.

    Raises HTTPException: 422 where the key was that of another request, 409 where somebody is at
    work on this one.
    """
    if request is None:
        return await asyncio.to_thread(work)
    answer, is_replayed = await asyncio.to_thread(_once, repeats, request, work)
    if is_replayed:
        response.headers[REPLAYED] = "true"
    return answer


def _once(repeats: Repeats, request: Repeatable, work: Work) -> tuple[dict[str, Any], bool]:
    known = repeats.begin(request)
    if not known.is_same:
        raise HTTPException(
            422,
            "This Idempotency-Key was sent with another request before: each request needs one of "
            "its own.",
        )
    if known.answer is not None:
        return known.answer, True
    if not known.is_ours:
        raise HTTPException(
            409,
            "The same request is being worked on: send it again in a moment.",
            {"Retry-After": "5"},
        )
    try:
        answer = work()
    except BaseException:
        with contextlib.suppress(DatabaseUnavailable):
            repeats.forget(request)
        raise
    return repeats.answer(request, answer), False


def _asker(request: Request) -> str:
    """Who asks: a key of one is none of another."""
    visitor = visitor_of(request)
    return visitor.visitor_id if visitor else ""


def _hash(*parts: str) -> str:
    """Each part apart from the next: a length goes before it."""
    hashed = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        hashed.update(f"{len(content)}:".encode() + content)
    return hashed.hexdigest()
