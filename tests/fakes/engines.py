"""Engines that answer from a script, raise given failures, and record their requests.

The scripted splitter writes `<recording> <channel>` into each channel's file, where `<recording>`
is the content of the recording, by which the engines after it identify the call.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, Sentiment
from callpipeline.domain.transcripts import Transcript
from callpipeline.domain.voices import VoiceTurn
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.per_competitor import judge_per_competitor
from tests.builders import a_channel, a_judgement, a_split, a_transcript, channel_files

Failures = Mapping[str, Exception]


class _Scripted:
    """Records requests; `meets` requests must be in progress at once before any returns."""

    def __init__(self, failures: Failures | None = None, *, meets: int = 1) -> None:
        self.failures = failures or {}
        self.asked: list[str] = []
        self.finished: list[str] = []
        self.most_at_once = 0
        self._inside = 0
        self._meets = meets

    async def _work_on(self, what: str) -> None:
        self.asked.append(what)
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            while self.most_at_once < self._meets:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            if what in self.failures:
                raise self.failures[what]
            self.finished.append(what)
        finally:
            self._inside -= 1


class ScriptedSplitter(_Scripted):
    """Splits every recording into an agent on the left and a customer on the right."""

    name = "scripted-splitter"

    async def split(
        self,
        recording: Path,
        into: Path,
        agent_channel: str,
        *,
        file_name: str | None = None,
        source: SourceAudio = UNSPECIFIED,
    ) -> SplitRecording:
        content = recording.read_text(errors="replace")
        await self._work_on(content)
        split = a_split(a_channel(Channel.LEFT), a_channel(Channel.RIGHT))
        channel_files(split, into, content)
        return split


class ScriptedSpeechDetector(_Scripted):
    """Detects the speech in `hears`, by default the first second."""

    name = "scripted-speech-detector"

    def __init__(
        self,
        failures: Failures | None = None,
        *,
        hears: Mapping[str, Sequence[Interval]] | None = None,
    ) -> None:
        super().__init__(failures)
        self.hears = hears or {}

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        content = audio.read_text(errors="replace")
        await self._work_on(content)
        return tuple(self.hears.get(content, (Interval(0.0, 1.0),)))


class ScriptedDiarizer(_Scripted):
    """Finds `turns` in every channel."""

    name = "scripted-diarizer"

    def __init__(self, *turns: VoiceTurn, failures: Failures | None = None, meets: int = 1) -> None:
        super().__init__(failures, meets=meets)
        self.turns = turns

    async def diarize(self, audio: Path, about: ChannelAudio) -> tuple[VoiceTurn, ...]:
        await self._work_on(audio.read_text(errors="replace"))
        return self.turns


class ScriptedTranscriber(_Scripted):
    """Transcribes the text in `hears`, by default nothing."""

    name = "scripted-transcriber"

    def __init__(
        self,
        failures: Failures | None = None,
        *,
        hears: Mapping[str, str] | None = None,
        meets: int = 1,
    ) -> None:
        super().__init__(failures, meets=meets)
        self.hears = hears or {}

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        content = audio.read_text()
        await self._work_on(content)
        texts = [self.hears[content]] if content in self.hears else []
        return a_transcript(*texts, channel=about.channel, engine=self.name)


class ScriptedJudge(_Scripted):
    """Judges each competitor as in `thinks`, by default neutral, one request each."""

    name = "scripted-judge"

    def __init__(
        self,
        failures: Failures | None = None,
        *,
        thinks: Mapping[str, Sentiment] | None = None,
        meets: int = 1,
    ) -> None:
        super().__init__(failures, meets=meets)
        self.thinks = thinks or {}

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        return await judge_per_competitor(mentions, self._ask)

    async def _ask(self, competitor: str, mentions: Sequence[Mention]) -> Sequence[Judgement]:
        await self._work_on(competitor)
        thinks = self.thinks.get(competitor, Sentiment.NEUTRAL)
        return [a_judgement(mention, thinks) for mention in mentions]
