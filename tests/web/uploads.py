"""Uploads to the app, and the files and calls that result."""

import io
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import soundfile
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage
from tests.processes import free_port, until
from tests.web.app_server import serving
from tests.web.served import Served

KEY = "a key of sixteen or more"
WITH_KEY: dict[str, Any] = {"api_key": SecretStr(KEY)}
_numbers = itertools.count()


def a_recording(seed: int | None = None) -> bytes:
    """Return 0.1 s of unique noise."""
    noise = np.random.default_rng(next(_numbers) + 1000 if seed is None else seed)
    wav = io.BytesIO()
    soundfile.write(wav, noise.uniform(-0.3, 0.3, (800, 2)), 8000, "PCM_16", format="WAV")
    return wav.getvalue()


@dataclass
class Sender:
    """Uploads files, and inspects the store and the ledger."""

    client: httpx.Client
    settings: Settings
    storage: Storage

    def upload(
        self, content: bytes, name: str | bytes = "call.wav", **headers: str
    ) -> httpx.Response:
        """Build the form by hand: clients sanitize names."""
        sent = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
        body = (
            b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
            b"Content-Type: audio/wav\r\n\r\n%s\r\n--xyz--\r\n" % (sent, content)
        )
        form = {"Content-Type": "multipart/form-data; boundary=xyz"}
        return self.client.post("/upload", content=body, headers=form | headers)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(str(self.client.base_url))
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def objects(self) -> list[str]:
        """Return the keys of all recordings."""
        return [found.key for found in self.storage.inbox.list()]

    def calls(self) -> int:
        return sum(self.storage.ledger.count().values())

    def landed(self) -> list[Path]:
        """Return the files in the upload folder, except locks."""
        # Not by a glob, which fails where a folder goes while it looks.
        below = os.walk(self.settings.home / "uploads")
        found = [Path(folder, name) for folder, _, names in below for name in names]
        return [path for path in found if path.name != "lock"]


@contextmanager
def sending(
    settings: Settings,
    storage: Storage,
    change: Callable[[AppState], AppState] = lambda opened: opened,
) -> Iterator[Sender]:
    """Serve an app with a key, on the store and ledger of `storage`."""
    known = {
        "database_url": SecretStr(storage.database.url),
        "api_key": SecretStr(KEY),
    }
    options = settings.model_copy(update=known)
    headers = {"X-API-KEY": KEY}
    with (
        serving(options, change) as address,
        httpx.Client(base_url=address, headers=headers, timeout=300) as client,
    ):
        yield Sender(client, options, storage)


@contextmanager
def sending_to(app: Served) -> Iterator[Sender]:
    """Yield a sender to the module's app, which has this key."""
    with app.client(**{"X-API-KEY": KEY}) as client:
        yield Sender(client, app.settings, app.storage)


@contextmanager
def app_process(
    settings: Settings, storage: Storage
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the app in a process of its own; yield the process and its port."""
    port = free_port()
    environment = os.environ | {
        "CALLPIPELINE_HOME": str(settings.home),
        "DATABASE_URL": storage.database.url,
        "CALLPIPELINE_API_KEY": KEY,
        "CALLPIPELINE_WEB_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "callpipeline.web"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(port), "the app", 60, every_s=0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code in (200, 503)
    except httpx.TransportError:
        return False
