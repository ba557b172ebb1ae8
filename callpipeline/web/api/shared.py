"""`/storage`: documents that others keep here, and the transcripts of calls to be read.

What they keep lies in a folder of its own of the store of results; what is kept of calls is not
written here, and of that transcripts alone are read, by the paths that a job names.
"""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from callpipeline.pipeline.shared import SharedObjects
from callpipeline.web.opened import Here, Opened
from callpipeline.web.problems import problems

PURPOSE = "storage"
MOST_BYTES = 16_000_000
"""Of a document: three hours of talk with the times of all words have 2 MB."""
MOST_LISTED = 1000

reading = APIRouter(prefix="/storage", tags=["storage"])
writing = APIRouter(prefix="/storage", tags=["storage"])
signed = APIRouter(prefix="/storage", tags=["storage"])
"""Apart, since such an address is all that is needed to read what it leads to."""

ObjectPath = Annotated[str, InPath(max_length=1024, examples=["transcripts/2026/call.json"])]


class ToKeep(BaseModel):
    """A document, any JSON, and where it is to lie."""

    object_path: Annotated[str, Field(min_length=1, max_length=1024)]
    data: Any


class Kept(BaseModel):
    """What was done with an object."""

    success: bool = True
    object_path: str
    message: str


class Address(BaseModel):
    """A URL under which whoever has it may read an object for so many seconds."""

    url: str
    expires: int


class Presence(BaseModel):
    object_path: str
    exists: bool


class Listed(BaseModel):
    object_path: str
    size: int
    last_modified: datetime


class Listing(BaseModel):
    """Objects in the order of their paths; `next` is the `after` of the following page."""

    objects: list[Listed]
    count: int
    next: str | None = None


@writing.post("/upload", responses=problems(413, 422, 503))
async def keep(document: ToKeep, here: Here) -> Kept:
    """Keep a document; one that is there is replaced."""
    content = await asyncio.to_thread(_as_json, document.data)
    await asyncio.to_thread(here.shared.put, document.object_path, content)
    return Kept(object_path=document.object_path, message="The document was stored.")


@reading.get("/download/{object_path:path}", responses=problems(404, 422, 503))
def download(object_path: ObjectPath, here: Here) -> Response:
    """A document as it was stored, or a transcript of a call (`left_transcript_path` of a job)."""
    return _as_stored(here.shared, object_path)


@reading.get("/presigned-url/{object_path:path}", responses=problems(404, 422, 503))
def presigned_url(
    object_path: ObjectPath,
    request: Request,
    here: Here,
    expires: Annotated[int, Query(ge=60, le=604_800)] = 3600,
) -> Address:
    """An address that can be handed on: of S3 its own, else one of this server."""

    def sign(path: str) -> str:
        token = here.signer.sign(PURPOSE, path, expires)
        path = request.app.url_path_for("signed_download", token=token)
        return f"{_own_address(here, request)}{path}"

    return Address(url=here.shared.address(object_path, expires, sign), expires=expires)


@signed.get("/signed/{token}", responses=problems(404, 410, 503))
def signed_download(token: Annotated[str, InPath(max_length=2000)], here: Here) -> Response:
    """What such an address leads to."""
    found = here.signer.read(PURPOSE, token)
    if found is None:
        raise HTTPException(404, "There is nothing at this address.")
    if found.is_expired:
        raise HTTPException(410, "The time of this address is over: ask for a new one.")
    return _as_stored(here.shared, found.text)


@writing.delete("/delete/{object_path:path}", responses=problems(404, 422, 503))
def delete(object_path: ObjectPath, here: Here) -> Kept:
    """Delete a document; what is kept of calls is erased with the call."""
    here.shared.delete(object_path)
    return Kept(object_path=object_path, message="The document was deleted.")


@reading.get("/list", responses=problems(422, 503))
def listing(
    here: Here,
    prefix: Annotated[str, Query(max_length=1024)] = "",
    after: Annotated[str | None, Query(max_length=1024)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
) -> Listing:
    """Documents whose paths begin so. Transcripts of calls are not among them: jobs name those."""
    found = here.shared.listed(prefix, after, limit)
    objects = [
        Listed(
            object_path=each.path,
            size=each.recording.size_bytes,
            last_modified=each.recording.last_modified,
        )
        for each in found
    ]
    is_full = len(objects) == limit
    following = objects[-1].object_path if is_full else None
    return Listing(objects=objects, count=len(objects), next=following)


@reading.get("/exists/{object_path:path}", responses=problems(422, 503))
def exists(object_path: ObjectPath, here: Here) -> Presence:
    """Whether there is such a document, or such a transcript."""
    return Presence(object_path=object_path, exists=here.shared.exists(object_path))


def _own_address(here: Opened, request: Request) -> str:
    """The server's, as it is set: only where it is not, as the client has written it."""
    return (here.options.web_url or str(request.base_url)).rstrip("/")


def _as_stored(shared: SharedObjects, path: str) -> Response:
    headers = {"Cache-Control": "private, no-store"}
    return Response(shared.read(path), media_type="application/json", headers=headers)


def _as_json(data: Any) -> bytes:
    """Raises HTTPException for what JSON cannot say, and what is too large."""
    try:
        content = json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # NaN, half a character, or lists within lists for ever
        raise HTTPException(
            422, "data: it holds what JSON or UTF-8 cannot say, or is nested too deep."
        ) from None
    if len(content) > MOST_BYTES:
        raise HTTPException(413, f"A document may have {MOST_BYTES:,} bytes at most.")
    return content
