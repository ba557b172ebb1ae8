"""Whether the engines work, without asking more of them than is needed to know."""

import asyncio
import io
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Speaker, SplitRecording
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.transcript import Segment, Transcript
from callpipeline.engines.ports import Conversation
from callpipeline.errors import PermanentError
from callpipeline.pipeline.stages import Engines

Role = Literal["splitter", "speech_detector", "transcriber", "judge"]
ROLES: tuple[Role, ...] = ("splitter", "speech_detector", "transcriber", "judge")
TRY_AGAIN_S, TRIAL_S = 10.0, 60.0
_SAID, _SIDE = "acme is better", (Channel.MIXED, Speaker.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's name, whether it worked when it was last asked, and what was wrong then."""

    name: str
    works: bool
    detail: str | None = None

    def described(self) -> dict[str, str | bool | None]:
        return {"name": self.name, "works": self.works, "detail": self.detail}


class Health:
    """Remembers how each engine did last; one that has done nothing yet, or failed, is tried.

    The trial is half a second of sound. While an engine is at work it is not tried: it would wait
    behind the work of others.
    """

    def __init__(self, engines: Engines, now: Callable[[], float] = time.monotonic) -> None:
        self._engines = engines
        self._now = now
        self._problems: dict[Role, str | None] = {}
        self._at_work = dict.fromkeys(ROLES, 0)
        self._trial = asyncio.Lock()
        self._tried_at = float("-inf")

    @contextmanager
    def noted(self, role: Role) -> Iterator[None]:
        """Notes how it went; that a recording is bad says nothing against the engine."""
        self._at_work[role] += 1
        try:
            yield
        except PermanentError:
            self._problems[role] = None
            raise
        except Exception as error:
            self._problems[role] = type(error).__name__
            raise
        else:
            self._problems[role] = None
        finally:
            self._at_work[role] -= 1

    async def state(self, folder: Path) -> dict[Role, Engine]:
        """Each engine; `folder` is for the files of a trial."""
        async with self._trial:
            if self._doubtful() and self._now() >= self._tried_at + TRY_AGAIN_S:
                await self._try_all(folder)
                self._tried_at = self._now()
        return {role: self._engine(role) for role in ROLES}

    def _doubtful(self) -> bool:
        """Whether an engine that is not at work has yet to do anything well."""
        return any(
            not self._at_work[role] and self._problems.get(role, "never tried") for role in ROLES
        )

    def _engine(self, role: Role) -> Engine:
        name = getattr(self._engines, role).name
        problem = self._problems.get(role, None if self._at_work[role] else "not tried")
        return Engine(name, problem is None, problem)

    async def _try_all(self, folder: Path) -> None:
        try:
            async with asyncio.timeout(TRIAL_S):
                await self._hear(folder)
                await self._judge()
        except Exception as error:
            # Told by `noted`, but for what the trial never came to, or waited for too long.
            for role in ROLES:
                if not self._at_work[role]:
                    self._problems.setdefault(role, type(error).__name__)

    async def _hear(self, folder: Path) -> None:
        recording = folder / "trial"
        recording.write_bytes(_half_a_second())
        with self.noted("splitter"):
            split = await self._engines.splitter.split(recording, folder, "left")
        file = folder / f"{split.channels[0].channel}.flac"
        with self.noted("speech_detector"):
            await self._engines.speech_detector.detect(file)
        if self._at_work["transcriber"]:
            return
        with self.noted("transcriber"):
            await self._engines.transcriber.transcribe(file, _all_speech(split))

    async def _judge(self) -> None:
        segment = Segment(0, 0.0, 1.0, *_SIDE, _SAID)
        transcript = Transcript(*_SIDE, engine="trial", segments=(segment,))
        mentions = find_mentions([transcript], Matcher(Catalog((Competitor("Acme"),))))
        with self.noted("judge"):
            await self._engines.judge.judge(Conversation((segment,)), mentions)


def _all_speech(split: SplitRecording) -> ChannelAudio:
    channel = split.channels[0]
    return replace(channel, speech=(Interval(0.0, channel.duration_s),))


def _half_a_second() -> bytes:
    """Of faint noise, as a WAV file: digital silence is no trial."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join((i * 7919 % 61).to_bytes(2, "little") for i in range(4000)))
    return file.getvalue()
