"""Large answers in few bytes."""

import gzip
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response

SMALL = 1_000
"""Bytes that are not worth packing."""


def compact_json(request: Request, text: str, headers: Mapping[str, str]) -> Response:
    return compact(request, text.encode(), "application/json", headers)


def compact(
    request: Request, content: bytes, media_type: str, headers: Mapping[str, str]
) -> Response:
    """Packed where the client takes it; level 5 packs a page of 500 kB in 10 ms."""
    told = {**headers, "Vary": "Accept-Encoding"}
    if len(content) > SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        told["Content-Encoding"] = "gzip"
        content = gzip.compress(content, 5, mtime=0)
    return Response(content, headers=told, media_type=media_type)
