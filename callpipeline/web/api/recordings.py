"""`/upload` and `/webhook`: recordings that are sent, or announced by a URL.

An upload is streamed to a file and stored from there. An interrupted one leaves nothing behind: the
store and the ledger get the recording when it is complete.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Path as PathParam
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints

from callpipeline import wiring
from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.domain.calls.sources import clean_filename
from callpipeline.engines.split.probe import reject_non_audio
from callpipeline.errors import (
    CallpipelineError,
    EmptyRecording,
    MachineExhausted,
    UnsupportedAudio,
)
from callpipeline.http_server.incoming_file import ReceivedFile
from callpipeline.http_server.multipart import (
    UploadRules,
    decode_file_name,
    multipart_body,
    receive_body,
    receive_form,
)
from callpipeline.pipeline.ingest.discovery import is_recording_name
from callpipeline.pipeline.ingest.registration import (
    Announcement,
    HashedFile,
    SentAttributes,
    ingest_hashed,
)
from callpipeline.storage.access import IdempotentRequest
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.web import legacy_format
from callpipeline.web.api.corrections import MetadataValue, sent_metadata
from callpipeline.web.problems import problems
from callpipeline.web.services.idempotency import IdempotencyHeader, repeatable_request, run_once
from callpipeline.web.state import AppState, State

UPLOAD_WITHIN_S = 6 * 3600.0
DRAIN_S = 5.0
WEBHOOK_LEASE_S = 30.0
"""Announcements take milliseconds: a process that holds one for longer has died."""

UPLOADED = "Uploaded. Waiting to be processed."
ANNOUNCED = "Accepted. Waiting to be downloaded and processed."
ALREADY_UPLOADED = "This recording was already uploaded."
ALREADY_FAILED = f"{ALREADY_UPLOADED} It failed; retry it once the cause is fixed."
ALREADY_ERASED = (
    "This recording was erased, and can't be uploaded again unless an admin allows it with "
    "`callpipeline erase --lift`."
)
ERRORS = problems(400, 408, 409, 413, 415, 422, 503)

upload_router = APIRouter(tags=["recordings"])
webhook_router = APIRouter(tags=["recordings"])


class JobStatus(StrEnum):
    """State of a call in the API's contract, which has four."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class SubmittedJob(BaseModel):
    """The call of a recording, which may have existed before."""

    job_id: str = Field(examples=["2026-03-02-0123456789ab"])
    message: str
    status: JobStatus


class UploadFields(BaseModel):
    """Metadata of an uploaded call; any other field is stored as well."""

    agent: str | None = None
    customer: str | None = None
    direction: str | None = None
    started_at: str | None = None
    external_id: str | None = None
    queue: str | None = None
    agent_channel: Literal["left", "right"] | None = None
    metadata: str | None = Field(None, description="More fields, as a JSON object.")


class WebhookRequest(BaseModel):
    """A recording and the URL to download it from.

    `metadata` describes the call (`agent`, `customer`, `direction`, `started_at`, …).
    """

    filename: Annotated[str | None, StringConstraints(max_length=1024)] = None
    file_url: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    metadata: Annotated[dict[str, MetadataValue], Field(max_length=50)] = {}
    agent_channel: Literal["left", "right"] | None = None


@upload_router.post(
    "/upload",
    openapi_extra=multipart_body(UploadFields, file_field="file", description="A recording."),
    responses=ERRORS,
    response_model=SubmittedJob,
)
async def upload(
    request: Request, response: Response, state: State, idempotency_key: IdempotencyHeader = None
) -> Any:
    """Upload a recording. Files with the same bytes, whatever their names, are one call.

    The other fields of the form describe the call.

    409: erased before; 413: too large; 415: not audio; 422: empty.
    """
    async with _upload_slot(request, state) as folder:
        form = await receive_form(request, "file", folder, _rules(state))
        name = decode_file_name(form.raw_name)
        sent = sent_metadata(form.last())
        key = _repeatable(request, idempotency_key, form.received, name, sent)
        return await _submit(state, _Ingestion(state, form.received, name, sent), key, response)


@upload_router.put("/upload/{filename}", responses=ERRORS, response_model=SubmittedJob)
async def upload_body(
    request: Request,
    response: Response,
    state: State,
    filename: Annotated[str, PathParam(max_length=4096)],
    idempotency_key: IdempotencyHeader = None,
) -> Any:
    """Upload a recording as the request's body, as `curl --upload-file` does.

    The parameters of the query describe the call, as the fields of a form do.
    """
    async with _upload_slot(request, state) as folder:
        name = clean_filename(filename)
        _check_name(name)
        received = await receive_body(request, folder, _rules(state))
        sent = sent_metadata(request.query_params)
        key = _repeatable(request, idempotency_key, received, name, sent)
        return await _submit(state, _Ingestion(state, received, name, sent), key, response)


@webhook_router.post(
    "/webhook", responses=problems(409, 413, 422, 503), response_model=SubmittedJob
)
async def webhook(
    announced: WebhookRequest,
    request: Request,
    response: Response,
    state: State,
    idempotency_key: IdempotencyHeader = None,
) -> Any:
    """Register a recording to be downloaded later; the job shows if that fails."""
    key = repeatable_request(
        request, idempotency_key, announced.model_dump_json(), lease_s=WEBHOOK_LEASE_S
    )

    def work() -> dict[str, Any]:
        return _announce(state, _announcement(announced, key.key_hash if key else None))

    return _in_format(state, response, await run_once(state.idempotency_keys, key, response, work))


