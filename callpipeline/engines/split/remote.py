"""The split service: it takes a recording apart, and gives an address for each channel."""

import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    Flag,
    QualityFlag,
    SplitRecording,
)
from callpipeline.engines.http.answers import Seconds, Text, shaped
from callpipeline.engines.http.requests import Request, Upload
from callpipeline.engines.http.service import Service

if TYPE_CHECKING:
    from callpipeline.engines.split.channels import Told

MAGIC_TYPES = (
    (b"RF64", "audio/wav"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"FORM", "audio/aiff"),
    (b".snd", "audio/basic"),
)


Url = Annotated[str, Field(min_length=1, max_length=8000)]


Count = Annotated[int, Field(ge=0, lt=2**31)]
"""As large as the database takes."""


class _Format(BaseModel):
    container: Text
    codec: Text
    sample_rate_hz: Annotated[Count, Field(gt=0)]
    channel_count: Annotated[int, Field(gt=0, lt=2**15)]
    duration_s: Seconds
    declared_duration_s: Seconds | None = None
    bad_packets: Count = 0


class _Flag(BaseModel):
    flag: Flag
    detail: Text
    channel: Channel | None = None


class _Split(BaseModel):
    """The contract's two addresses; `format` and `flags` are what our own server knows besides."""

    left_channel_url: Url
    right_channel_url: Url
    format: _Format | None = None
    flags: Annotated[list[_Flag], Field(max_length=100)] | None = None

    @property
    def urls(self) -> dict[Channel, str]:
        """One address twice is one channel, which both speakers share."""
        if self.left_channel_url == self.right_channel_url:
            return {Channel.MIXED: self.left_channel_url}
        return {Channel.LEFT: self.left_channel_url, Channel.RIGHT: self.right_channel_url}


class RemoteSplitter:
    """Sends the recording to a service, and fetches a file for each channel.

    The files may be of any kind of audio. What the recording is, and whether both channels are one,
    is found here, as `LocalSplitter` does.
    """

    name = "remote"

    def __init__(self, service: Service) -> None:
        self._service = service
        self.where = service.where

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        """See `Splitter`; also raises EngineUnavailable, EngineAway and EngineRefused."""
        from callpipeline.engines.split.channels import BrokenChannel, format_in, put_together

        # What is no audio at all is not sent.
        found = await asyncio.to_thread(format_in, recording)
        file = Upload(
            "file", file_name or "recording", recording, content_type(recording, file_name)
        )
        answer = await self._service.ask(Request("POST", "/split", file=file), shaped(_Split))
        files = await self._fetched(answer.urls, into)
        work = (files, into, agent_channel, found, _told(answer))
        try:
            return await asyncio.to_thread(put_together, *work)
        except BrokenChannel as error:
            raise self._service.refusal(str(error)) from None
        finally:
            for path in files.values():
                path.unlink(missing_ok=True)

    async def _fetched(self, urls: Mapping[Channel, str], into: Path) -> dict[Channel, Path]:
        into.mkdir(parents=True, exist_ok=True)
        files = {channel: into / f"{channel}.fetched" for channel in urls}
        fetches = (self._service.fetch(url, files[channel]) for channel, url in urls.items())
        # All to their end: one that goes on would write where nothing is any more.
        outcomes = await asyncio.gather(*fetches, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return files


def content_type(recording: Path, file_name: str | None) -> str:
    """What to call a recording's content, by its first bytes, else by its name's ending."""
    with recording.open("rb") as file:
        head = file.read(16)
    for magic, known in MAGIC_TYPES:
        if head.startswith(magic):
            return known
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # an MP3 frame, layer III
        return "audio/mpeg"
    # Of its ending alone: a whole name like "data:audio/x," would be taken for a URL that says it.
    guessed, _ = mimetypes.guess_type("x" + PurePath(file_name or "").suffix)
    is_sound = guessed is not None and guessed.startswith(("audio/", "video/"))
    return guessed if is_sound and guessed else "application/octet-stream"


def _told(answer: _Split) -> "Told":
    from callpipeline.engines.split.channels import Told

    format = AudioFormat(**answer.format.model_dump()) if answer.format else None
    if answer.flags is None:
        return Told(format)
    return Told(format, tuple(QualityFlag(f.flag, f.detail, f.channel) for f in answer.flags))
