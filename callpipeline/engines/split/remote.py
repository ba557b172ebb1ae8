"""Remote splitter: a service that splits a recording and returns a URL for each channel."""

import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from callpipeline.domain.audio import (
    MAX_CHANNELS,
    AudioFormat,
    Channel,
    Flag,
    QualityFlag,
    SplitRecording,
)
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio
from callpipeline.engines.http.messages import Request, Seconds, Text, Upload, parse_as
from callpipeline.engines.http.service import HttpService

if TYPE_CHECKING:
    from callpipeline.engines.split.channels import ReportedDetails

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
"""Limited to the range of a Postgres integer."""


class _FormatResponse(BaseModel):
    container: Text
    codec: Text
    sample_rate_hz: Annotated[Count, Field(gt=0)]
    channel_count: Annotated[int, Field(gt=0, lt=2**15)]
    duration_s: Seconds
    declared_duration_s: Seconds | None = None
    bad_packets: Count = 0


class _FlagResponse(BaseModel):
    flag: Flag
    detail: Text
    channel: Channel | None = None


class _ChannelResponse(BaseModel):
    url: Url
    channel: Channel


class _SplitResponse(BaseModel):
    """The contract's two URLs; our own engine server adds the other fields."""

    left_channel_url: Url
    right_channel_url: Url
    channels: Annotated[list[_ChannelResponse], Field(max_length=MAX_CHANNELS)] | None = None
    format: _FormatResponse | None = None
    flags: Annotated[list[_FlagResponse], Field(max_length=100)] | None = None

    @property
    def urls(self) -> dict[Channel, str]:
        """Return the URL of each channel; the same URL twice is one channel of both speakers."""
        if self.channels and len(self.channels) > 2:
            return {each.channel: each.url for each in self.channels}
        if self.left_channel_url == self.right_channel_url:
            return {Channel.MIXED: self.left_channel_url}
        return {Channel.LEFT: self.left_channel_url, Channel.RIGHT: self.right_channel_url}


class RemoteSplitter:
    """Sends the recording to a service and downloads an audio file of any format per channel.

    Formats, levels and equal channels are detected on this machine, as by `LocalSplitter`.
    """

    name = "remote"

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self.origin = service.origin

    async def split(
        self,
        recording: Path,
        into: Path,
        agent_channel: str,
        *,
        file_name: str | None = None,
        source: SourceAudio = UNSPECIFIED,
    ) -> SplitRecording:
        """See `Splitter`; also raises EngineUnavailable, ServiceUnavailable and EngineRefused."""
        from callpipeline.engines.split.channels import (
            InvalidChannel,
            assemble_channels,
            probe_format,
            raw_format,
            write_as_wav,
        )

        raw = raw_format(recording, source)
        if raw is not None:
            # A service can't know the format of samples without a header.
            recording = await asyncio.to_thread(write_as_wav, recording, into, raw)
            file_name = "recording.wav"
        # Files that are not audio are not sent.
        probed = await asyncio.to_thread(probe_format, recording)
        file = Upload(
            "file", file_name or "recording", recording, content_type(recording, file_name)
        )
        answer = await self._service.send(
            Request("POST", "/split", file=file), parse_as(_SplitResponse)
        )
        files = await self._download(answer.urls, into)
        work = (files, into, agent_channel, probed, _reported_details(answer), source)
        try:
            return await asyncio.to_thread(assemble_channels, *work)
        except InvalidChannel as error:
            raise self._service.refusal(str(error)) from None
        finally:
            for path in (*files.values(), *([recording] if raw else [])):
                path.unlink(missing_ok=True)

    async def _download(self, urls: Mapping[Channel, str], into: Path) -> dict[Channel, Path]:
        into.mkdir(parents=True, exist_ok=True)
        files = {channel: into / f"{channel}.downloaded" for channel in urls}
        downloads = (self._service.download(url, files[channel]) for channel, url in urls.items())
        # Wait for all of them: one still running would write into a deleted folder.
        outcomes = await asyncio.gather(*downloads, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return files


def content_type(recording: Path, file_name: str | None) -> str:
    """Return the MIME type by the first bytes, else by the suffix of the file name."""
    with recording.open("rb") as file:
        head = file.read(16)
    for magic, mime_type in MAGIC_TYPES:
        if head.startswith(magic):
            return mime_type
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # an MP3 frame, layer III
        return "audio/mpeg"
    # Only of the suffix: a whole name such as "data:audio/x," would be taken for a data URL.
    guessed, _ = mimetypes.guess_type("x" + PurePath(file_name or "").suffix)
    is_audio = guessed is not None and guessed.startswith(("audio/", "video/"))
    return guessed if is_audio and guessed else "application/octet-stream"


def _reported_details(answer: _SplitResponse) -> "ReportedDetails":
    from callpipeline.engines.split.channels import ReportedDetails

    format = AudioFormat(**answer.format.model_dump()) if answer.format else None
    if answer.flags is None:
        return ReportedDetails(format)
    return ReportedDetails(
        format, tuple(QualityFlag(f.flag, f.detail, f.channel) for f in answer.flags)
    )