def submission(ledger: Ledger, call_id: str, *, is_new: bool) -> dict[str, Any]:
    """Return a `SubmittedJob` as a document. Raises HTTPException (409) for an erased call."""
    [record] = ledger.calls(call_ids=[call_id])
    if record.state is CallState.DUPLICATE and record.duplicate_of:
        return submission(ledger, record.duplicate_of, is_new=False)
    if record.state is CallState.ERASED:
        raise HTTPException(409, ALREADY_ERASED)
    existing = ALREADY_FAILED if record.state is CallState.FAILED else ALREADY_UPLOADED
    message = UPLOADED if is_new else existing
    job = SubmittedJob(job_id=record.call_id, message=message, status=_status(record.state))
    return job.model_dump()


def _status(state: CallState) -> JobStatus:
    return JobStatus.COMPLETED if state is CallState.DUPLICATE else JobStatus(state)


def _repeatable(
    request: Request,
    idempotency_key: str | None,
    received: ReceivedFile,
    name: str,
    sent: tuple[dict[str, str], str | None],
) -> IdempotentRequest | None:
    """Return the identity of an upload; what is sent with it is part of it only if there is any."""
    described = [json.dumps(sent, sort_keys=True)] if any(sent) else []
    return repeatable_request(request, idempotency_key, received.sha256, name, *described)


async def _submit(
    state: AppState, ingestion: "_Ingestion", key: IdempotentRequest | None, response: Response
) -> Any:
    async with state.uploads.storing:
        job = await run_once(state.idempotency_keys, key, response, ingestion)
    return _in_format(state, response, job)


def _in_format(state: AppState, response: Response, job: dict[str, Any]) -> Any:
    """Return the job in the format of the settings; `response` has the headers set so far."""
    if not state.options.web_is_legacy:
        return SubmittedJob(**job)
    return JSONResponse(legacy_format.submitted_document(job), headers=dict(response.headers))


class _Ingestion:
    """Ingest a received file, idempotently."""

    def __init__(
        self,
        state: AppState,
        received: ReceivedFile,
        name: str,
        sent: tuple[dict[str, str], str | None],
    ) -> None:
        self._storage = state.storage
        self._file = HashedFile(received.path, name, received.sha256, SentAttributes(*sent))

    def __call__(self) -> dict[str, Any]:
        storage = self._storage
        ingested = ingest_hashed(
            self._file, storage.inbox, storage.ledger, storage.home, lane=Lane.LIVE
        )
        return submission(storage.ledger, ingested.call_id, is_new=ingested.is_new)


def _rules(state: AppState) -> UploadRules:
    return UploadRules(
        within_s=UPLOAD_WITHIN_S,
        max_bytes=state.options.upload_max_bytes,
        check_head=_check_content,
        check_name=lambda raw_name: _check_name(decode_file_name(raw_name)),
        check_space=lambda size_bytes: _check_space(state, size_bytes),
    )


def _check_space(state: AppState, size_bytes: int) -> None:
    """Raise MachineExhausted before an upload uses the space that the database needs."""
    if wiring.disk_shortage(state.options, size_bytes):
        raise MachineExhausted(
            "The server's disk is nearly full or read-only, so nothing was stored. An admin has to "
            "make room; `callpipeline doctor` says where. Then upload the recording again."
        )


def _check_name(name: str) -> None:
    """Raise UnsupportedAudio for names that the discovery would skip."""
    if not is_recording_name(name):
        raise UnsupportedAudio(
            "Not an audio file: its name has the extension of a sidecar or of an unfinished file. "
            "Use .wav, .mp3, .m4a, .flac, .ogg or .opus."
        )


def _check_content(head: bytes) -> None:
    if not head:
        raise EmptyRecording("The file is empty.")
    try:
        reject_non_audio(head)
    except UnsupportedAudio as error:
        raise UnsupportedAudio(f"Not an audio file: {error}.") from None


@asynccontextmanager
async def _upload_slot(request: Request, state: AppState) -> AsyncIterator[Path]:
    """Yield a folder for the upload; on errors, delete it before the response is sent."""
    async with (
        state.uploads.receiving.admit(),
        _drain_on_error(request, state),
        state.uploads.folder.request_folder() as folder,
    ):
        yield folder


@asynccontextmanager
async def _drain_on_error(request: Request, state: AppState) -> AsyncIterator[None]:
    """After an error, read on briefly: a client that is still sending misses the response."""
    try:
        yield
    except (CallpipelineError, HTTPException) as error:
        length = request.headers.get("Content-Length", "")
        is_too_long = length.isdigit() and int(length) > state.options.upload_max_bytes
        is_stalled = isinstance(error, HTTPException) and error.status_code == 408
        if not is_too_long and not is_stalled and "Expect" not in request.headers:
            await _drain(request)
        raise


async def _drain(request: Request) -> None:
    with suppress(TimeoutError, RuntimeError):  # RuntimeError: the body has been read completely
        async with asyncio.timeout(DRAIN_S):
            async for _ in request.stream():
                pass


def _announcement(announced: WebhookRequest, key: str | None) -> Announcement:
    metadata = {name: str(value) for name, value in announced.metadata.items() if value is not None}
    return Announcement(
        announced.file_url, announced.filename, key, metadata, announced.agent_channel
    )


def _announce(state: AppState, announcement: Announcement) -> dict[str, Any]:
    call = state.announce(announcement)
    document = submission(state.storage.ledger, call.call_id, is_new=call.is_new)
    return document | ({"message": ANNOUNCED} if call.is_new else {})
