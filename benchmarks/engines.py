"""Measure how well a run uses the capacity of a transcription service, and its memory.

Dagster, stores, Postgres, splitter and speech detector are real; login, transcription and sentiment
are HTTP services on this machine, with 1.5 s for each transcription. Run with
`python -m benchmarks.engines`. It prints ratios and asserts nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psycopg
import soundfile

from callpipeline.engines.reference_call import RECORDING
from tests.soak.installation import Installation, installed
from tests.soak.resource_usage import PeakMemory, children

PRODUCT = "callpipeline.definitions"
POLL_S = 0.2
TIMEOUT_S = 1800.0
CUT_S = 7.0
"""Part of the reference call in which both speak."""


@dataclass
class Measured:
    """Results; `wall_s` is from the start of the first run to the end of the last one."""

    calls: int
    requests: int = 0
    at_once: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    states: dict[str, int] = field(default_factory=dict)
    peaks: PeakMemory = field(default_factory=PeakMemory)

    def report(self, takes_s: float, limit: int) -> None:
        ideal_s = self.requests * takes_s / limit
        print(f"\n{self.calls} calls: {self.states}")
        print(
            f"  {self.requests} transcriptions of {takes_s:g} s, {limit} concurrent allowed, "
            f"{self.at_once} observed: ideally {ideal_s:.0f} s"
        )
        print(f"  the run took {self.wall_s:.0f} s: {self.wall_s / ideal_s:.2f} times the ideal")
        print(f"  peak memory: run worker {self.peaks.mb.get('run worker', 0):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--fewer", type=int, default=50, help="calls of the first run; 0: none")
    parser.add_argument("--seconds", type=float, default=1.5, help="duration of a transcription")
    parser.add_argument(
        "--at-once", type=int, default=8, help="concurrent requests that the service allows"
    )
    options = parser.parse_args()
    measured = [
        _measure(calls, options.seconds, options.at_once)
        for calls in (options.fewer, options.calls)
        if calls
    ]
    for each in measured:
        each.report(options.seconds, options.at_once)
    if len(measured) == 2:
        few, many = (each.peaks.mb["run worker"] for each in measured)
        times = measured[1].calls / measured[0].calls
        print(f"\n{times:.0f} times the calls use {many / few:.2f} times the memory")


def _measure(calls: int, takes_s: float, limit: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder, _services(takes_s) as urls:
        environment = {
            "CALLPIPELINE_BATCH_SIZE": str(calls),
            "CALLPIPELINE_CONCURRENCY": str(limit + 4),
            # Hundreds of calls at once are a backlog, which leaves one slot to live calls.
            "CALLPIPELINE_TRANSCRIBER_REQUESTS": str(limit + 1),
            "CALLPIPELINE_TRANSCRIPTION_URL": urls["transcription"],
            "CALLPIPELINE_SENTIMENT_URL": urls["sentiment"],
            "CALLPIPELINE_SENTIMENT_REQUESTS": "4",
            "CALLPIPELINE_AUTH_URL": urls["auth"],
            "CALLPIPELINE_AUTH_USERNAME": "callpipeline",
            "CALLPIPELINE_AUTH_PASSWORD": "secret",
        }
        home = Path(folder) / "data"
        with installed(home, environment, code=PRODUCT, durable=True) as installation:
            staged = _staged(Path(folder), calls)
            time.sleep(15)  # excludes the daemon's own start
            return _processed(installation, staged, calls, urls["stats"])


@contextmanager
def _services(takes_s: float) -> Iterator[dict[str, str]]:
    """Start the services in a separate process; yields their URLs by name."""
    command = [sys.executable, "-m", "tests.fakes.services"]
    with subprocess.Popen(
        [*command, "--transcription-seconds", str(takes_s)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        urls: dict[str, str] = {}
        while "stats" not in urls:
            name, url = process.stdout.readline().split()
            urls[name] = url
        try:
            yield urls
        finally:
            process.terminate()


def _staged(folder: Path, calls: int) -> Path:
    """Write recordings with distinct bytes to a folder that can be moved at once."""
    staged = folder / "staged"
    staged.mkdir()
    samples, rate_hz = soundfile.read(RECORDING, dtype="int16", always_2d=True)
    samples = samples[: int(CUT_S * rate_hz)]
    for number in range(calls):
        noise = np.random.default_rng(number).integers(-3, 4, samples.shape, dtype=np.int16)
        soundfile.write(staged / f"{number:04}.wav", samples + noise, rate_hz)
    return staged


def _processed(installation: Installation, staged: Path, calls: int, stats: str) -> Measured:
    measured = Measured(calls)
    staged.rename(installation.recordings / "dropped")
    began, done = time.monotonic(), 0
    while done < calls and time.monotonic() - began < TIMEOUT_S:
        time.sleep(POLL_S)
        counted = installation.storage.ledger.count()
        measured.states = {str(state): count for state, count in counted.items()}
        done = sum(count for state, count in counted.items() if state.is_final)
        server = installation.running["code-server"].pid
        measured.peaks.update("run worker", children(server))
    measured.wall_s = _wall_s(installation)
    requests = httpx.get(stats).json()["transcription"]
    measured.requests, measured.at_once = requests["attempts"], requests["peak"]
    return measured


def _wall_s(installation: Installation) -> float:
    """Return the time from the start of the first run to the end of the last, from Dagster."""
    query = (
        b"SELECT min(start_time), max(end_time), bool_and(end_time IS NOT NULL) FROM public.runs"
    )
    deadline = time.monotonic() + 60
    with psycopg.connect(installation.url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query).fetchone()
            if row and row[2]:
                return row[1] - row[0]
            time.sleep(POLL_S)
    return float("nan")


if __name__ == "__main__":
    main()
