"""Measure the CPU time and memory of splitting: stereo calls without and with leakage.

Each recording is split in a process of its own, which reports its peak memory.

    python -m benchmarks.split [--hours 3]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
CONTROL = ROOT / "tests" / "data" / "recordings" / "c00-control.flac"
RATE_HZ = 8000
RUNS = 2
Sound = NDArray[np.int16]


def a_call(seconds: float, *, leak: float = 0.0, noise: float = 0.0) -> Sound:
    """Return a stereo call of repeated sentences; `leak` is a gain, `noise` an amplitude."""
    sound = soundfile.read(CONTROL)[0]
    sound = np.tile(sound, (int(seconds * RATE_HZ) // len(sound) + 1, 1))
    random = np.random.default_rng(1)
    sound = sound * 0.5 + leak * sound[:, ::-1] * 0.5 + random.normal(0, noise, sound.shape)
    return np.clip(np.rint(sound * 32_767), -32_768, 32_767).astype(np.int16)


def write_mp3(path: Path, sound: Sound) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "stereo", 32_000
        for at in range(0, len(sound), RATE_HZ):
            part = np.ascontiguousarray(sound[at : at + RATE_HZ]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, "s16", "stereo")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def split(path: Path) -> dict[str, float]:
    """Split a recording in this process; return CPU seconds (the best run) and peak MB."""
    from callpipeline.engines.split import LocalSplitter

    def once(recording: Path) -> float:
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            asyncio.run(LocalSplitter().split(recording, Path(folder), "left"))
            return time.process_time() - started

    once(CONTROL)
    cpu_s = min(once(path) for _ in range(RUNS))
    status = Path("/proc/self/status").read_text()
    peak_kb = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return {"cpu_s": cpu_s, "peak_mb": int(peak_kb) / 1024}


def measure(name: str, path: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "benchmarks.split", "--split", str(path)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(output)
    hour_s = found["cpu_s"] * 3600 / seconds
    print(f"{name:<42} {hour_s:6.2f} s CPU per hour of audio, peak {found['peak_mb']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--split", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.split:
        print(json.dumps(split(arguments.split)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, minutes, options in (
            ("ordinary, clean", 10, {}),
            ("ordinary, with noise on the lines", 10, {"noise": 0.001}),
            ("leakage of -20 dB", 10, {"leak": 0.1}),
            (f"ordinary, {arguments.hours:g} hours", arguments.hours * 60, {"noise": 0.001}),
        ):
            sound = a_call(minutes * 60, **options)
            wav, mp3 = Path(folder, "call.wav"), Path(folder, "call.mp3")
            soundfile.write(wav, sound, RATE_HZ)
            write_mp3(mp3, sound)
            measure(f"{name}, WAV", wav, len(sound) / RATE_HZ)
            measure(f"{name}, MP3", mp3, len(sound) / RATE_HZ)


if __name__ == "__main__":
    main()
