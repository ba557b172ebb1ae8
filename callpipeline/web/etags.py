"""Answers that say which state they show, so that who has it already is sent nothing."""

import hashlib

from fastapi import Request, Response


def tagged(request: Request, body: bytes, media_type: str = "application/json") -> Response:
    """The body with its tag, or 304 where the client has the same."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _has(request: Request, tag: str) -> bool:
    """Whether the client names the tag; weak and strong ones compare alike (RFC 9110, 13.1.2)."""
    sent = request.headers.get("if-none-match", "")
    named = [each.strip().removeprefix("W/") for each in sent.split(",")]
    return tag.removeprefix("W/") in named or "*" in named
