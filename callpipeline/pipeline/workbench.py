"""One call on the bench: a temporary folder, and what its stages made so far.

What an earlier stage made in this run is at hand; what an earlier run made is loaded once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callpipeline.domain.audio import Channel, Interval, SplitRecording
from callpipeline.domain.call import Call
from callpipeline.domain.mention import Mention
from callpipeline.domain.transcript import SUPPLIED, Transcript
from callpipeline.errors import MissingObject
from callpipeline.storage.ports import ResultStore


@dataclass(slots=True)
class Workbench:
    """The call, where its files lie, and its intermediate results."""

    call: Call
    folder: Path
    results: ResultStore
    made_audio: SplitRecording | None = field(default=None)
    made_transcripts: tuple[Transcript, ...] | None = field(default=None)
    made_mentions: tuple[Mention, ...] | None = field(default=None)
    mentions_by: str | None = field(default=None)

    async def audio(self) -> SplitRecording:
        if self.made_audio is None:
            self.made_audio = await asyncio.to_thread(self.results.audio, self.call.call_id)
        return self.made_audio

    async def transcripts(self) -> tuple[Transcript, ...]:
        if self.made_transcripts is None:
            load = self.results.transcripts
            self.made_transcripts = await asyncio.to_thread(load, self.call.call_id)
        return self.made_transcripts

    async def speech(self) -> Mapping[Channel, Sequence[Interval]]:
        """Where speech was detected, of the channels that a recogniser heard.

        The times of supplied transcripts are as rough as their makers left them (subtitles come
        early and stay late), so they are not measured by it; neither is what was never split.
        """
        recognised = {t.channel for t in await self.transcripts() if t.engine != SUPPLIED}
        if not recognised:
            return {}
        try:
            split = await self.audio()
        except MissingObject:
            return {}
        return {c.channel: c.speech for c in split.channels if c.channel in recognised}

    async def mentions(self) -> tuple[Mention, ...]:
        if self.made_mentions is None:
            load = self.results.mentions
            self.made_mentions = await asyncio.to_thread(load, self.call.call_id)
        return self.made_mentions

    async def catalog_version(self) -> str | None:
        """The version of the competitor list with which the mentions were found."""
        if self.mentions_by is None:
            load = self.results.catalog_version
            self.mentions_by = await asyncio.to_thread(load, self.call.call_id)
        return self.mentions_by

    async def channel_file(self, channel: Channel) -> Path:
        """The channel's FLAC in the folder, fetched from the store where it is not there yet."""
        path = self.folder / f"{channel}.flac"
        if not path.exists():
            fetch = self.results.fetch_channel
            await asyncio.to_thread(fetch, self.call.call_id, channel, path)
        return path
