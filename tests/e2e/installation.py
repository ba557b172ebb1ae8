"""A whole installation in processes of its own, on a data folder of its own."""

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

ROOT = Path(__file__).resolve().parents[2]
CALLPIPELINE = [sys.executable, "-c", "from callpipeline.cli import app; app()"]


def environment(home: Path) -> dict[str, str]:
    """This process's environment without settings of callpipeline but the data folder."""
    ours = ("CALLPIPELINE_", "DAGSTER_", "DATABASE_URL", "AWS_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    ours = {"HOME": str(home), "SETTLE_S": "1", "WEB_PORT": "0"}
    return clean | {f"CALLPIPELINE_{name}": value for name, value in ours.items()}


def command(
    home: Path, *arguments: str, timeout_s: float = 60, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a callpipeline command to its end."""
    return subprocess.run(
        [*CALLPIPELINE, *arguments],
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
        return json.loads(command(self.home, "status", "--json").stdout)

    def graphql(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask what Dagster's UI asks."""
        body = {"query": query, "variables": variables or {}}
        reply = httpx.post(f"{self.ui}/graphql", json=body, timeout=60)
        reply.raise_for_status()
        document = reply.json()
        assert "errors" not in document, document["errors"]
        return document["data"]

    def call(self, name: str) -> dict[str, Any]:
        """The call whose recording has this file name; empty before it is registered."""
        return next((c for c in self.status()["calls"] if Path(c["key"]).name == name), {})

    def state_of(self, name: str) -> str | None:
        return self.call(name).get("state")

    def stop(self, kind: signal.Signals = signal.SIGTERM, timeout_s: float = 40) -> int:
        if self.process.poll() is None:
            self.process.send_signal(kind)
        code = self.process.wait(timeout=timeout_s)
        assert self.process.stdout
        self.process.stdout.close()
        return code


def recording(folder: Path, name: str, said: str) -> Path:
    """Two seconds of sound in a folder, with a transcript beside it of what the customer says."""
    transcript(folder, name, said)
    path = folder / f"{name}.wav"
    # By its name, so that no two recordings are the same, which would be one call.
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.1, (16000, 2))
    soundfile.write(path, noise, 8000)
    return path


def transcript(folder: Path, name: str, said: str) -> None:
    """What the customer says, beside the recording of that name."""
    segment = {"start": 0.0, "end": 2.0, "text": said, "channel": "right"}
    (folder / f"{name}.transcript.json").write_text(json.dumps({"segments": [segment]}))


def start_up(home: Path, timeout_s: float = 90, also: Mapping[str, str] | None = None) -> Up:
    """Start `callpipeline up` on a free port and wait until it says that it is up.

    `also` are further variables of its environment.
    """
    process = subprocess.Popen(
        [*CALLPIPELINE, "up", "--port", "0"],
        cwd=ROOT,
        env=environment(home) | dict(also or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said: list[str] = []
    deadline = time.monotonic() + timeout_s
    for line in process.stdout:
        said.append(line)
        if "is up" in line:
            break
        assert time.monotonic() < deadline, "".join(said)
    told = dict(re.findall(r"(UI|pages) +(http://127\.0\.0\.1:\d+)", "".join(said)))
    assert set(told) == {"UI", "pages"}, "".join(said)
    return Up(home, process, ui=told["UI"], web=told["pages"])


def processes_of(home: Path) -> Sequence[str]:
    """The command lines of processes that work on the data folder."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home).encode() in environ and line:
            found.append(f"{entry.name} {line[:120]}")
    return found
