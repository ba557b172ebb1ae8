"""Remote engines connected to the fault server."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import JudgeResult
from callpipeline.domain.transcripts import Transcript, interleave
from callpipeline.engines.http.connections import HttpLimits
from callpipeline.engines.http.service import HttpClient, HttpService
from callpipeline.engines.http.tokens import CHECK_CREDENTIALS, LoginTokens
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.remote import RemoteJudge
from callpipeline.engines.split.remote import RemoteSplitter
from callpipeline.engines.transcribe.remote import RemoteTranscriber
from callpipeline.errors import CallpipelineError
from tests.builders import a_channel, a_mention, a_transcript
from tests.fakes.services import FaultServer

RATE_HZ = 8000
MARKER = "I would rather go to Vodafone."
MENTION = a_mention(char_start=21)
CONVERSATION = Conversation(
    interleave([a_transcript("How can I help?"), a_transcript(MARKER, channel=Channel.RIGHT)])
)


@dataclass
class EngineBench:
    """Engines that never sleep; `slept` has the waits in seconds."""

    services: FaultServer
    folder: Path
    limits: HttpLimits = field(default_factory=HttpLimits)
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # Port faults are changed on the server's thread, which must not wait for this one.
        await asyncio.to_thread(self.on_sleep)

    @cached_property
    def http(self) -> HttpClient:
        return HttpClient(self.limits)

    def service(self, name: str, **options: Any) -> HttpService:
        return self.http.service(name, self.services.url(name), sleep=self.sleep, **options)

    @cached_property
    def tokens(self) -> LoginTokens:
        auth = self.service("auth", failures_are_outages=True, unauthorized_hint=CHECK_CREDENTIALS)
        return LoginTokens(auth, "planted-user", "planted-pass")

    @cached_property
    def splitter(self) -> RemoteSplitter:
        return RemoteSplitter(self.service("split"))

    @cached_property
    def transcriber(self) -> RemoteTranscriber:
        return RemoteTranscriber(self.service("transcription", token_source=self.tokens))

    @cached_property
    def judge(self) -> RemoteJudge:
        return RemoteJudge(self.service("sentiment"))

    async def split(self, file_name: str = "call.wav") -> SplitRecording:
        recording = self.folder / "recording"
        if not recording.exists():
            a_stereo_recording(recording)
        return await self.splitter.split(recording, self.folder, "left", file_name=file_name)

    async def transcribe(self, channel: Channel = Channel.LEFT) -> Transcript:
        audio = self.folder / f"{channel}.flac"
        if not audio.exists():
            sound = np.random.default_rng(1).integers(-3000, 3000, 20 * RATE_HZ).astype(np.int16)
            soundfile.write(audio, sound, RATE_HZ, format="FLAC")
        return await self.transcriber.transcribe(audio, a_channel(channel, (0.0, 18.0)))

    async def judged(self, *mentions: Mention) -> tuple[JudgeResult, ...]:
        return await self.judge.judge(CONVERSATION, mentions or (MENTION,))

    def ask(self, service: str) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that makes an engine use the service."""
        by_service: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "auth": self.transcribe,
            "split": self.split,
            "channel": self.split,
            "transcription": self.transcribe,
            "sentiment": self.judged,
        }
        return by_service[service]()

    def run(self, work: Awaitable[Any]) -> Any:
        """Run a coroutine; return its result, or our error."""

        async def capture() -> Any:
            try:
                return await work
            except CallpipelineError as error:
                return error

        with closing(self.http):
            return asyncio.run(capture())


def a_stereo_recording(path: Path, seconds: float = 4.0, rate_hz: int = RATE_HZ) -> Path:
    """Write noise that is louder on alternating channels."""
    rng = np.random.default_rng(1)
    sound = rng.integers(-3000, 3000, (int(seconds * rate_hz), 2)).astype(np.int16)
    half = len(sound) // 2
    sound[:half, 0] //= 50
    sound[half:, 1] //= 50
    soundfile.write(path, sound, rate_hz, "PCM_16", format="WAV")
    return path
