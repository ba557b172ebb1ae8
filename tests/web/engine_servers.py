"""An engine server on a local socket, and a client of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.engine_server.app import create_app
from callpipeline.engine_server.state import EngineServerState
from callpipeline.pipeline.processing.stages import Engines
from tests.fakes.engines import (
    ScriptedJudge,
    ScriptedSpeechDetector,
    ScriptedSplitter,
    ScriptedTranscriber,
)
from tests.processes import free_port, until

NAME, PASSWORD = "pipeline", "a long enough password"
USERS = {"serve_users": {NAME: SecretStr(PASSWORD)}}


@dataclass
class Served:
    """A running server: its URL, its state, and a client."""

    url: str
    state: EngineServerState
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
        body = {"context": context, "transcript": transcript}
        return self.http.post("/analyze/contextual", json=body)


def scripted(**engines: Any) -> Engines:
    """Return engines from tests/fakes, except for the given ones."""
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
    """Run a server with these settings and a user."""
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
        with httpx.Client(base_url=url, timeout=300) as client:
            yield Served(url, app.state.engine_server, client, stop)
    finally:
        stop()
        thread.join()
