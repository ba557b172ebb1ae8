"""The splitter that needs nothing but this machine."""

import asyncio
from pathlib import Path

from callpipeline.domain.audio import SplitRecording


class LocalSplitter:
    """Splits by libsndfile and FFmpeg, on a thread of this process: both release the GIL.

    Left and right are written separately at the recording's own rate; a recording with one channel,
    or with the same sound on both, gives `mixed`. The content of a file decides what it is, never
    its name.
    """

    name = "local"

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        """See `Splitter`; also raises EngineUnavailable where `into` cannot be written."""
        from callpipeline.engines.split.apart import take_apart

        return await asyncio.to_thread(take_apart, recording, into, agent_channel)
