"""`/calls/{call_id}/…`: audio, waveform and word times for the player, and downloads."""

import base64
import json
from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import iterate_in_threadpool

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.call import Stage
from callpipeline.http_server.responses import (
    ByteRange,
    RangeNotSatisfiable,
    content_disposition,
    gzip_json_response,
    if_none_match_matches,
    if_range_matches,
    parse_range,
    ranged_response,
)
from callpipeline.pipeline.reading.clips import MAX_CLIP_S, ClipFormat, open_clip
from callpipeline.pipeline.reading.documents import CallFormat, download
from callpipeline.pipeline.reading.playback import open_playback, waveform
from callpipeline.storage.results.serialization import transcript_to_json
from callpipeline.web.access import Scope, require, visitor_of
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, CallId, State, call_summary
from callpipeline.wiring.engines import measure_peaks

playback_router = APIRouter(prefix="/calls/{call_id}", tags=["listening"])
download_router = APIRouter(prefix="/calls/{call_id}", tags=["downloads"])
voices_router = APIRouter(prefix="/calls/{call_id}", tags=["voices"])

CACHEABLE = "private, max-age=86400, immutable"
"""For versioned URLs; a day only, since calls can be erased."""
REVALIDATED = "private, no-cache"
NO_STORE = {"Cache-Control": "no-store"}
NOT_FOUND = problems(404, 503)

Version = Annotated[
    str | None, Query(alias="v", description="Version; makes the response cacheable.")
]
HeaderValue = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Headers of conditional and range requests."""

    range: HeaderValue = None
    if_range: HeaderValue = None
    if_none_match: HeaderValue = None

    def byte_range(self, etag: str, size: int) -> ByteRange | None:
        """Return the requested bytes, or None for all. Raises RangeNotSatisfiable."""
        return parse_range(self.range, size) if if_range_matches(self.if_range, etag) else None


RangeHeaders = Annotated[RangeRequest, Depends()]


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """Query of the audio: all channels, or one of them by name or number."""

    v: Version = None
    download: bool = False
    channel: Channel | None = None


AudioQuery = Annotated[AudioRequest, Depends()]


@playback_router.head("/audio.wav", include_in_schema=False)
@playback_router.get(
    "/audio.wav",
    response_class=StreamingResponse,
    responses=problems(404, 416, 503)
    | {200: {"content": {"audio/wav": {}}}, 206: {"content": {"audio/wav": {}}}},
)
def audio(
    state: State,
    request: Request,
    call_id: CallId,
    headers: RangeHeaders,
    query: AudioQuery,
) -> Response:
    """Return a call's audio as WAV with a channel for each speaker; supports byte ranges.

    With `channel` (left, right, mixed, or a number) return only that channel.
    """
    playback = open_playback(state.storage.audio, call_id, query.channel)
    etag = f'"{playback.etag}"'
    sent = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": CACHEABLE if query.v else REVALIDATED,
    }
    if query.download:
        name = call_summary(state, call_id).file_name
        sent["Content-Disposition"] = content_disposition(name, "wav")
    if if_none_match_matches(headers.if_none_match, etag):
        return Response(status_code=304, headers=sent)
    size = playback.size_bytes
    try:
        requested = headers.byte_range(etag, size)
    except RangeNotSatisfiable:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    part, status = requested or ByteRange(0, size), 206 if requested else 200
    sent["Content-Length"] = str(part.length)
    if requested:
        sent["Content-Range"] = requested.content_range(size)
    if request.method == "HEAD":
        return Response(status_code=status, headers=sent, media_type="audio/wav")
    chunks = audio_chunks(playback.blocks(part.start, part.end))
    return StreamingResponse(chunks, status, sent, media_type="audio/wav")


async def audio_chunks(blocks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Iterate in a thread; close the file when the client disconnects."""
    try:
        async for block in iterate_in_threadpool(blocks):
            yield block
    finally:
        if isinstance(blocks, Generator):
            blocks.close()


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """Query of a clip: its times in seconds from the start of the call."""

    start: Annotated[float, Query(ge=0, le=1e6)]
    end: Annotated[float, Query(gt=0, le=1e6, description=f"At most {MAX_CLIP_S:g} s later")]
    download: bool = False


@playback_router.get(
    "/clip.{format}",
    response_class=Response,
    responses=problems(404, 416, 422, 503)
    | {status: {"content": {each.media_type: {} for each in ClipFormat}} for status in (200, 206)},
)
def clip(
    state: State,
    call_id: CallId,
    format: ClipFormat,
    headers: RangeHeaders,
    query: Annotated[ClipRequest, Depends()],
) -> Response:
    """Return a few seconds of a call's audio, with a channel for each speaker."""
    if not query.start < query.end <= query.start + MAX_CLIP_S:
        raise HTTPException(422, f"end: use a time up to {MAX_CLIP_S:g} s after the start.")
    found = open_clip(state.storage.audio, call_id, query.start, query.end)
    sent = {"ETag": f'"{found.etag}-{format}"', "Cache-Control": REVALIDATED}
    if if_none_match_matches(headers.if_none_match, sent["ETag"]):
        return Response(status_code=304, headers=sent)
    if query.download:
        stem = call_summary(state, call_id).file_name.rpartition(".")[0]
        sent["Content-Disposition"] = content_disposition(
            f"{stem} at {query.start:.0f} s.{format}", format
        )
    return ranged_response(
        headers.range if if_range_matches(headers.if_range, sent["ETag"]) else None,
        found.content(format),
        format.media_type,
        sent,
    )


