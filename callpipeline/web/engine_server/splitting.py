"""`/split` and the channels' files."""

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
from callpipeline.web.engine_server.answers import of_fields, problems
from callpipeline.web.engine_server.opened import Here, Opened
from callpipeline.web.forms.described import a_form
from callpipeline.web.forms.reading import Form, Terms, receive
from callpipeline.web.places import while_asked

PURPOSE = "channel"

router = APIRouter(tags=["split"])
channels = APIRouter(tags=["split"])
"""Apart, since an address of a channel is all that is needed to fetch it."""


class Side(BaseModel):
    """A channel as it was found: mono 16-bit FLAC at the recording's own rate."""

    url: str
    channel: Channel
    speaker: Speaker
    sample_rate_hz: int
    duration_s: float
    rms_dbfs: float
    size_bytes: int
    sha256: str


class Split(BaseModel):
    """The contract's two addresses, and ours: all that is known of the recording.

    Of a recording with one channel, `mixed`, both addresses are that channel's: the same one.
    """

    left_channel_url: str
    right_channel_url: str
    engine: str
    format: AudioFormat
    channels: list[Side]
    flags: list[QualityFlag]


class SplitFields(BaseModel):
    """What may be asked for beside the file; other fields are ignored."""

    agent_channel: Annotated[
        Literal["left", "right"] | None,
        Field(description="On which side the agent speaks; as set on the server where none is."),
    ] = None


_fields = TypeAdapter(SplitFields)


@router.post(
    "/split",
    openapi_extra=a_form(SplitFields, file_field="file", holds="A recording."),
    responses=problems(400, 408, 413, 415, 422, 503, 504),
)
async def split(request: Request, here: Here) -> Split:
    """Take a recording apart, one FLAC file per channel, to be fetched within the hour.

    415: not audio, 422: nothing in it, or a field that makes no sense.
    """
    options = here.options
    async with here.splits.place():
        with here.shelf.workplace(2 * options.serve_timeout_s) as folder:
            form = await receive(request, "file", folder, Terms(options.serve_timeout_s))
            work = _taken_apart(here, form, folder / "channels")
            found = await while_asked(request, work, options.serve_timeout_s)
            kept = here.shelf.add(options.serve_keep_s)
            for channel in found.channels:
                shutil.move(_file(folder / "channels", channel.channel), kept)
    return _reply(here, found, kept.name)


@channels.get(
    "/channels/{token}",
    response_class=FileResponse,
    responses={200: {"content": {"audio/flac": {}}}, **problems(404, 410)},
)
def channel_file(token: Annotated[str, InPath(max_length=500)], here: Here) -> FileResponse:
    """The sound of a channel, at an address that `/split` gave; whoever has it needs no token."""
    signed = here.signer.read(PURPOSE, token)
    if signed is None:
        raise HTTPException(404, "There is no such channel.")
    name, _, channel = signed.text.partition(" ")
    folder = here.shelf.find(name)
    if signed.is_expired or folder is None:
        raise HTTPException(410, "The channel was kept for its time and is gone: split again.")
    path = _file(folder, Channel(channel))
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "no-store"})


async def _taken_apart(here: Opened, form: Form, into: Path) -> SplitRecording:
    fields = of_fields(_fields, form.last())
    into.mkdir()
    side = fields.agent_channel or here.options.agent_channel
    async with here.splits.turn():
        with here.health.noted("splitter"):
            return await here.engines.splitter.split(form.file, into, side)


def _reply(here: Opened, found: SplitRecording, folder: str) -> Split:
    keep_s = here.options.serve_keep_s
    urls = {
        each.channel: f"/channels/{here.signer.sign(PURPOSE, f'{folder} {each.channel}', keep_s)}"
        for each in found.channels
    }
    first = found.channels[0].channel
    return Split(
        left_channel_url=urls.get(Channel.LEFT, urls[first]),
        right_channel_url=urls.get(Channel.RIGHT, urls[first]),
        engine=here.engines.splitter.name,
        format=found.format,
        channels=[_side(each, urls[each.channel]) for each in found.channels],
        flags=list(found.flags),
    )


def _side(found: ChannelAudio, url: str) -> Side:
    return Side(
        url=url,
        channel=found.channel,
        speaker=found.speaker,
        sample_rate_hz=found.sample_rate_hz,
        duration_s=found.duration_s,
        rms_dbfs=found.rms_dbfs,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
    )


def _file(folder: Path, channel: Channel) -> Path:
    return folder / f"{channel}.flac"
