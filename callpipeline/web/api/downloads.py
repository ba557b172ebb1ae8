"""One call as a file: the document, a table, the transcript with its words, subtitles."""

import json
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from callpipeline.domain.call import Stage
from callpipeline.pipeline.downloads import CallFormat, download
from callpipeline.storage.documents import transcript_to_json
from callpipeline.web.attachments import attachment
from callpipeline.web.compact import compact_json
from callpipeline.web.opened import Here, Opened
from callpipeline.web.places_of_calls import CallId, existing
from callpipeline.web.problems import problems

router = APIRouter(prefix="/calls/{call_id}", tags=["downloads"])

PERSONAL = {"Cache-Control": "no-store"}
NONE_KNOWN = problems(404, 503)


@router.get("/call.json", responses=NONE_KNOWN)
def call_json(here: Here, call_id: CallId) -> Response:
    """All that is known of the call."""
    return _file(here, call_id, CallFormat.JSON)


@router.get("/segments.csv", response_class=StreamingResponse, responses=NONE_KNOWN)
def segments_csv(here: Here, call_id: CallId) -> Response:
    """What was said: a row for each stretch of speech, safe to open in a spreadsheet."""
    return _file(here, call_id, CallFormat.CSV)


@router.get(
    "/transcript.{format}",
    response_class=StreamingResponse,
    responses=NONE_KNOWN,
    name="subtitles",
)
def transcript(
    here: Here, request: Request, call_id: CallId, format: Literal["json", "srt", "vtt"]
) -> Response:
    """What was said, as subtitles; as JSON with the times of all words, by channel."""
    if format == "json":
        return _with_words(here, request, call_id)
    return _file(here, call_id, CallFormat(format))


def _file(here: Opened, call_id: str, format: CallFormat) -> Response:
    found = here.storage.ledger.find(call_id)
    name = existing(here, call_id).file_name
    told = PERSONAL | {"Content-Disposition": attachment(name, format)}
    pieces = download(here.storage, found, format)
    return StreamingResponse(pieces, headers=told, media_type=format.media_type)


def _with_words(here: Opened, request: Request, call_id: str) -> Response:
    found = here.storage.results.transcripts(call_id)
    channels = [json.loads(transcript_to_json(each))["transcript"] for each in found]
    name = existing(here, call_id).file_name
    told = PERSONAL | {"Content-Disposition": attachment(name, f"{Stage.TRANSCRIPTS}.json")}
    return compact_json(request, json.dumps({"call_id": call_id, "channels": channels}), told)
