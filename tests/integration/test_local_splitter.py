"""A recording of three hours is split in little memory, and many concurrently."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.engines.split import LocalSplitter

# Not ru_maxrss: it begins with the memory of the process that started this one, pytest.
SPLIT_AND_MEASURE = """
import asyncio, json, sys
from pathlib import Path
from callpipeline.engines.split import LocalSplitter

result = asyncio.run(LocalSplitter().split(Path(sys.argv[1]), Path(sys.argv[2]), "left"))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak_mb = int(status["VmHWM"].split()[0]) / 1024
print(json.dumps({"duration_s": result.format.duration_s, "peak_mb": peak_mb}))
"""


def three_hours(path: Path) -> Path:
    """Write a mu-law call of three hours with alternating turns of half a minute."""
    rng = np.random.default_rng(1)
    turn = (rng.standard_normal((30 * 8000, 2)) * 0.05).astype(np.float32)
    with soundfile.SoundFile(path, "w", 8000, 2, "ULAW", format="WAV") as file:
        for number in range(360):
            file.write(turn * ((1, 0) if number % 2 else (0, 1)))
    return path


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux reports the peak memory of a process"
)
def test_three_hours_are_split_in_less_than_150_mb(tmp_path: Path) -> None:
    recording = three_hours(tmp_path / "long.wav")
    command = (sys.executable, "-c", SPLIT_AND_MEASURE, str(recording), str(tmp_path / "out"))
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    measured = json.loads(done.stdout)
    assert measured["duration_s"] == 3 * 3600
    assert measured["peak_mb"] < 150
    assert soundfile.info(tmp_path / "out/left.flac").duration == 3 * 3600


def test_many_recordings_are_split_concurrently(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(12):
        noise = rng.integers(-3000, 3000, (8000 * (number + 1), 2)).astype(np.int16)
        soundfile.write(tmp_path / f"{number}.wav", noise, 8000)

    async def split_all() -> list[float]:
        calls = (
            LocalSplitter().split(tmp_path / f"{n}.wav", tmp_path / f"out/{n}", "left")
            for n in range(12)
        )
        return [result.format.duration_s for result in await asyncio.gather(*calls)]

    assert asyncio.run(split_all()) == [float(n + 1) for n in range(12)]


def test_the_event_loop_is_not_blocked_while_a_recording_is_split(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-3000, 3000, (8000 * 240, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 8000)

    async def count_ticks() -> int:
        split = asyncio.ensure_future(
            LocalSplitter().split(tmp_path / "a.wav", tmp_path / "out", "left")
        )
        ticks = 0
        while not split.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await split
        return ticks

    assert asyncio.run(count_ticks()) > 5
