"""`/split`: split a recording, and download its channels."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, TypeAdapter

from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    ChannelAudio,
    QualityFlag,
    Speaker,
    SplitRecording,
)
from callpipeline.engine_server.errors import error_responses, validate_fields
from callpipeline.engine_server.state import CurrentState, EngineServerState
from callpipeline.http_server.limits import run_until_disconnect
from callpipeline.http_server.multipart import UploadForm, UploadRules, multipart_body, receive_form

PURPOSE = "channel"

router = APIRouter(tags=["split"])
channels = APIRouter(tags=["split"])
"""A separate router, since the URL of a channel is enough to download it."""


class SplitChannel(BaseModel):
    """A channel as mono 16-bit FLAC at the sample rate of the recording."""

    url: str
    channel: Channel
    speaker: Speaker
    sample_rate_hz: int
    duration_s: float
    rms_dbfs: float
    size_bytes: int
    sha256: str


class SplitResponse(BaseModel):
    """The two URLs of the contract, and a description of the recording as an extension.

    For a recording with one channel, `mixed`, both URLs are the same.
    """

    left_channel_url: str
    right_channel_url: str
    engine: str
    format: AudioFormat
    channels: list[SplitChannel]
    flags: list[QualityFlag]


class SplitFields(BaseModel):
    """Optional fields; unknown fields are ignored."""

    agent_channel: Annotated[
        Literal["left", "right"] | None,
        Field(description="Channel of the agent; by default the server's setting."),
    ] = None


_fields = TypeAdapter(SplitFields)


@router.post(
    "/split",
    openapi_extra=multipart_body(SplitFields, file_field="file", description="A recording."),
    responses=error_responses(400, 408, 413, 415, 422, 503, 504),
)
async def split(request: Request, state: CurrentState) -> SplitResponse:
    """Split a recording into one FLAC file per channel, which can be downloaded for an hour.

    415: not audio; 422: no samples, or an invalid field.
    """
    options = state.options
    async with state.splits.admit():
        with state.folders.temporary(2 * options.serve_timeout_s) as folder:
            form = await receive_form(request, "file", folder, UploadRules(options.serve_timeout_s))
            work = _split(state, form, folder / "channels")
            result = await run_until_disconnect(request, work, options.serve_timeout_s)
            stored = state.folders.add(options.serve_keep_s)
            for channel in result.channels:
                shutil.move(_file(folder / "channels", channel.channel), stored)
    return _response(state, result, stored.name)


@channels.get(
    "/channels/{token}",
    response_class=FileResponse,
    responses={200: {"content": {"audio/flac": {}}}, **error_responses(404, 410)},
)
def channel_file(
    token: Annotated[str, InPath(max_length=500)], state: CurrentState
) -> FileResponse:
    """Return the audio of a channel, by a URL from `/split`; no token is required."""
    signed = state.signer.verify(PURPOSE, token)
    if signed is None:
        raise HTTPException(404, "Channel not found.")
    name, _, channel = signed.text.partition(" ")
    folder = state.folders.find(name)
    if signed.is_expired or folder is None:
        raise HTTPException(410, "The channel has expired. Split the recording again.")
    path = _file(folder, Channel(channel))
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "no-store"})


async def _split(state: EngineServerState, form: UploadForm, into: Path) -> SplitRecording:
    fields = validate_fields(_fields, form.last())
    into.mkdir()
    agent_channel = fields.agent_channel or state.options.agent_channel
    async with state.splits.run():
        with state.health.record("splitter"):
            return await state.engines.splitter.split(form.file, into, agent_channel)


def _response(state: EngineServerState, split: SplitRecording, folder: str) -> SplitResponse:
    keep_s = state.options.serve_keep_s
    urls = {
        each.channel: f"/channels/{state.signer.sign(PURPOSE, f'{folder} {each.channel}', keep_s)}"
        for each in split.channels
    }
    first = split.channels[0].channel
    return SplitResponse(
        left_channel_url=urls.get(Channel.LEFT, urls[first]),
        right_channel_url=urls.get(Channel.RIGHT, urls[first]),
        engine=state.engines.splitter.name,
        format=split.format,
        channels=[_channel(each, urls[each.channel]) for each in split.channels],
        flags=list(split.flags),
    )


def _channel(audio: ChannelAudio, url: str) -> SplitChannel:
    return SplitChannel(
        url=url,
        channel=audio.channel,
        speaker=audio.speaker,
        sample_rate_hz=audio.sample_rate_hz,
        duration_s=audio.duration_s,
        rms_dbfs=audio.rms_dbfs,
        size_bytes=audio.size_bytes,
        sha256=audio.sha256,
    )


def _file(folder: Path, channel: Channel) -> Path:
    return folder / f"{channel}.flac"
