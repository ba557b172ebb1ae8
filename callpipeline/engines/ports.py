"""Ports of the engines, and wrappers that limit concurrent requests to a service over all runs.

Adapters are chosen by name in the settings and built by wiring. Without a limit, each run would
send as many requests as it has calls in progress.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from callpipeline.domain.audio import ChannelAudio, Interval, Peaks, SplitRecording
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import (
    Judgement,
    JudgeResult,
    PatternLists,
    ReadPatterns,
    judge_by_pattern,
)
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.domain.voices import VoiceTurn


class Splitter(Protocol):
    """Splits a recording into one mono FLAC file per channel."""

    name: str

    async def split(
        self,
        recording: Path,
        into: Path,
        agent_channel: str,
        *,
        file_name: str | None = None,
        source: SourceAudio = UNSPECIFIED,
    ) -> SplitRecording:
        """Write `into/<channel>.flac` for each channel, and describe the recording.

        `file_name` is the original name of the recording, for services that require one. `source`
        is what the recording's source says about its audio; it is only passed if it says anything.

        Raises UnsupportedAudio or EmptyRecording with the reason. A damaged recording is split as
        far as it can be decoded, and flagged.
        """
        ...


class SpeechDetector(Protocol):
    """Detects when there is speech."""

    name: str

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        """Return the intervals with speech of a mono audio file, in order and not overlapping."""
        ...


class Transcriber(Protocol):
    """Transcribes the speech of one channel."""

    name: str

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """Transcribe a mono audio file with speech in the intervals `about.speech`.

        A channel without speech has a transcript without segments. Raises EngineUnavailable.
        """
        ...


class Diarizer(Protocol):
    """Separates the voices of a mono recording."""

    name: str

    async def diarize(self, audio: Path, about: ChannelAudio) -> tuple[VoiceTurn, ...]:
        """Return the turns of two voices within `about.speech`, in order and not overlapping.

        Empty if there is one voice only, or too little speech. Raises EngineUnavailable.
        """
        ...


class PeakMeter(Protocol):
    """Measures the waveform of a channel."""

    def __call__(self, flac: Path, sha256: str) -> Peaks:
        """Return the peaks of a mono FLAC file with this hash. Raises EngineUnavailable."""
        ...


class AudioMuter(Protocol):
    """Silences parts of a channel."""

    def __call__(self, flac: Path, intervals: Sequence[Interval], into: Path) -> tuple[int, str]:
        """Write a copy of a mono FLAC file with silence in the intervals into a folder.

        Returns its size and SHA-256. Raises EngineUnavailable.
        """
        ...


@runtime_checkable
class SupportsHints(Protocol):
    """Transcriber that accepts names which are likely to be said."""

    def with_hints(self, names: Sequence[str]) -> Transcriber:
        """Return a transcriber with these hints instead, the most important first."""
        ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """Segments of all channels in order of time, as input of a judge."""

    segments: tuple[Segment, ...]


class SentimentJudge(Protocol):
    """Judges the sentiment of each mention's speaker towards the competitor."""

    name: str

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """Return a result per mention, in the same order: a Judgement, or Unjudged if it failed.

        Raises EngineUnavailable, or another error, if no mention could be judged;
        `engines/sentiment/per_competitor.py` does so for judges that ask for each competitor.
        """
        ...


class SoundMatch(NamedTuple):
    """A run of words, by its index, that sounds like a name.

    `similarity` is 0 to 1, and `phonemes` the number of phonemes of the name that were compared.
    """

    run: int
    name: str
    similarity: float
    phonemes: int


class SoundFinder(Protocol):
    """Finds words that sound like names; `name` says how it knows their sounds."""

    name: str

    def find(self, runs: Sequence[Sequence[str]]) -> Iterator[SoundMatch]:
        """Yield each run of words that sounds like a name, once for each such name."""
        ...


_CURRENT_CALL: ContextVar[str | None] = ContextVar("call", default=None)


@contextmanager
def call_context(call_id: str) -> Iterator[None]:
    """Attribute requests to a call, also those of tasks and threads started within the context.

    A failure that only one call meets says little about the service.
    """
    token = _CURRENT_CALL.set(call_id)
    try:
        yield
    finally:
        _CURRENT_CALL.reset(token)


def current_call_id() -> str | None:
    """Return the call of the current context, or None."""
    return _CURRENT_CALL.get()


class RequestSemaphore(Protocol):
    """Semaphore shared by all runs."""

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold a slot, after waiting for a free one."""
        ...


@dataclass(frozen=True)
class ThrottledSplitter:
    """Splitter with limited concurrent requests."""

    splitter: Splitter
    semaphore: RequestSemaphore

    @property
    def name(self) -> str:
        return self.splitter.name

    async def split(
        self, recording: Path, into: Path, agent_channel: str, **options: Any
    ) -> SplitRecording:
        """See `Splitter`."""
        async with self.semaphore.slot():
            return await self.splitter.split(recording, into, agent_channel, **options)


@dataclass(frozen=True)
class ThrottledTranscriber:
    """Transcriber with limited concurrent requests, one per channel."""

    transcriber: Transcriber
    semaphore: RequestSemaphore

    @property
    def name(self) -> str:
        return self.transcriber.name

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        async with self.semaphore.slot():
            return await self.transcriber.transcribe(audio, about)


@dataclass(frozen=True)
class ThrottledJudge:
    """Judge with limited concurrent requests, one per call."""

    sentiment_judge: SentimentJudge
    semaphore: RequestSemaphore

    @property
    def name(self) -> str:
        return self.sentiment_judge.name

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """See `SentimentJudge`."""
        async with self.semaphore.slot():
            return await self.sentiment_judge.judge(conversation, mentions)


MIN_WORDS = 2
"""A segment with fewer words consists of the name alone."""


@dataclass(frozen=True, slots=True)
class PatternJudge:
    """Judges mentions in segments with a pattern by it, and others by another judge.

    The other judge still sees all mentions of the conversation, since it ignores what is said about
    other competitors; it isn't asked if patterns decide all of them.
    """

    other: SentimentJudge
    read_patterns: ReadPatterns

    @property
    def name(self) -> str:
        return self.other.name

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """See `SentimentJudge`."""
        # In a thread: it queries the database, and other calls are processed meanwhile.
        lists = await asyncio.to_thread(self.read_patterns)
        if not any(lists.values()):
            return tuple(await self.other.judge(conversation, mentions))
        segments = {(each.channel, each.index): each for each in conversation.segments}
        by_pattern = [
            _judge(each, segments.get((each.channel, each.segment_index)), lists)
            for each in mentions
        ]
        if all(by_pattern):
            return tuple(each for each in by_pattern if each)
        results = await self.other.judge(conversation, mentions)
        return tuple(found or result for found, result in zip(by_pattern, results, strict=True))


def _judge(mention: Mention, segment: Segment | None, lists: PatternLists) -> Judgement | None:
    if segment is None or len(segment.text.split()) < MIN_WORDS:
        return None
    return judge_by_pattern(mention, segment, lists)
