"""Measure playback of a long call: its waveform, opening it, and seeking to its end.

Run with `python -m benchmarks.playback`. The call of two hours is the reference call,
repeated. It prints ratios and asserts nothing.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import soundfile

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.engines.reference_call import RECORDING
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.split.channel_files import measure_peaks
from callpipeline.pipeline.processing.stages import measure_channel_peaks
from callpipeline.pipeline.reading.playback import open_playback
from callpipeline.storage.objects.ports import RangeFile
from callpipeline.storage.objects.urls import ObjectStore, S3Access, open_store
from callpipeline.storage.results.serialization import peaks_to_json

Made = TypeVar("Made")
RANGE_BYTES = 256 * 1024


@dataclass(frozen=True)
class LocalAudio:
    """The audio of the call, in a folder."""

    split: SplitRecording
    store: ObjectStore

    def split_recording(self, call_id: str) -> SplitRecording:
        return self.split

    def open_channel(self, call_id: str, channel: Channel) -> RangeFile:
        return RangeFile(self.store, f"{channel}.flac")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = long_call(folder / "call.wav", options.hours)
        work = LocalSplitter().split(recording, folder, "left")
        split, split_s = timed(lambda: asyncio.run(work))
        waveform(split, folder, split_s)
        playback(LocalAudio(split, open_store(str(folder), S3Access())))
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def long_call(path: Path, hours: float) -> Path:
    samples, rate_hz = soundfile.read(RECORDING, dtype="int16")
    with soundfile.SoundFile(path, "w", rate_hz, 2, "PCM_16") as file:
        while file.tell() < hours * 3600 * rate_hz:
            file.write(samples)
    return path


def waveform(split: SplitRecording, folder: Path, split_s: float) -> None:
    peaks, peaks_s = timed(lambda: measure_channel_peaks(split, folder, measure_peaks))
    kb = [len(peaks_to_json(each)) // 1024 for each in peaks.values()]
    print(f"split {split_s:.2f} s; peaks {peaks_s:.2f} s: {peaks_s / split_s:.2f} of it; {kb} KB")


def playback(audio: LocalAudio) -> None:
    opened, open_s = timed(lambda: open_playback(audio, "call"))
    size = opened.size_bytes
    end = [timed(lambda: list(opened.blocks(size - RANGE_BYTES)))[1] for _ in range(20)]
    begin = [timed(lambda: list(opened.blocks(0, RANGE_BYTES)))[1] for _ in range(20)]
    whole_s = timed(lambda: sum(map(len, opened.blocks())))[1]
    last_s = sorted(end)[10]
    print(f"{opened.duration_s / 3600:.1f} h, {size // 2**20} MB: opened in {open_s * 1000:.1f} ms")
    print(f"last {RANGE_BYTES // 1024} KB in {last_s * 1000:.1f} ms (max {max(end) * 1000:.1f}), ")
    print(f"the first in {sorted(begin)[10] * 1000:.1f} ms")
    print(f"reading from the beginning {whole_s:.2f} s: {whole_s / last_s:.0f} times as long")


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


if __name__ == "__main__":
    main()
