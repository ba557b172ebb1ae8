"""Responses: errors, compressed bodies, file names, and conditional requests.

Conditional requests and byte ranges follow RFC 9110, sections 13 and 14.
"""

import gzip
import hashlib
import inspect
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_GZIP_BYTES = 1_000
MAX_STEM_CHARS = 120
MAX_REPORTED_ERRORS = 5
_FORBIDDEN = frozenset('<>:"/\\|?*')
_SAFE_IN_QUOTES = frozenset("!#$&'()+,-.;=@[]^_`{}~ ")

_SINGLE_RANGE = re.compile(
    r"bytes[ \t]*=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.IGNORECASE | re.ASCII
)


def gzip_json_response(request: Request, text: str, headers: Mapping[str, str]) -> Response:
    return gzip_response(request, text.encode(), "application/json", headers)


def gzip_response(
    request: Request, content: bytes, media_type: str, headers: Mapping[str, str]
) -> Response:
    """Compress the body if the client accepts gzip; level 5 takes 10 ms for 500 kB."""
    all_headers = {**headers, "Vary": "Accept-Encoding"}
    if len(content) > MIN_GZIP_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        all_headers["Content-Encoding"] = "gzip"
        content = gzip.compress(content, 5, mtime=0)
    return Response(content, headers=all_headers, media_type=media_type)


def content_disposition(name: str, extension: str) -> str:
    """Return the header that saves a response as `<name without its extension>.<extension>`.

    RFC 6266: ASCII for old clients, and UTF-8 as well if the name has other letters. `name` is
    user input: the result cannot end the header, leave the download folder, be a hidden file, or
    reverse the direction of the text.
    """
    stem = _safe_stem(PurePosixPath(name).stem) or "call"
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    ascii_stem = "".join(c if c.isalnum() or c in _SAFE_IN_QUOTES else "_" for c in plain)
    header = f'attachment; filename="{ascii_stem.strip(". ") or "call"}.{extension}"'
    if ascii_stem == stem:
        return header
    return f"{header}; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='')}"


def _safe_stem(stem: str) -> str:
    safe = (c if c.isprintable() and c not in _FORBIDDEN else "_" for c in stem)
    return "".join(safe)[:MAX_STEM_CHARS].encode("utf-8", "replace").decode().strip(". ")


async def error_response(request: Request, error: Exception) -> Response:
    """Respond with the app's exception handler, for errors raised outside of its routes.

    Raises the error if the app has no handler for it.
    """
    handlers = request.app.exception_handlers
    for kind in type(error).__mro__:
        if kind in handlers:
            response = handlers[kind](request, error)
            return await response if inspect.isawaitable(response) else response
    raise error


def validation_message(errors: Iterable[Any]) -> str:
    """Describe pydantic's errors, by field, without quoting any value of the request."""
    messages = [f"{_field(error)}: {_rule(error['msg'])}" for error in errors]
    rest = len(messages) - MAX_REPORTED_ERRORS
    more = f" … and {rest} more" if rest > 0 else ""
    return f"Invalid request. {'; '.join(messages[:MAX_REPORTED_ERRORS])}{more}."


def _field(error: Any) -> str:
    """Return the field's path. For invalid JSON pydantic gives an offset, which says nothing."""
    where = () if error["type"] == "json_invalid" else error["loc"]
    parts = [str(part) for part in where if part not in ("body", "query", "path")]
    return ".".join(parts) or "the body"


def _rule(message: str) -> str:
    plain = message.removeprefix("Value error, ")
    return plain if plain[:2].isupper() else plain[:1].lower() + plain[1:]


class RangeNotSatisfiable(Exception):
    """The range lies outside of the content."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Parse a Range header; None means the whole content.

    Raises RangeNotSatisfiable. Multiple ranges and other units are ignored, as the RFC allows.
    """
    found = _SINGLE_RANGE.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise RangeNotSatisfiable
    return ByteRange(start, end)


def ranged_response(
    header: str | None, content: bytes, media_type: str, headers: Mapping[str, str]
) -> Response:
    """Respond with the part of the content that a Range header asks for, or with all of it."""
    size, sent = len(content), {**headers, "Accept-Ranges": "bytes"}
    try:
        wanted = parse_range(header, size)
    except RangeNotSatisfiable:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    if wanted is None:
        return Response(content, headers=sent, media_type=media_type)
    sent["Content-Range"] = wanted.content_range(size)
    return Response(content[wanted.start : wanted.end], 206, sent, media_type=media_type)


def if_range_matches(header: str | None, etag: str) -> bool:
    """Evaluate If-Range. A date never matches: responses have no Last-Modified."""
    return header is None or header.strip() == etag


def if_none_match_matches(header: str | None, etag: str) -> bool:
    """Evaluate If-None-Match by weak comparison."""
    if header is None:
        return False
    listed = {each.strip().removeprefix("W/") for each in header.split(",")}
    return "*" in listed or etag.removeprefix("W/") in listed


def etag_response(request: Request, body: bytes, media_type: str = "application/json") -> Response:
    """Respond with the body and its ETag, or with 304 if the client has it already."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if if_none_match_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


class HeadMiddleware:
    """Answer HEAD like GET, but without the body; routes that end in `own` answer it themselves.

    FastAPI answers 405 to HEAD on routes for GET.
    """

    def __init__(self, app: ASGIApp, own: tuple[str, ...] = ()) -> None:
        self._app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        if not is_head or scope["path"].endswith(self._own):
            await self._app(scope, receive, send)
            return
        is_over = False

        async def send_head(message: Message) -> None:
            nonlocal is_over
            if message["type"] == "http.response.body":
                if is_over:
                    return
                is_over = True  # of a stream, too: the server then reports that the client left
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)
