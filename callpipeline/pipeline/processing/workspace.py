"""The working state of a call in a run: its recording, a temporary folder, and its results.

Results of earlier stages of this run are in memory; those of earlier runs are loaded once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, ParamSpec, Protocol

from callpipeline.domain.audio import Channel, Interval, SplitRecording
from callpipeline.domain.calls.call import Call
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.transcripts import SUPPLIED_ENGINE, Transcript
from callpipeline.errors import MissingObject, ObjectReplaced, RecordingChanged
from callpipeline.pipeline.ingest.registration import sha256_of
from callpipeline.storage.ports.calls import CallStates, RecordingSource
from callpipeline.storage.ports.results import ResultStore

P = ParamSpec("P")


@dataclass(slots=True)
class CallWorkspace:
    """A call, its temporary folder, and its results so far."""

    call: Call
    folder: Path
    results: ResultStore
    new_audio: SplitRecording | None = None
    new_transcripts: tuple[Transcript, ...] | None = None
    new_mentions: tuple[Mention, ...] | None = None
    mentions_catalog: str | None = None

    async def audio(self) -> SplitRecording:
        if self.new_audio is None:
            self.new_audio = await asyncio.to_thread(self.results.audio, self.call.call_id)
        return self.new_audio

    async def transcripts(self) -> tuple[Transcript, ...]:
        if self.new_transcripts is None:
            load = self.results.transcripts
            self.new_transcripts = await asyncio.to_thread(load, self.call.call_id)
        return self.new_transcripts

    async def speech(self) -> Mapping[Channel, Sequence[Interval]]:
        """Return the detected speech of the channels that a recogniser transcribed.

        Supplied transcripts are left out, since their times are imprecise (subtitles appear early
        and stay late). So are recordings that were never split.
        """
        recognised = {t.channel for t in await self.transcripts() if t.engine != SUPPLIED_ENGINE}
        if not recognised:
            return {}
        try:
            split = await self.audio()
        except MissingObject:
            return {}
        return {c.channel: c.speech for c in split.channels if c.channel in recognised}

    async def mentions(self) -> tuple[Mention, ...]:
        if self.new_mentions is None:
            load = self.results.mentions
            self.new_mentions = await asyncio.to_thread(load, self.call.call_id)
        return self.new_mentions

    async def catalog_version(self) -> str | None:
        """Return the catalog version with which the mentions were found."""
        if self.mentions_catalog is None:
            load = self.results.catalog_version
            self.mentions_catalog = await asyncio.to_thread(load, self.call.call_id)
        return self.mentions_catalog

    async def channel_file(self, channel: Channel) -> Path:
        """Return the path of the channel's FLAC file, downloading it on first use."""
        path = self.folder / f"{channel}.flac"
        if not path.exists():
            fetch = self.results.fetch_channel
            await asyncio.to_thread(fetch, self.call.call_id, channel, path)
        return path


async def run_in_own_thread(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run slow blocking work in a thread of its own.

    `asyncio.to_thread` shares six threads on a machine with two processors: that many slow
    downloads would block the database writes of all other calls of the run.
    """
    thread = ThreadPoolExecutor(1, "own-thread")
    try:
        await asyncio.wrap_future(thread.submit(work, *args, **kwargs))
    finally:
        thread.shutdown(wait=False)


class VersionStates(Protocol):
    """Withdraws calls of earlier versions of a recording; see `RecordingVersions`."""

    def withdraw(self, call: Call, run_id: str) -> bool: ...

    def supersede_earlier(self, call: Call, run_id: str, recording: Path) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class RecordingFetcher:
    """Fetches the recordings of claimed calls, and records their content."""

    recordings: RecordingSource
    states: CallStates
    versions: VersionStates | None = None

    async def fetch(self, call: Call, run_id: str, into: Path) -> None:
        """Copy a recording to a local file, and withdraw calls of its earlier versions.

        Raises SameRecording or DuplicateRecording if another call owns the content, or continues
        it; RecordingChanged while a longer version is being written.
        """
        try:
            await run_in_own_thread(self.recordings.fetch, call.recording, into)
        except MissingObject as error:
            await self._withdraw(call, run_id, error)
        sha256 = await asyncio.to_thread(sha256_of, into)
        # Before anything expensive: content that another call owns is not processed twice.
        await asyncio.to_thread(self.states.own_content, call, run_id, sha256)
        if self.versions is not None:
            await asyncio.to_thread(self.versions.supersede_earlier, call, run_id, into)

    async def _withdraw(self, call: Call, run_id: str, error: MissingObject) -> NoReturn:
        """Raise SameRecording if the recording grew into a later version, else an error.

        A later version is registered only when it is complete: until then, the call waits.
        """
        if self.versions is None:
            raise error
        has_later = await asyncio.to_thread(self.versions.withdraw, call, run_id)
        if isinstance(error, ObjectReplaced) and not has_later:
            raise RecordingChanged(
                "The recording changed after it was registered; waiting until it is complete."
            ) from None
        raise error
