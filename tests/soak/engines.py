"""Engines that do what the recording itself says, and leave a trace of who made what.

Each work has a `take`, a word that nobody else uses: results of two tries that got mixed have two.
"""

import asyncio
import hashlib
import os
import random
import signal
import string
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcript import Segment, Transcript, Word
from callpipeline.engines.ports import Conversation
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.stages import Engines
from tests.builders import a_channel, a_judgement, a_split
from tests.soak.script import Script, read_script

SAID = "i am switching to vodafone because it is cheaper"
THREADS = 64
"""Calls that stand at a crash point hold a thread each until all have arrived."""


def scripted(asked: Path | None = None) -> dict[str, object]:
    """The engines by their names in `Engines`; what they are asked is noted in a file."""
    scribe = Scribe(asked)
    return {
        "splitter": Splitter(scribe),
        "speech_detector": Detector(),
        "transcriber": Transcriber(scribe),
        "judge": Judge(scribe),
    }


def with_scripted(engines: Engines, asked: Path | None = None) -> Engines:
    """The engines of a run, replaced by scripted ones."""
    return replace(engines, **scripted(asked))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Scribe:
    """Notes in a file, a line each, which engine was asked about which call."""

    file: Path | None

    def note(self, engine: str, number: int) -> None:
        if self.file:
            with self.file.open("a") as file:  # appended at once: lines of processes do not mix
                file.write(f"{engine} {number} {os.getpid()}\n")


@dataclass(frozen=True, slots=True)
class Splitter:
    """Two channels, each a file with the recording's own text."""

    scribe: Scribe
    name: str = "soak-splitter"

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        _have_threads()
        script = read_script(recording.read_text(errors="replace"))
        self.scribe.note("splitter", script.number)
        sides = (Channel.LEFT, Channel.RIGHT)
        return a_split(*[_channel(script, side, into) for side in sides])


def _channel(script: Script, side: Channel, into: Path) -> ChannelAudio:
    content = f"{script.text} {_take()}".encode()
    (into / f"{side}.flac").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return replace(a_channel(side), size_bytes=len(content), sha256=sha256)


class Detector:
    """Hears a voice all over each channel."""

    name = "soak-detector"

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        return (Interval(0.0, 3600.0),)


@dataclass(frozen=True, slots=True)
class Transcriber:
    """The customer names competitors; how many words the agent needs differs from try to try."""

    scribe: Scribe
    name: str = "soak-transcriber"

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        script = read_script(audio.read_text())
        self.scribe.note("transcriber", script.number)
        await asyncio.sleep(script.wait_s)
        if script.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        if random.random() < script.flaky:
            raise EngineUnavailable("The scripted transcriber is flaky.")
        if about.channel is Channel.RIGHT:
            said = ["hello"] + [SAID] * script.mentions
        else:
            said = ["how can i help"] * random.randint(1, 4)
        take = _take()
        segments = tuple(_segment(f"{take} {text}", i, about) for i, text in enumerate(said))
        return Transcript(about.channel, about.speaker, self.name, segments)


def _segment(text: str, index: int, about: ChannelAudio) -> Segment:
    start_s = index * 10.0
    words = tuple(
        Word(word, start_s + place / 2, start_s + place / 2 + 0.4, 0.9)
        for place, word in enumerate(text.split())
    )
    end_s = words[-1].end_s
    return Segment(index, start_s, end_s, about.channel, about.speaker, text, words)


@dataclass(frozen=True, slots=True)
class Judge:
    """Finds every mention neutral."""

    scribe: Scribe
    name: str = "soak-judge"

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        return tuple(a_judgement(mention, Sentiment.NEUTRAL) for mention in mentions)


def _take() -> str:
    return "take" + "".join(random.choices(string.ascii_lowercase, k=12))


def _have_threads() -> None:
    """Give the event loop as many threads as calls may wait at crash points."""
    loop = asyncio.get_running_loop()
    if not getattr(loop, "soak_threads", False):
        loop.set_default_executor(ThreadPoolExecutor(THREADS))
        loop.soak_threads = True  # pyright: ignore[reportAttributeAccessIssue]
