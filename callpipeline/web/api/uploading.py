"""`/upload`: recordings that come over HTTP, read as a stream into a file and from there stored.

What breaks off leaves nothing: the store and the ledger hear of a recording when it is here whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel

from callpipeline.domain.call import Lane
from callpipeline.domain.recording_name import clean
from callpipeline.engines.split.probe import refuse_other_kinds
from callpipeline.errors import CallpipelineError, EmptyRecording, UnsupportedAudio
from callpipeline.pipeline.discovery import is_recording_name
from callpipeline.pipeline.ingest import HandedOver, take_in
from callpipeline.storage.repeats import Repeatable
from callpipeline.web.api.repeating import IdempotencyKey, once, repeatable
from callpipeline.web.api.taken import Taken, taken
from callpipeline.web.forms.arriving import Arrived
from callpipeline.web.forms.described import a_form
from callpipeline.web.forms.names import of_form
from callpipeline.web.forms.reading import Terms, receive, receive_body
from callpipeline.web.opened import Here, Opened
from callpipeline.web.problems import problems

LONGEST_S = 6 * 3600.0
HEARD_OUT_S = 5.0

router = APIRouter(tags=["recordings"])


class _NoFields(BaseModel):
    pass


ERRORS = problems(400, 408, 409, 413, 415, 422, 503)


@router.post(
    "/upload",
    openapi_extra=a_form(_NoFields, file_field="file", holds="A recording."),
    responses=ERRORS,
)
async def upload(
    request: Request, response: Response, here: Here, idempotency_key: IdempotencyKey = None
) -> Taken:
    """Take a recording in. The same bytes, under whatever name, are one call.

    409: it was erased, 413: too large, 415: no recording, 422: nothing in it.
    """
    async with _a_place(request, here) as folder:
        form = await receive(request, "file", folder, _terms(here))
        name = of_form(form.sent_name)
        asked = repeatable(request, idempotency_key, form.arrived.sha256, name)
        return await _taken_in(here, _Intake(here, form.arrived, name), asked, response)


@router.put("/upload/{filename}", responses=ERRORS)
async def upload_body(
    request: Request,
    response: Response,
    here: Here,
    filename: Annotated[str, InPath(max_length=4096)],
    idempotency_key: IdempotencyKey = None,
) -> Taken:
    """The same with the recording itself as the body, as `curl --upload-file` sends it."""
    async with _a_place(request, here) as folder:
        name = clean(filename)
        _refuse_name(name)
        arrived = await receive_body(request, folder, _terms(here))
        asked = repeatable(request, idempotency_key, arrived.sha256, name)
        return await _taken_in(here, _Intake(here, arrived, name), asked, response)


async def _taken_in(
    here: Opened, intake: "_Intake", asked: Repeatable | None, response: Response
) -> Taken:
    async with here.uploads.storing:
        return Taken(**await once(here.repeats, asked, response, intake))


class _Intake:
    """From a file that is here whole to its call. Done twice it is as done once."""

    def __init__(self, here: Opened, arrived: Arrived, name: str) -> None:
        self._here = here
        self._file = HandedOver(arrived.path, name, arrived.sha256)

    def __call__(self) -> dict[str, Any]:
        storage = self._here.storage
        done = take_in(self._file, storage.inbox, storage.ledger, storage.home, lane=Lane.LIVE)
        return taken(storage.ledger, done.call_id, is_new=done.is_new)


def _terms(here: Opened) -> Terms:
    return Terms(
        within_s=LONGEST_S,
        most_bytes=here.options.upload_max_bytes,
        look=_refuse_no_recording,
        named=lambda sent: _refuse_name(of_form(sent)),
    )


def _refuse_name(name: str) -> None:
    """Raises UnsupportedAudio for names that the sensors would not take for a recording's."""
    if not is_recording_name(name):
        raise UnsupportedAudio(
            "By the ending of its name the file is no recording but what lies beside one, or is "
            "not finished. Send a recording, such as .wav, .mp3, .m4a, .flac, .ogg or .opus."
        )


def _refuse_no_recording(head: bytes) -> None:
    if not head:
        raise EmptyRecording("The file is empty: there is nothing in it to be heard.")
    try:
        refuse_other_kinds(head)
    except UnsupportedAudio as error:
        raise UnsupportedAudio(f"The file cannot be a recording: {error}.") from None


@asynccontextmanager
async def _a_place(request: Request, here: Opened) -> AsyncIterator[Path]:
    """A folder for what comes; it goes before an answer to what is refused does."""
    async with (
        here.uploads.coming.place(),
        _heard_out(request, here),
        here.uploads.landing.place() as folder,
    ):
        yield folder


@asynccontextmanager
async def _heard_out(request: Request, here: Opened) -> AsyncIterator[None]:
    """Read on for a moment what is refused: who is still sending would not see the answer else."""
    try:
        yield
    except (CallpipelineError, HTTPException) as error:
        announced = request.headers.get("Content-Length", "")
        is_long = announced.isdigit() and int(announced) > here.options.upload_max_bytes
        is_silent = isinstance(error, HTTPException) and error.status_code == 408
        if not is_long and not is_silent and "Expect" not in request.headers:
            await _rest_of(request)
        raise


async def _rest_of(request: Request) -> None:
    with suppress(TimeoutError, RuntimeError):  # RuntimeError: it was read to its end already
        async with asyncio.timeout(HEARD_OUT_S):
            async for _ in request.stream():
                pass
