"""Engines that take turns: no more requests at once than a service bears, over all runs.

Without this each run would send as many as it has calls under way.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from callpipeline.domain.audio import ChannelAudio, SplitRecording
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Verdict
from callpipeline.domain.transcript import Transcript
from callpipeline.engines.ports import Conversation, SentimentJudge, Splitter, Transcriber


class Turns(Protocol):
    """Lets in a limited number at once, over all runs."""

    def turn(self) -> AbstractAsyncContextManager[None]: ...


@dataclass(frozen=True)
class SplitterInTurn:
    """A splitter whose requests wait for their turn."""

    splitter: Splitter
    turns: Turns

    @property
    def name(self) -> str:
        return self.splitter.name

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        """See `Splitter`."""
        async with self.turns.turn():
            return await self.splitter.split(recording, into, agent_channel, file_name=file_name)


@dataclass(frozen=True)
class TranscriberInTurn:
    """A transcriber whose requests, one a channel, wait for their turn."""

    transcriber: Transcriber
    turns: Turns

    @property
    def name(self) -> str:
        return self.transcriber.name

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        async with self.turns.turn():
            return await self.transcriber.transcribe(audio, about)


@dataclass(frozen=True)
class JudgeInTurn:
    """A judge whose requests, one a call, wait for their turn."""

    judge_: SentimentJudge
    turns: Turns

    @property
    def name(self) -> str:
        return self.judge_.name

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Verdict, ...]:
        """See `SentimentJudge`."""
        async with self.turns.turn():
            return await self.judge_.judge(conversation, mentions)
