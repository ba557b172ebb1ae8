"""Measure what recognisers hear, lose and invent, and what they cost; plain Whisper beside ours.

Run with `python -m benchmarks.hearing`. It needs recordings with references (--folder, by default
../shared) and the models (`callpipeline models pull base`, or --models FOLDER). Each recogniser has
a process of its own, and results are compared within one run. It asserts nothing.

WER is computed after Whisper's English normaliser. "Lost" are seconds of detected speech more than
a second from any word. Names are those of cases/hearing, found within 0.7 s of their sentence;
"false" ones are written in a sentence that has no such name.
"""

import argparse
import asyncio
import io
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from callpipeline.domain.audio import Channel, ChannelAudio, Interval
from callpipeline.domain.transcripts import Segment, Transcript, Word, measure_unheard
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.transcribe.hints import letters_of
from tests.builders import a_channel
from tests.sounds import KINDS, RATE_HZ, a_sound

ROOT = Path(__file__).resolve().parents[1]
WHISPER_RATE_HZ = 16_000
NAME_SLACK_S = 0.7
RECOGNISERS = {
    "plain base": ("plain", "base"),
    "base": ("ours", "base"),
    "base, no hints": ("no hints", "base"),
    "plain tiny.en": ("plain", "tiny.en"),
    "tiny.en": ("ours", "tiny.en"),
    "tiny.en, no hints": ("no hints", "tiny.en"),
    "pocketsphinx": ("pocketsphinx", ""),
}

Recognise = Callable[[Path, ChannelAudio], list[Word]]


@dataclass
class Item:
    """Samples at 16 kHz of one channel, with a reference text if there is one."""

    name: str
    kind: str
    samples: Any
    reference: str | None = None


