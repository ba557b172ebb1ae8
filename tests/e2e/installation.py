"""An installation in its own processes, with its own data folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from tests.models import find_model

ROOT = Path(__file__).resolve().parents[2]
CALLPIPELINE = [sys.executable, "-c", "from callpipeline.cli import app; app()"]


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment, of callpipeline's settings only those of the tests."""
    removed = ("CALLPIPELINE_", "DAGSTER_", "DATABASE_URL", "AWS_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    # Without downloads, pocketsphinx transcribes; tests with a real model name its folder.
    settings = {"HOME": str(home), "SETTLE_S": "1", "WEB_PORT": "0", "MODEL_DOWNLOAD": "off"}
    return clean | {f"CALLPIPELINE_{name}": value for name, value in settings.items()}


def recogniser_settings() -> dict[str, str]:
    """Return the settings for Whisper with the model base; none where it is missing."""
    folder = find_model("base")
    return {"CALLPIPELINE_WHISPER_MODEL": str(folder)} if folder else {}


def command(
    home: Path,
    *arguments: str,
    timeout_s: float = 600,
    settings: Mapping[str, str] | None = None,
    program: Sequence[str] = CALLPIPELINE,
) -> subprocess.CompletedProcess[str]:
    """Run a callpipeline command and wait for its end."""
    return subprocess.run(
        [*program, *arguments],
        cwd=ROOT,
        env=environment(home) | dict(settings or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@dataclass
class Up:
    """A running `callpipeline up`."""

    home: Path
    process: subprocess.Popen[str]
    ui: str
    web: str

    def status(self) -> dict[str, Any]:
        done = command(self.home, "status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def graphql(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a query as Dagster's UI does; return its data."""
        body = {"query": query, "variables": variables or {}}
        reply = httpx.post(f"{self.ui}/graphql", json=body, timeout=180)
        reply.raise_for_status()
        document = reply.json()
        assert "errors" not in document, document["errors"]
        return document["data"]

    def call(self, name: str) -> dict[str, Any]:
        """Return the call of a file name; empty before it is registered."""
        return next((c for c in self.status()["calls"] if Path(c["key"]).name == name), {})

    def state_of(self, name: str) -> str | None:
        return self.call(name).get("state")

    def stop(self, kind: signal.Signals = signal.SIGTERM, timeout_s: float = 300) -> int:
        if self.process.poll() is None:
            self.process.send_signal(kind)
        code = self.process.wait(timeout=timeout_s)
        assert self.process.stdout
        self.process.stdout.close()
        return code


def recording(folder: Path, name: str, text: str) -> Path:
    """Write two seconds of noise, with a transcript of the customer's words beside it."""
    transcript(folder, name, text)
    path = folder / f"{name}.wav"
    # Seeded with the name, because two identical recordings would be one call.
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.1, (16000, 2))
    soundfile.write(path, noise, 8000)
    return path


def transcript(folder: Path, name: str, text: str) -> None:
    """Write the transcript of the customer's words for the recording of that name."""
    segment = {"start": 0.0, "end": 2.0, "text": text, "channel": "right"}
    (folder / f"{name}.transcript.json").write_text(json.dumps({"segments": [segment]}))


def start_up(home: Path, timeout_s: float = 900, extra: Mapping[str, str] | None = None) -> Up:
    """Start `callpipeline up` on a free port and wait until it is up.

    `extra` are additional environment variables.
    """
    process = subprocess.Popen(
        [*CALLPIPELINE, "up", "--port", "0"],
        cwd=ROOT,
        env=environment(home) | dict(extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    output: list[str] = []
    deadline = time.monotonic() + timeout_s
    for line in process.stdout:
        output.append(line)
        if "is up" in line:
            break
        assert time.monotonic() < deadline, "".join(output)
    urls = dict(re.findall(r"(UI|pages) +(http://127\.0\.0\.1:\d+)", "".join(output)))
    assert set(urls) == {"UI", "pages"}, "".join(output)
    return Up(home, process, ui=urls["UI"], web=urls["pages"])


def processes_of(home: Path) -> Sequence[str]:
    """Return `PID COMMAND` of each process that uses the data folder."""
    processes: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home).encode() in environ and line:
            processes.append(f"{entry.name} {line[:120]}")
    return processes
