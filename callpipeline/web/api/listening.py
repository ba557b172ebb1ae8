"""What the player of a call loads: its sound by byte ranges, its waveform, when words are said."""

import base64
import json
from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from callpipeline.pipeline.playback import open_playback
from callpipeline.pipeline.waveform import waveform
from callpipeline.web.attachments import attachment
from callpipeline.web.compact import compact_json
from callpipeline.web.opened import Here
from callpipeline.web.places_of_calls import CallId, existing
from callpipeline.web.problems import problems
from callpipeline.web.ranges import Span, Unsatisfiable, is_current, names, wanted_span

router = APIRouter(prefix="/calls/{call_id}", tags=["listening"])

KEPT = "private, max-age=86400, immutable"
"""For addresses that differ with what they name; a day, since calls can be erased."""
ASKED = "private, no-cache"

Version = Annotated[str | None, Query(alias="v", description="Lets the answer be kept.")]
Sent = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which bytes a player wants, and whether it has them already."""

    range: Sent = None
    if_range: Sent = None
    if_none_match: Sent = None

    def span(self, etag: str, size: int) -> Span | None:
        """The bytes that are wanted, None for all of them. Raises Unsatisfiable."""
        return wanted_span(self.range, size) if is_current(self.if_range, etag) else None


Asked = Annotated[Conditions, Depends()]


@router.head("/audio.wav", include_in_schema=False)
@router.get(
    "/audio.wav",
    response_class=StreamingResponse,
    responses=problems(404, 416, 503)
    | {200: {"content": {"audio/wav": {}}}, 206: {"content": {"audio/wav": {}}}},
)
def audio(
    here: Here,
    request: Request,
    call_id: CallId,
    asked: Asked,
    v: Version = None,
    download: bool = False,
) -> Response:
    """The sound of a call as a WAV file, a channel for each speaker; any range of its bytes."""
    playback = open_playback(here.storage.sound, call_id)
    etag = f'"{playback.etag}"'
    told = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": KEPT if v else ASKED}
    if download:
        told["Content-Disposition"] = attachment(existing(here, call_id).file_name, "wav")
    if names(asked.if_none_match, etag):
        return Response(status_code=304, headers=told)
    size = playback.size_bytes
    try:
        span = asked.span(etag, size)
    except Unsatisfiable:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    part, status = span or Span(0, size), 206 if span else 200
    told["Content-Length"] = str(part.length)
    if span:
        told["Content-Range"] = span.content_range(size)
    if request.method == "HEAD":
        return Response(status_code=status, headers=told, media_type="audio/wav")
    blocks = given(playback.blocks(part.start, part.end))
    return StreamingResponse(blocks, status, told, media_type="audio/wav")


async def given(blocks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Each block as the listener has taken the one before; who leaves holds no file open."""
    try:
        async for block in iterate_in_threadpool(blocks):
            yield block
    finally:
        if isinstance(blocks, Generator):
            blocks.close()


@router.get("/peaks", responses=problems(404, 503))
def peaks(
    here: Here,
    request: Request,
    call_id: CallId,
    if_none_match: Sent = None,
    v: Version = None,
) -> Response:
    """How loud each channel is over time: a byte for each `window_s` seconds, in base64."""
    lanes = waveform(here.storage.sound, call_id)
    etag = f'"{"-".join(lane.peaks.sha256[:16] for lane in lanes)}"'
    headers = {"ETag": etag, "Cache-Control": KEPT if v else ASKED}
    if names(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    channels = [
        {
            "channel": lane.channel.channel,
            "speaker": lane.channel.speaker,
            "window_s": lane.peaks.window_s,
            "maxima": base64.b64encode(lane.peaks.maxima).decode(),
        }
        for lane in lanes
    ]
    return compact_json(request, json.dumps({"channels": channels}), headers)


@router.get("/words", responses=problems(404, 503))
def words(here: Here, request: Request, call_id: CallId) -> Response:
    """When each word is said: by channel and segment, milliseconds from the call's beginning.

    A segment has none where its words have no times, or are not the words of its text.
    """
    begins = {
        transcript.channel: [
            [round(word.start_s * 1000) for word in segment.words]
            if segment.text == " ".join(word.text for word in segment.words)
            else []
            for segment in transcript.segments
        ]
        for transcript in here.storage.results.transcripts(call_id)
    }
    text = json.dumps(begins, separators=(",", ":"))
    return compact_json(request, text, {"Cache-Control": "no-store"})
