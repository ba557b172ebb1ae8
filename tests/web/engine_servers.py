"""A server of engines on a socket of this machine, and what a client sends to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.pipeline.stages import Engines
from callpipeline.web.engine_server.app import create_app
from callpipeline.web.engine_server.opened import Opened
from tests.fakes.engines import (
    ScriptedJudge,
    ScriptedSpeechDetector,
    ScriptedSplitter,
    ScriptedTranscriber,
)
from tests.processes import until
from tests.soak.installation import free_port

NAME, PASSWORD = "pipeline", "a password of mine"
USERS = {"serve_users": {NAME: SecretStr(PASSWORD)}}


@dataclass
class Served:
    """A running server: its address, its inside, and a client of it."""

    url: str
    opened: Opened
    http: httpx.Client
    stop: Callable[[], None]

    def token(self, name: str = NAME, password: str = PASSWORD) -> httpx.Response:
        form = {"username": name, "password": password}
        return self.http.post("/api/v1/login/access-token", data=form)

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token().json()['access_token']}"}

    def split(self, content: bytes = b"call 1", **fields: str) -> httpx.Response:
        return self.http.post("/split", files={"file": ("call.wav", content)}, data=fields)

    def transcribe(self, content: bytes = b"call 1", **fields: Any) -> httpx.Response:
        files = {"audio_file": ("left.flac", content)}
        url = "/api/v1/transcriptions/"
        return self.http.post(url, files=files, data=fields, headers=self.bearer())

    def analyse(self, context: str, transcript: dict[str, Any]) -> httpx.Response:
        asked = {"context": context, "transcript": transcript}
        return self.http.post("/analyze/contextual", json=asked)


def scripted(**engines: Any) -> Engines:
    """Engines from tests/fakes, unless others are given."""
    chosen = {
        "splitter": ScriptedSplitter(),
        "speech_detector": ScriptedSpeechDetector(),
        "transcriber": ScriptedTranscriber(),
        "judge": ScriptedJudge(),
    }
    return Engines(**chosen | engines)


@contextmanager
def serving(
    settings: Settings, engines: Engines | None = None, *, grace_s: int = 10, **options: Any
) -> Iterator[Served]:
    """A server with these settings, and users, while this is open."""
    chosen = settings.model_copy(update=USERS | options)
    app = create_app(chosen, lambda _: nullcontext(engines or scripted()))
    config = uvicorn.Config(
        app,
        port=free_port(),
        log_level="warning",
        loop="asyncio",
        access_log=False,
        timeout_graceful_shutdown=grace_s,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server", 20)
    url = f"http://127.0.0.1:{config.port}"

    def stop() -> None:
        server.should_exit = True

    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Served(url, app.state.opened, client, stop)
    finally:
        stop()
        thread.join()
