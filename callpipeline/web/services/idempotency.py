"""Idempotency keys: repeated requests with the same `Idempotency-Key` have one effect.

A key is valid for two days, for one client and one route.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request, Response

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.access import IdempotencyKeys, IdempotentRequest
from callpipeline.web.access import visitor_of

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]( *[!-~])*$",
        description="A key of your choice: repeated requests with it have one effect.",
    ),
]
REPLAYED_HEADER = "Idempotency-Replayed"
Work = Callable[[], dict[str, Any]]


def repeatable_request(
    request: Request, key: str | None, *content: str, lease_s: float = 0.0
) -> IdempotentRequest | None:
    """Identify a request by its key and content; return None if it has no key."""
    if key is None:
        return None
    route = request.scope["route"].path
    return IdempotentRequest(_hash(_client_id(request), route, key), _hash(*content), lease_s)


async def run_once(
    keys: IdempotencyKeys, request: IdempotentRequest | None, response: Response, work: Work
) -> dict[str, Any]:
    """Return what `work` returns, or what it returned for the same request before.

    Raises HTTPException: 422 if the key belongs to another request, 409 if the same request is in
    progress.
    """
    if request is None:
        return await asyncio.to_thread(work)
    answer, is_replayed = await asyncio.to_thread(_run_once, keys, request, work)
    if is_replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return answer


def _run_once(
    keys: IdempotencyKeys, request: IdempotentRequest, work: Work
) -> tuple[dict[str, Any], bool]:
    record = keys.claim(request)
    if not record.is_same:
        raise HTTPException(
            422,
            "This Idempotency-Key was used for another request. Use a new key for each request.",
        )
    if record.answer is not None:
        return record.answer, True
    if not record.is_claimed:
        raise HTTPException(
            409,
            "The same request is in progress. Send it again in a moment.",
            {"Retry-After": "5"},
        )
    try:
        answer = work()
    except BaseException:
        with contextlib.suppress(DatabaseUnavailable):
            keys.release(request)
        raise
    return keys.save_answer(request, answer), False


def _client_id(request: Request) -> str:
    """Return the client's id: keys of different clients are unrelated."""
    visitor = visitor_of(request)
    return visitor.visitor_id if visitor else ""


def _hash(*parts: str) -> str:
    """Hash the parts, each prefixed with its length to keep them apart."""
    hashed = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        hashed.update(f"{len(content)}:".encode() + content)
    return hashed.hexdigest()
