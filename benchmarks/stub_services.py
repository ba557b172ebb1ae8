"""Stub services of the contract in a process of their own, and what benchmarks send through them.

Each recording is 5 s of stereo noise, unlike any other. The services answer at once or after a
delay: a transcript with one mention, and the sentiment of each segment.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile

from callpipeline.config import CHECKOUT

RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds until each service answers."""

    split_s: float = 0.0
    transcription_s: float = 0.0
    sentiment_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.split_s:g}/{self.transcription_s:g}/{self.sentiment_s:g} s"


@contextmanager
def stub_services(delays: Delays) -> Iterator[dict[str, str]]:
    """Run the services; yields the settings of an installation that uses them."""
    command = [sys.executable, "-m", "tests.fakes.services"]
    for name in ("split", "transcription", "sentiment"):
        command += [f"--{name}-seconds", str(getattr(delays, f"{name}_s"))]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            urls: dict[str, str] = {}
            while "stats" not in urls:
                name, _, url = process.stdout.readline().strip().partition(" ")
                urls[name] = url
            yield {
                "CALLPIPELINE_SPLIT_URL": urls["split"],
                "CALLPIPELINE_TRANSCRIPTION_URL": urls["transcription"],
                "CALLPIPELINE_SENTIMENT_URL": urls["sentiment"],
                "CALLPIPELINE_AUTH_URL": urls["auth"],
                "CALLPIPELINE_AUTH_USERNAME": "benchmark",
                "CALLPIPELINE_AUTH_PASSWORD": "benchmark",
            }
        finally:
            process.terminate()


def recording(number: int) -> bytes:
    """Return a WAV file of 80 KB."""
    noise = np.random.default_rng(number).normal(0, 0.05, (5 * RATE_HZ, 2))
    file = io.BytesIO()
    soundfile.write(file, noise, RATE_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()
