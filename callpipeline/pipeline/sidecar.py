"""Transcripts supplied beside a recording, which make transcribing it unnecessary.

Beside `folder/call.wav` that is `folder/call.transcript.json`, `folder/call.srt` or
`folder/call.vtt`; the first that exists is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from callpipeline.domain.call import Call
from callpipeline.domain.transcript import Transcript
from callpipeline.storage.ports import RecordingSource

SUFFIXES = (".transcript.json", ".srt", ".vtt")


def keys_beside(key: str) -> list[str]:
    """Where a transcript of a recording would lie, in the order in which they are looked for."""
    stem = key.removesuffix(PurePosixPath(key).suffix)
    return [stem + suffix for suffix in SUFFIXES]


Parse = Callable[[str, bytes, str], tuple[Transcript, ...]]
"""Name of the file, its content, the agent's channel → the transcripts in it."""


@dataclass(frozen=True, slots=True)
class SidecarTranscripts:
    """Looks for a transcript beside each recording."""

    recordings: RecordingSource
    parse: Parse

    def find(self, call: Call) -> tuple[Transcript, ...] | None:
        """The supplied transcripts; None where none lies there. Raises TranscriptInvalid."""
        bucket = call.recording.bucket
        for key in keys_beside(call.recording.key):
            if self.recordings.exists(bucket, key):
                return self.parse(key, self.recordings.read(bucket, key), call.agent_channel)
        return None
