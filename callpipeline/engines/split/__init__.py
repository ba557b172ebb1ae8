"""Splitting recordings into channels, on this machine or by a remote service."""

import asyncio
from pathlib import Path

from callpipeline.domain.audio import SplitRecording
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio


class LocalSplitter:
    """Splits with libsndfile and FFmpeg, on a thread, since both release the GIL.

    Channels are written at the recording's own sample rate. A recording with one channel, or with
    the same sound on both, becomes `mixed`. The format is detected from the content; only samples
    without a header need the source's setting, or a suffix.
    """

    name = "local"

    async def split(
        self,
        recording: Path,
        into: Path,
        agent_channel: str,
        *,
        file_name: str | None = None,
        source: SourceAudio = UNSPECIFIED,
    ) -> SplitRecording:
        """See `Splitter`; also raises EngineUnavailable if `into` can't be written."""
        from callpipeline.engines.split.channels import split_recording

        return await asyncio.to_thread(
            split_recording, recording, into, agent_channel, source, file_name
        )
