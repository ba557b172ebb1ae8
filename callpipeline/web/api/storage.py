"""`/storage`: documents of other programs, and transcripts of calls.

Documents have a prefix of their own in the results store. Of the calls' objects only transcripts
can be read, by the paths that a job gives, and none can be written.
"""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as PathParam
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from callpipeline.pipeline.shared_documents import SharedDocuments
from callpipeline.web import legacy_format
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, State

PURPOSE = "storage"
MAX_DOCUMENT_BYTES = 16_000_000
"""A transcript of three hours with word times has 2 MB."""
MAX_PAGE = 1000

read_router = APIRouter(prefix="/storage", tags=["storage"])
write_router = APIRouter(prefix="/storage", tags=["storage"])
signed_router = APIRouter(prefix="/storage", tags=["storage"])
"""Public: the signed URL is all that is needed to read its object."""

ObjectPath = Annotated[str, PathParam(max_length=1024, examples=["transcripts/2026/call.json"])]


class StorageDocument(BaseModel):
    """A document, any JSON, and its path."""

    object_path: Annotated[str, Field(min_length=1, max_length=1024)]
    data: Any


class StorageResult(BaseModel):
    """Confirmation of a change; `full_path` is where the document is stored."""

    success: bool = True
    object_path: str
    full_path: str
    message: str


class PresignedUrl(BaseModel):
    """A URL that anyone can use to read an object, for `expires` seconds."""

    success: bool = True
    object_path: str
    url: str
    expires: int
    expires_in_seconds: int


class ObjectExistence(BaseModel):
    success: bool = True
    object_path: str
    exists: bool


class StoreHealth(BaseModel):
    success: bool = True
    status: str = "healthy"


class StoredObjectItem(BaseModel):
    object_path: str
    size: int
    last_modified: datetime


class StoredObjectPage(BaseModel):
    """Objects in the order of their paths; `next` is the `after` of the next page."""

    objects: list[StoredObjectItem]
    count: int
    next: str | None = None


@write_router.post("/upload", responses=problems(413, 422, 503))
async def keep(document: StorageDocument, state: State) -> StorageResult:
    """Store a document; replace an existing one."""
    content = await asyncio.to_thread(_to_json, document.data)
    await asyncio.to_thread(state.documents.put, document.object_path, content)
    return _result(state, document.object_path, "The document was stored.")


@read_router.get("/download/{object_path:path}", responses=problems(404, 422, 503))
def download(object_path: ObjectPath, state: State) -> Response:
    """Return a document, or a transcript of a call (`left_transcript_path` of a job).

    `transcripts/<uuid of the job>/<left or right>_transcript.json` is a transcript in the format of
    the transcription service.
    """
    if state.options.web_is_legacy:
        return legacy_format.stored_document(object_path, state.documents.read(object_path))
    return _object_response(state.documents, object_path)


@read_router.get("/presigned-url/{object_path:path}", responses=problems(404, 422, 503))
def presigned_url(
    object_path: ObjectPath,
    request: Request,
    state: State,
    expires: Annotated[int, Query(ge=60, le=604_800)] = 3600,
) -> PresignedUrl:
    """Return a URL that can be shared: the bucket's, or one of this server if there is none."""

    def sign(path: str) -> str:
        token = state.signer.sign(PURPOSE, path, expires)
        path = request.app.url_path_for("signed_download", token=token)
        return f"{_base_url(state, request)}{path}"

    return PresignedUrl(
        object_path=object_path,
        url=state.documents.address(object_path, expires, sign),
        expires=expires,
        expires_in_seconds=expires,
    )


@signed_router.get("/signed/{token}", responses=problems(404, 410, 503))
def signed_download(
    token: Annotated[str, PathParam(max_length=2000)], request: Request, state: State
) -> Response:
    """Return the object of a URL from `presigned-url`."""
    signed = state.signer.verify(PURPOSE, token)
    if signed is None:
        raise HTTPException(404, "This link isn't valid.")
    if signed.is_expired:
        raise HTTPException(410, "This link has expired. Request a new one.")
    request.path_params["object_path"] = signed.text  # names the call for the audit log
    return _object_response(state.documents, signed.text)


@write_router.delete("/delete/{object_path:path}", responses=problems(404, 422, 503))
def delete(object_path: ObjectPath, state: State) -> StorageResult:
    """Delete a document. Objects of calls can't be deleted here; erase the call instead."""
    state.documents.delete(object_path)
    return _result(state, object_path, "The document was deleted.")


@read_router.get("/list", responses=problems(422, 503), response_model=StoredObjectPage)
def listing(
    state: State,
    prefix: Annotated[str, Query(max_length=1024)] = "",
    after: Annotated[str | None, Query(max_length=1024)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> Any:
    """List documents by prefix. Transcripts aren't listed; jobs have their paths."""
    if state.options.web_is_legacy:
        paths = state.documents.list_old(prefix, after, limit)
        old: dict[str, Any] = {"success": True, "prefix": prefix, "objects": paths}
        next_path = paths[-1] if len(paths) == limit else None
        return JSONResponse(old | {"count": len(paths), "next": next_path})
    found = state.documents.list_below(prefix, after, limit)
    objects = [
        StoredObjectItem(
            object_path=each.path,
            size=each.recording.size_bytes,
            last_modified=each.recording.last_modified,
        )
        for each in found
    ]
    is_full = len(objects) == limit
    next_after = objects[-1].object_path if is_full else None
    return StoredObjectPage(objects=objects, count=len(objects), next=next_after)


@read_router.get("/exists/{object_path:path}", responses=problems(422, 503))
def exists(object_path: ObjectPath, state: State) -> ObjectExistence:
    """Check whether a document or a transcript exists."""
    return ObjectExistence(object_path=object_path, exists=state.documents.exists(object_path))


@read_router.get("/health", responses=problems(503))
async def store_health(state: State) -> StoreHealth:
    """Return whether the object store responds; 503 if it doesn't."""
    report = await state.health_checker.health()
    if report.dependencies["results"].state != "up":
        raise HTTPException(503, "The object store doesn't respond.", {"Retry-After": "5"})
    return StoreHealth()


def _result(state: AppState, path: str, message: str) -> StorageResult:
    return StorageResult(object_path=path, full_path=state.documents.where(path), message=message)


def _base_url(state: AppState, request: Request) -> str:
    """Return the server's URL from the settings, or from the request if it isn't set."""
    return (state.options.web_url or str(request.base_url)).rstrip("/")


def _object_response(documents: SharedDocuments, path: str) -> Response:
    headers = {"Cache-Control": "private, no-store"}
    return Response(documents.read(path), media_type="application/json", headers=headers)


def _to_json(data: Any) -> bytes:
    """Serialize a document. Raises HTTPException if it is too large or isn't valid JSON."""
    try:
        content = json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # NaN, a lone surrogate, or nested too deep
        raise HTTPException(
            422, "data: it isn't valid JSON or UTF-8, or is nested too deep."
        ) from None
    if len(content) > MAX_DOCUMENT_BYTES:
        raise HTTPException(
            413, f"The document is too large; the limit is {MAX_DOCUMENT_BYTES:,} bytes."
        )
    return content
