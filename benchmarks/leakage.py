"""List the words that the removal of leakage costs: real calls of two channels, transcribed.

Run with `python -m benchmarks.leakage [--folder FOLDER] [--model FOLDER] [--seconds 60]`; without
options, over the calls in ../shared/audio/calls with .models/tiny.en. Each call is split as it was
recorded, and with the right side mixed into the left one at several gains. Compared are the
transcripts of what was recorded (without any added leakage) and of what is left after the removal.
A recogniser that hears a bit of noise otherwise writes some words otherwise, so the words of the
mixture without removal are counted too.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.error import FFmpegError
from numpy.typing import NDArray
from whisper_normalizer.english import EnglishTextNormalizer

from callpipeline.domain.audio import Channel
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.whisper import WhisperTranscriber
from callpipeline.engines.transcribe.whisper_windows import WhisperModelConfig
from tests.builders import a_channel

ROOT = Path(__file__).resolve().parents[1]
GAINS_DB = (None, -12, -20, -34)
DELAY_S = 0.02
ROUNDING = 2 / 32_768
Sound = NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT.parent / "shared" / "audio" / "calls")
    parser.add_argument("--model", type=Path, default=ROOT / ".models" / "tiny.en")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    calls = [call for call in sorted(options.folder.iterdir()) if _channels(call) == 2]
    with (
        asyncio.Runner() as loop,
        closing(WhisperTranscriber(WhisperModelConfig(options.model), 1)) as transcriber,
    ):
        for call in calls:
            hear = _Hearing(loop, transcriber)
            for line in _compare(call, options.seconds, hear):
                print(line, flush=True)


class _Hearing:
    """Writes samples to a file and returns the normalised words of its transcript."""

    def __init__(self, loop: asyncio.Runner, transcriber: WhisperTranscriber) -> None:
        self._loop, self._transcriber = loop, transcriber
        self._normalise = EnglishTextNormalizer()

    def __call__(self, sound: Sound, rate_hz: int) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder, "channel.flac")
            soundfile.write(audio, np.clip(sound, -1, 1), rate_hz)
            speech = self._loop.run(SileroSpeechDetector().detect(audio))
            about = replace(a_channel(Channel.LEFT), speech=speech)
            transcript = self._loop.run(self._transcriber.transcribe(audio, about))
        return self._normalise(" ".join(each.text for each in transcript.segments)).split()


def _compare(call: Path, seconds: float, hear: _Hearing) -> Iterator[str]:
    sound, rate_hz = read_two_channels(call, seconds)
    recorded = [hear(sound[:, side], rate_hz) for side in (0, 1)]
    for gain_db in GAINS_DB:
        mixed = sound.copy()
        if gain_db is not None:
            late = round(DELAY_S * rate_hz)
            mixed[late:, 0] += sound[: len(sound) - late, 1] * 10 ** (gain_db / 20)
        split, flags = _split(mixed, rate_hz)
        for side, name in enumerate(("left", "right")):
            if gain_db is not None and side:
                continue  # nothing leaked into it
            known, heard = recorded[side], split.get(name)
            leaked = known if gain_db is None else hear(mixed[:, side], rate_hz)
            where = "as recorded" if gain_db is None else f"{gain_db} dB"
            if heard is None:
                yield f"{call.name} {where}, {name}: left out ({', '.join(flags)})"
                continue
            if len(heard) == len(mixed) and np.abs(heard - mixed[:, side]).max() <= ROUNDING:
                yield f"{call.name} {where}, {name}: {len(known)} words, nothing was removed"
                continue
            lost, added = _differences(known, hear(heard, rate_hz))
            without = [len(each) for each in _differences(known, leaked)]
            yield (
                f"{call.name} {where}, {name}: {len(known)} words; with removal {len(lost)} lost, "
                f"{len(added)} added; without it {without[0]} lost, {without[1]} added"
                f"{'; lost: ' + ' '.join(lost) if lost else ''}"
            )


def _split(sound: Sound, rate_hz: int) -> tuple[dict[str, Sound], list[str]]:
    """Return the samples that the splitter keeps, by channel, and its flags."""
    with tempfile.TemporaryDirectory() as folder:
        call = Path(folder, "call.wav")
        soundfile.write(call, np.clip(sound, -1, 1), rate_hz, "PCM_16")
        out = Path(folder, "out")
        out.mkdir()
        made = asyncio.run(LocalSplitter().split(call, out, "left"))
        kept = {file.stem: soundfile.read(file)[0] for file in out.glob("*.flac")}
    return kept, [flag.flag.value for flag in made.flags]


def _differences(known: list[str], heard: list[str]) -> tuple[list[str], list[str]]:
    """Return the words that one transcript lacks, and those that it has in addition."""
    lost: list[str] = []
    added: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, known, heard, autojunk=False).get_opcodes():
        if kind != "equal":
            lost += known[a:b]
            added += heard[c:d]
    return lost, added


def _channels(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            return container.streams.audio[0].channels
    except (FFmpegError, IndexError):
        return 0


def read_two_channels(path: Path, seconds: float) -> tuple[Sound, int]:
    """Return the beginning of a recording with two channels, and its sample rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate_hz = stream.rate
        resampler = av.AudioResampler("flt", layout="stereo", rate=rate_hz)
        parts = [
            each.to_ndarray().reshape(-1, 2)
            for frame in container.decode(stream)
            for each in resampler.resample(frame)
        ]
    return np.concatenate(parts)[: round(seconds * rate_hz)], rate_hz


if __name__ == "__main__":
    main()
