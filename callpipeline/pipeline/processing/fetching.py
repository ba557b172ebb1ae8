"""Fetching of recordings, whose objects may have grown or vanished since they were registered."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from callpipeline.domain.calls.call import Call
from callpipeline.errors import MissingObject, ObjectReplaced, RecordingChanged
from callpipeline.pipeline.ingest.registration import sha256_of
from callpipeline.pipeline.processing.workspace import run_in_own_thread
from callpipeline.storage.ports.calls import CallStates, RecordingSource


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
