"""Scripted engines: the recording itself says how they behave.

Each result contains a unique word, its `take`, so that results mixed from two attempts are found.
"""

import asyncio
import hashlib
import os
import random
import signal
import string
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.engines.ports import Conversation
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.processing.stages import Engines
from tests.builders import a_channel, a_judgement, a_split
from tests.soak.script import Script, read_script

TEXT = "i am switching to vodafone because it is cheaper"
LOOK_EVERY_S = 0.5
THREADS = 64
"""Each call that waits at a crash point blocks a thread until all have arrived."""


def scripted_engines(folder: Path) -> dict[str, object]:
    """Return the engines by their names in `Engines`.

    They log their requests to the file `requests` of the folder, if it exists.
    """
    log = folder / "requests"
    requests = RequestLog(log if log.exists() else None)
    return {
        "splitter": ScriptedSplitter(requests),
        "speech_detector": ScriptedDetector(),
        "transcriber": ScriptedTranscriber(requests, folder),
        "judge": ScriptedJudge(),
    }


def with_scripted_engines(engines: Engines, folder: Path) -> Engines:
    """Replace the engines of a run by scripted ones."""
    return replace(engines, **scripted_engines(folder))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Log of requests: a line per request with the engine, the call's number and the process."""

    file: Path | None

    def add(self, engine: str, number: int) -> None:
        if self.file:
            with self.file.open("a") as file:  # one write per line, so lines never mix
                file.write(f"{engine} {number} {os.getpid()}\n")


@dataclass(frozen=True, slots=True)
class ScriptedSplitter:
    """Splits into two channels, each a file with the recording's own text."""

    requests: RequestLog
    name: str = "soak-splitter"

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        _provide_threads()
        script = read_script(recording.read_text(errors="replace"))
        self.requests.add("splitter", script.number)
        sides = (Channel.LEFT, Channel.RIGHT)
        return a_split(*[_channel(script, side, into) for side in sides])


def _channel(script: Script, side: Channel, into: Path) -> ChannelAudio:
    content = f"{script.text} {_take()}".encode()
    (into / f"{side}.flac").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return replace(a_channel(side), size_bytes=len(content), sha256=sha256)


class ScriptedDetector:
    """Detects speech in the whole of each channel."""

    name = "soak-detector"

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        return (Interval(0.0, 3600.0),)


@dataclass(frozen=True, slots=True)
class ScriptedTranscriber:
    """The customer names competitors; the agent's word count differs between attempts."""

    requests: RequestLog
    folder: Path
    name: str = "soak-transcriber"

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        script = read_script(audio.read_text())
        self.requests.add("transcriber", script.number)
        await self._wait(script)
        if script.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        if random.random() < script.flaky:
            raise EngineUnavailable("The scripted transcriber is flaky.")
        if about.channel is Channel.RIGHT:
            texts = ["hello"] + [TEXT] * script.mentions
        else:
            texts = ["how can i help"] * random.randint(1, 4)
        take = _take()
        segments = tuple(_segment(f"{take} {text}", i, about) for i, text in enumerate(texts))
        return Transcript(about.channel, about.speaker, self.name, segments)

    async def _wait(self, script: Script) -> None:
        until = time.monotonic() + script.wait_s
        end = end_of_wait(self.folder, script.number)
        while (left_s := until - time.monotonic()) > 0 and not end.exists():
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))


def end_of_wait(folder: Path, number: int) -> Path:
    """Return the file whose creation ends the waits for a call, also those of later attempts."""
    return folder / f"end-of-wait-{number}"


def _segment(text: str, index: int, about: ChannelAudio) -> Segment:
    start_s = index * 10.0
    words = tuple(
        Word(word, start_s + i / 2, start_s + i / 2 + 0.4, 0.9)
        for i, word in enumerate(text.split())
    )
    end_s = words[-1].end_s
    return Segment(index, start_s, end_s, about.channel, about.speaker, text, words)


@dataclass(frozen=True, slots=True)
class ScriptedJudge:
    """Judges every mention neutral."""

    name: str = "soak-judge"

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        return tuple(a_judgement(mention, Sentiment.NEUTRAL) for mention in mentions)


def _take() -> str:
    return "take" + "".join(random.choices(string.ascii_lowercase, k=12))


def _provide_threads() -> None:
    """Give the event loop a thread for each call that may wait at a crash point."""
    loop = asyncio.get_running_loop()
    if not getattr(loop, "soak_threads", False):
        loop.set_default_executor(ThreadPoolExecutor(THREADS))
        loop.soak_threads = True  # pyright: ignore[reportAttributeAccessIssue]
