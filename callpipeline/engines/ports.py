"""The roles an engine can play. Adapters are chosen by name in settings and built by wiring."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from callpipeline.domain.audio import ChannelAudio, Interval, SplitRecording
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Verdict
from callpipeline.domain.transcript import Segment, Transcript


class Splitter(Protocol):
    """Takes a recording apart into one mono FLAC file per channel."""

    name: str

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        """Write `into/<channel>.flac` for each channel, and say what was found.

        `file_name` is what the recording was called where it arrived, for services that ask.

        Raises UnsupportedAudio or EmptyRecording with a sentence that says what the file is;
        what is damaged but partly readable is split as far as it goes, and flagged.
        """
        ...


class SpeechDetector(Protocol):
    """Finds where somebody speaks."""

    name: str

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        """The stretches of speech of a mono audio file, in order, not overlapping."""
        ...


class Transcriber(Protocol):
    """Turns the speech of one channel into words."""

    name: str

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """The transcript of a mono audio file whose speech lies in `about.speech`.

        A channel without speech gives a transcript without segments. Raises EngineUnavailable.
        """
        ...


@runtime_checkable
class ListensForNames(Protocol):
    """A transcriber that can be told which names are likely to be said."""

    def listening_for(self, names: Sequence[str]) -> Transcriber:
        """The same one, listening for these names instead; the most important first."""
        ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a judge may look at: the segments of all channels in order of time."""

    segments: tuple[Segment, ...]


class SentimentJudge(Protocol):
    """Judges how the speaker of each mention speaks of the competitor named."""

    name: str

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Verdict, ...]:
        """A verdict on each mention, in the same order: a Judgement, or Unjudged where it failed.

        Raises, EngineUnavailable or what else was in the way, where nothing could be judged at all;
        `engines/sentiment/apart.py` does so for judges that ask for each competitor.
        """
        ...