@dataclass
class Results:
    """What a recogniser made of all items."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    lost_s: dict[str, float] = field(default_factory=dict[str, float])
    found: int = 0
    spoken: int = 0
    false: list[str] = field(default_factory=list[str])
    invented: int = 0
    cpu_s: float = 0.0
    audio_s: float = 0.0
    memory_mb: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--models", type=Path, default=ROOT / "data" / "models" / "whisper")
    parser.add_argument("--only", nargs="*", choices=RECOGNISERS, default=[*RECOGNISERS])
    parser.add_argument("--child", choices=RECOGNISERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.folder / "cases" / "hearing").is_dir():
        sys.exit(f"{options.folder} has no recordings with references: name another with --folder.")
    if options.child:
        print(json.dumps(asdict(_measure(options.child, options.folder, options.models))))
        return
    results: dict[str, Results] = {}
    for name in options.only:
        try:
            results[name] = _in_child(name, options.folder, options.models)
        except subprocess.CalledProcessError as error:  # the other results took long
            print(f"{name} failed: {(error.stderr or '').strip()[-500:]}", file=sys.stderr)
    _report(results, _items(options.folder))


def _in_child(name: str, folder: Path, models: Path) -> Results:
    print(f"{name} …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.hearing", "--child", name]
    command += ["--folder", str(folder), "--models", str(models)]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Results(**json.loads(run.stdout.splitlines()[-1]))


def _measure(name: str, folder: Path, models: Path) -> Results:
    items = _items(folder)
    truth = json.loads((folder / "cases" / "hearing" / "truth.json").read_text())
    hints = json.loads((folder / "cases" / "hearing" / "hints.json").read_text())
    names = [hint for hint in hints if hint != hint.lower() or hint == "giffgaff"]
    kind, model = RECOGNISERS[name]
    results = Results()
    with tempfile.TemporaryDirectory() as temporary:
        recognise = _recogniser(kind, models / model, names)
        before_s = _cpu_s()
        detecting_s = 0.0
        for item in items:
            audio = Path(temporary) / "audio.wav"
            soundfile.write(audio, item.samples, WHISPER_RATE_HZ, "FLOAT")
            started_s = _cpu_s()
            speech = asyncio.run(SileroSpeechDetector().detect(audio))
            detecting_s += _cpu_s() - started_s
            words = recognise(audio, replace(a_channel(Channel.LEFT), speech=speech))
            _judge(results, item, words, speech, truth, names)
        if isinstance(closer := getattr(recognise, "close", None), Callable):
            closer()
        results.cpu_s = _cpu_s() - before_s - (detecting_s if kind == "plain" else 0.0)
    results.memory_mb = max(_usage(who).ru_maxrss for who in _PROCESSES) / 1024
    return results


def _judge(
    results: Results,
    item: Item,
    words: Sequence[Word],
    speech: Sequence[Interval],
    truth: dict[str, Any],
    names: Sequence[str],
) -> None:
    results.audio_s += len(item.samples) / WHISPER_RATE_HZ
    results.texts[item.name] = " ".join(word.text for word in words)
    if item.kind == "no speech":
        results.invented += len(words)
        return
    segment = Segment(0, 0, 0, Channel.LEFT, a_channel(Channel.LEFT).speaker, "", tuple(words))
    transcript = Transcript(Channel.LEFT, segment.speaker, "", (segment,) if words else ())
    results.lost_s[item.name] = measure_unheard(transcript, speech).unheard_s or 0.0
    for start_s, end_s, text, said in truth.get(item.name.removeprefix("names_"), []):
        near = [
            w.text
            for w in words
            if start_s - NAME_SLACK_S <= (w.start_s + w.end_s) / 2 <= end_s + NAME_SLACK_S
        ]
        heard, spoken = letters_of(" ".join(near)), letters_of(text)
        results.spoken += len(said)
        results.found += sum(letters_of(name) in heard for name in said)
        written = (name for name in names if len(name) > 2 and letters_of(name) in heard)
        results.false += [
            f"{name} in {text!r}" for name in written if letters_of(name) not in spoken
        ]


def _recogniser(kind: str, model: Path, names: Sequence[str]) -> Recognise:
    if kind == "plain":
        return _plain(model)
    if kind == "pocketsphinx":
        from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber

        return _Transcribing(PocketsphinxTranscriber(1))
    from callpipeline.engines.transcribe.whisper import WhisperTranscriber
    from callpipeline.engines.transcribe.whisper_windows import WhisperModelConfig

    hints = names if kind == "ours" else ()
    return _Transcribing(WhisperTranscriber(WhisperModelConfig(model), 1, hints=hints))


class _Transcribing:
    """Calls one of our recognisers."""

    def __init__(self, transcriber: Any) -> None:
        self._transcriber = transcriber
        self._loop = asyncio.Runner()

    def __call__(self, audio: Path, about: ChannelAudio) -> list[Word]:
        transcript = self._loop.run(self._transcriber.transcribe(audio, about))
        return [word for segment in transcript.segments for word in segment.words]

    def close(self) -> None:
        with closing(self._transcriber):
            self._loop.close()


def _plain(model: Path) -> Recognise:
    """Return faster-whisper with its defaults and word times, on one thread."""
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)

    def recognise(audio: Path, _: ChannelAudio) -> list[Word]:
        segments, _info = whisper.transcribe(str(audio), language="en", word_timestamps=True)
        return [
            Word(word.word.strip(), word.start, word.end, word.probability)
            for segment in segments
            for word in segment.words or ()
        ]

    return recognise


def _items(folder: Path) -> list[Item]:
    items: list[Item] = []
    for wav in sorted((folder / "audio" / "speech").glob("*.wav")):
        text = wav.with_suffix(".txt").read_text().replace(" / ", " ")
        for samples in _channels(wav)[:1]:
            items.append(Item(wav.stem, "16 kHz", samples, text))
            items.append(Item(f"{wav.stem} 8 kHz", "8 kHz", _through_mulaw(samples), text))
    for wav in sorted((folder / "cases" / "hearing").glob("*.wav")):
        items += [Item(wav.stem, "case", samples) for samples in _channels(wav)]
    for recording in sorted((folder / "audio" / "calls").iterdir()):
        if recording.suffix != ".txt":
            channels = _channels(recording)
            items += [
                Item(f"{recording.name} {n}", "call", samples) for n, samples in enumerate(channels)
            ]
    for kind in KINDS:
        resampled = soxr.resample(a_sound(kind), RATE_HZ, WHISPER_RATE_HZ)
        items.append(Item(kind, "no speech", resampled.astype(np.float32)))
    return items


def _channels(recording: Path) -> list[Any]:
    """Decode a recording into its channels at 16 kHz."""
    with av.open(str(recording)) as container:
        resampler = av.AudioResampler(format="fltp", rate=WHISPER_RATE_HZ)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        frames += resampler.resample(None)
    return list(np.concatenate([frame.to_ndarray() for frame in frames], axis=1))


def _through_mulaw(samples: Any) -> Any:
    """Return samples as a telephone line transmits them: 8 kHz, µ-law."""
    line = io.BytesIO()
    soundfile.write(
        line, soxr.resample(samples, WHISPER_RATE_HZ, RATE_HZ), RATE_HZ, "ULAW", format="WAV"
    )
    line.seek(0)
    received, _ = soundfile.read(line, dtype="float32")
    return soxr.resample(received, RATE_HZ, WHISPER_RATE_HZ)


_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
_usage = partial(resource.getrusage)


def _cpu_s() -> float:
    return sum(_usage(who).ru_utime + _usage(who).ru_stime for who in _PROCESSES)


def _report(results: dict[str, Results], items: Sequence[Item]) -> None:
    print(
        f"\n{'':20}{'WER':>6}{'WER':>7}{'lost':>7}{'names':>9}{'false':>6}{'invented':>9}"
        f"{'CPU s':>8}{'memory':>8}\n{'':20}{'16 kHz':>6}{'8 kHz':>7}{'s':>7}{'found':>9}"
        f"{'':6}{'words':>9}{'per s':>8}{'MB':>8}"
    )
    for name, each in results.items():
        print(
            f"{name:20}{_wer(each, items, '16 kHz'):6.3f}{_wer(each, items, '8 kHz'):7.3f}"
            f"{sum(each.lost_s.values()):7.1f}{each.found:6} / {each.spoken}{len(each.false):5}"
            f"{each.invented:9}{each.cpu_s / each.audio_s:8.3f}{each.memory_mb:8.0f}"
        )
    for name, each in results.items():
        lost = {item: f"{lost_s:.1f}" for item, lost_s in each.lost_s.items() if lost_s > 0}
        if lost:
            print(f"\n{name} lost: " + ", ".join(f"{item} {s} s" for item, s in lost.items()))
        if each.false:
            print(f"\n{name} invented: " + "; ".join(each.false))


def _wer(results: Results, items: Sequence[Item], kind: str) -> float:
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()
    pairs = [
        (normalise(item.reference), normalise(results.texts[item.name]))
        for item in items
        if item.kind == kind and item.reference
    ]
    return float(jiwer.wer([said for said, _ in pairs], [heard or "-" for _, heard in pairs]))


if __name__ == "__main__":
    main()