@playback_router.get("/peaks", responses=problems(404, 503))
def peaks(
    state: State,
    request: Request,
    call_id: CallId,
    if_none_match: HeaderValue = None,
    v: Version = None,
) -> Response:
    """Return the waveform of each channel: one byte per `window_s` seconds, in base64."""
    lanes = waveform(state.storage.audio, call_id, measure_peaks)
    etag = f'"{"-".join(lane.peaks.sha256[:16] for lane in lanes)}"'
    headers = {"ETag": etag, "Cache-Control": CACHEABLE if v else REVALIDATED}
    if if_none_match_matches(if_none_match, etag):
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
    return gzip_json_response(request, json.dumps({"channels": channels}), headers)


@playback_router.get("/words", responses=problems(404, 503))
def words(state: State, request: Request, call_id: CallId) -> Response:
    """Return word start times in ms, by channel and segment.

    The list is empty for segments whose words have no times, or don't match the text.
    """
    starts_ms = {
        transcript.channel: [
            [round(word.start_s * 1000) for word in segment.words]
            if segment.text == " ".join(word.text for word in segment.words)
            else []
            for segment in transcript.segments
        ]
        for transcript in state.storage.results.transcripts(call_id)
    }
    text = json.dumps(starts_ms, separators=(",", ":"))
    return gzip_json_response(request, text, {"Cache-Control": "no-store"})


class VoiceRole(BaseModel):
    """A voice of a mono recording, numbered by first appearance, its role and talk time."""

    voice: int
    speaker: Speaker
    talk_s: float


class VoiceRoles(BaseModel):
    """The voices of a call; `decided_at` is the time of a person's decision on their roles.

    `version` changes with each decision; it is 0 before the first.
    """

    voices: list[VoiceRole]
    decided_at: datetime | None
    version: int


class AgentVoiceRequest(BaseModel):
    """The voice that is the agent: 1 or 2; the other one is the customer.

    With `seen`, a version, the request is refused (409) if another person has decided since.
    """

    agent_voice: Annotated[int, Field(ge=1, le=2)]
    seen: int | None = None


@download_router.get("/voices", responses=problems(404, 503))
def voices(state: State, call_id: CallId) -> VoiceRoles:
    """Return the voices of a mono call; none if they were not separated."""
    call_summary(state, call_id)
    speakers = state.storage.speakers
    decision = speakers.decision(call_id)
    found = [
        VoiceRole(voice=voice.number, speaker=voice.speaker, talk_s=voice.talk_s)
        for voice in speakers.voices(call_id)
    ]
    return VoiceRoles(
        voices=found,
        decided_at=decision and decision.decided_at,
        version=decision.decision_id if decision else 0,
    )


@voices_router.put(
    "/voices",
    dependencies=[Depends(require(Scope.READ, action="assign speakers"))],
    responses=problems(404, 409, 422, 503),
)
def assign_voices(
    state: State, request: Request, call_id: CallId, wanted: AgentVoiceRequest
) -> VoiceRoles:
    """Make a voice of a mono call the agent; segments, mentions and talk time follow."""
    visitor = visitor_of(request)
    name = visitor.name if visitor else None
    state.storage.speakers.decide(call_id, wanted.agent_voice, name, seen=wanted.seen)
    return voices(state, call_id)


@download_router.get("/call.json", responses=NOT_FOUND)
def call_json(state: State, call_id: CallId) -> Response:
    """Return everything stored about the call."""
    return _call_file(state, call_id, CallFormat.JSON)


@download_router.get("/segments.csv", response_class=StreamingResponse, responses=NOT_FOUND)
def segments_csv(state: State, call_id: CallId) -> Response:
    """Return the transcript as CSV, one row per segment, safe to open in a spreadsheet."""
    return _call_file(state, call_id, CallFormat.CSV)


@download_router.get(
    "/transcript.{format}",
    response_class=StreamingResponse,
    responses=NOT_FOUND,
    name="subtitles",
)
def transcript_file(
    state: State, request: Request, call_id: CallId, format: Literal["json", "srt", "vtt"]
) -> Response:
    """Return the transcript as subtitles, or as JSON with word times by channel."""
    if format == "json":
        return _transcript_with_words(state, request, call_id)
    return _call_file(state, call_id, CallFormat(format))


def _call_file(state: AppState, call_id: str, format: CallFormat) -> Response:
    found = state.storage.ledger.find(call_id)
    name = call_summary(state, call_id).file_name
    headers = NO_STORE | {"Content-Disposition": content_disposition(name, format)}
    chunks = download(state.storage, found, format)
    return StreamingResponse(chunks, headers=headers, media_type=format.media_type)


def _transcript_with_words(state: AppState, request: Request, call_id: str) -> Response:
    found = state.storage.results.transcripts(call_id)
    channels = [json.loads(transcript_to_json(each))["transcript"] for each in found]
    name = call_summary(state, call_id).file_name
    header = content_disposition(name, f"{Stage.TRANSCRIPTS}.json")
    text = json.dumps({"call_id": call_id, "channels": channels})
    return gzip_json_response(request, text, NO_STORE | {"Content-Disposition": header})
