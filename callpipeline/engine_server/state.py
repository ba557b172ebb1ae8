"""State of the engine server: engines and their health, patterns, and files that expire."""

import asyncio
import contextlib
import io
import re
import secrets
import shutil
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, Request

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Speaker, SplitRecording
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.engines.ports import Conversation
from callpipeline.errors import PermanentError
from callpipeline.http_server.limits import ConcurrencyLimiter, LoginLimiter
from callpipeline.http_server.security import Signer, UserPasswords
from callpipeline.pipeline.processing.stages import Engines
from callpipeline.storage.results.patterns import PatternFile

Role = Literal["splitter", "speech_detector", "transcriber", "judge"]
ROLES: tuple[Role, ...] = ("splitter", "speech_detector", "transcriber", "judge")
RECHECK_AFTER_S, CHECK_TIMEOUT_S = 10.0, 60.0
_TEXT, _CHANNEL = "acme is better", (Channel.MIXED, Speaker.UNKNOWN)


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """An engine's name, and whether its last request succeeded; `detail` is the error."""

    name: str
    works: bool
    detail: str | None = None

    def as_json(self) -> dict[str, str | bool | None]:
        return {"name": self.name, "works": self.works, "detail": self.detail}


class HealthMonitor:
    """Records the last outcome of each engine, and tests engines that are unused or failing.

    The test is half a second of audio. A busy engine is not tested: the test would wait behind the
    requests of clients.
    """

    def __init__(self, engines: Engines, now: Callable[[], float] = time.monotonic) -> None:
        self._engines = engines
        self._now = now
        self._errors: dict[Role, str | None] = {}
        self._active = dict.fromkeys(ROLES, 0)
        self._check_lock = asyncio.Lock()
        self._checked_at = float("-inf")

    @contextmanager
    def record(self, role: Role) -> Iterator[None]:
        """Record the outcome of the body; a permanent error is not a fault of the engine."""
        self._active[role] += 1
        try:
            yield
        except PermanentError:
            self._errors[role] = None
            raise
        except Exception as error:
            self._errors[role] = type(error).__name__
            raise
        else:
            self._errors[role] = None
        finally:
            self._active[role] -= 1

    async def state(self, folder: Path) -> dict[Role, EngineHealth]:
        """Return the health of each engine; `folder` is for the files of a test."""
        async with self._check_lock:
            if self._needs_check() and self._now() >= self._checked_at + RECHECK_AFTER_S:
                await self._check_all(folder)
                self._checked_at = self._now()
        return {role: self._engine(role) for role in ROLES}

    def _needs_check(self) -> bool:
        """Return True if an idle engine has had no success yet, or failed last."""
        return any(
            not self._active[role] and self._errors.get(role, "never tested") for role in ROLES
        )

    def _engine(self, role: Role) -> EngineHealth:
        name = getattr(self._engines, role).name
        error = self._errors.get(role, None if self._active[role] else "not tested")
        return EngineHealth(name, error is None, error)

    async def _check_all(self, folder: Path) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._check_audio(folder)
                await self._check_judge()
        except Exception as error:
            # `record` has it already, except for engines that the test did not reach in time.
            for role in ROLES:
                if not self._active[role]:
                    self._errors.setdefault(role, type(error).__name__)

    async def _check_audio(self, folder: Path) -> None:
        recording = folder / "test"
        recording.write_bytes(_test_audio())
        with self.record("splitter"):
            split = await self._engines.splitter.split(recording, folder, "left")
        file = folder / f"{split.channels[0].channel}.flac"
        with self.record("speech_detector"):
            await self._engines.speech_detector.detect(file)
        if self._active["transcriber"]:
            return
        with self.record("transcriber"):
            await self._engines.transcriber.transcribe(file, _without_silence(split))

    async def _check_judge(self) -> None:
        segment = Segment(0, 0.0, 1.0, *_CHANNEL, _TEXT)
        transcript = Transcript(*_CHANNEL, engine="test", segments=(segment,))
        mentions = find_mentions([transcript], Matcher(Catalog((Competitor("Acme"),))))
        with self.record("judge"):
            await self._engines.judge.judge(Conversation((segment,)), mentions)


def _without_silence(split: SplitRecording) -> ChannelAudio:
    channel = split.channels[0]
    return replace(channel, speech=(Interval(0.0, channel.duration_s),))


def _test_audio() -> bytes:
    """Return half a second of faint noise as a WAV file: digital silence would test nothing."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(b"".join((i * 7919 % 61).to_bytes(2, "little") for i in range(4000)))
    return file.getvalue()


_NAME = re.compile(r"(\d{1,12})-[0-9a-f]{32}", re.ASCII)


class ExpiringFolders:
    """Folders with random names that contain their expiry time.

    The sweep needs no other record, so it also deletes what a killed server left.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._now = now
        self._own: set[Path] = set()

    def add(self, for_s: float) -> Path:
        """Create a folder that expires after `for_s` seconds."""
        folder = self._root / f"{int(self._now() + for_s) + 1}-{secrets.token_hex(16)}"
        folder.mkdir(mode=0o700)
        self._own.add(folder)
        return folder

    @contextmanager
    def temporary(self, for_s: float) -> Iterator[Path]:
        """Create a folder that is deleted on exit, or when it expires."""
        folder = self.add(for_s)
        try:
            yield folder
        finally:
            self._remove(folder)

    def find(self, name: str) -> Path | None:
        """Return the folder with this name, or None."""
        folder = self._root / name
        return folder if _NAME.fullmatch(name) and folder.is_dir() else None

    def sweep(self) -> None:
        """Delete expired folders."""
        with contextlib.suppress(OSError):
            for folder in self._root.iterdir():
                match = _NAME.fullmatch(folder.name)
                if match and int(match[1]) <= self._now():
                    self._remove(folder)

    def clear(self) -> None:
        """Delete the folders created through this object."""
        for folder in tuple(self._own):
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._own.discard(folder)


@dataclass(frozen=True, slots=True)
class EngineServerState:
    """Everything that requests share, with one concurrency limiter for each service."""

    options: Settings
    engines: Engines
    health: HealthMonitor
    folders: ExpiringFolders
    signer: Signer
    users: UserPasswords
    patterns: PatternFile
    splits: ConcurrencyLimiter
    transcriptions: ConcurrencyLimiter
    analyses: ConcurrencyLimiter
    logins: ConcurrencyLimiter
    failed_logins: LoginLimiter


def state_of(request: Request) -> EngineServerState:
    return request.app.state.engine_server


CurrentState = Annotated[EngineServerState, Depends(state_of)]
