"""Speech detection with the Silero voice activity detector, as an ONNX model.

The model is a file of the package faster-whisper, whose code isn't used: it needs the whole
recording in memory. docs/decisions/0003-voice-detector.md has the measurements.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callpipeline.domain.audio import Interval, merge_intervals
from callpipeline.errors import SettingsInvalid, UnsupportedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_SAMPLES = 512
WINDOW_S = WINDOW_SAMPLES / RATE_HZ
CONTEXT_SAMPLES = 64
"""Samples before a window that the model sees as well."""
STATE_SHAPE = (1, 1, 128)
BLOCK_S = 8
"""Audio read, and passed to the model, at once; larger blocks cost no less CPU time."""
MODEL_FILE = "assets/silero_vad_v6.onnx"

DITHER = 0.001
"""Noise added to the samples, of full scale (-60 dBFS). After digital silence, as on a gated phone
channel, the model's state keeps it from hearing the next words; with noise, it hears them."""
SPEECH_STARTS_AT = 0.15
SPEECH_ENDS_BELOW = 0.08
"""Far below the model's usual 0.5 and 0.35, with which it misses much speech of phone calls."""
MIN_SPEECH_S = 0.1
JOIN_GAP_S = 0.3
PAD_S = 0.12
"""Without padding, recognisers lose the first and last consonants of an utterance."""


class SileroSpeechDetector:
    """Detector that streams a mono file, with fresh detector state per file.

    Raises SettingsInvalid if the model is not installed.
    """

    name = "silero-vad 6"

    def __init__(self) -> None:
        self._model = _model_file()

    def load(self) -> None:
        """Load the model, which the first detection does otherwise."""
        _session(self._model)

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        """See `SpeechDetector`. Raises UnsupportedAudio for a file that is not mono audio."""
        return await asyncio.to_thread(_detect, audio, self._model)


def speech_intervals(probabilities: Iterable[float], duration_s: float) -> tuple[Interval, ...]:
    """Return the intervals with speech, given the probability of a voice in each window of 32 ms.

    Speech starts at 0.15 and ends below 0.08. Gaps under 0.3 s are joined, intervals under 0.1 s
    dropped, and the others padded by 0.12 s on both sides.
    """
    joined = merge_intervals(_above_threshold(probabilities), JOIN_GAP_S)
    voiced = (interval for interval in joined if interval.duration_s >= MIN_SPEECH_S)
    widened = (
        Interval(max(0.0, found.start_s - PAD_S), min(duration_s, found.end_s + PAD_S))
        for found in voiced
    )
    return merge_intervals(widened)


def _above_threshold(probabilities: Iterable[float]) -> Iterator[Interval]:
    start_s: float | None = None
    at_s = 0.0
    for index, probability in enumerate(probabilities):
        at_s = index * WINDOW_S
        if start_s is None and probability >= SPEECH_STARTS_AT:
            start_s = at_s
        elif start_s is not None and probability < SPEECH_ENDS_BELOW:
            yield Interval(start_s, at_s)
            start_s = None
    if start_s is not None:
        yield Interval(start_s, at_s + WINDOW_S)


def _model_file() -> Path:
    """Return the model's path without importing faster-whisper, which takes a second."""
    package = find_spec("faster_whisper")
    folders = (package and package.submodule_search_locations) or []
    found = [Path(folder, MODEL_FILE) for folder in folders if Path(folder, MODEL_FILE).is_file()]
    if not found:
        raise SettingsInvalid(
            "The speech detector's model is missing from the package faster-whisper: reinstall "
            "callpipeline."
        )
    return found[0]


def _detect(audio: Path, model: Path) -> tuple[Interval, ...]:
    import soundfile

    try:
        with soundfile.SoundFile(audio) as file:
            if file.channels != 1:
                raise UnsupportedAudio(f"speech detection needs one channel, not {file.channels}")
            windows = _windows(_resample_to_16_khz(file))
            intervals = speech_intervals(_probabilities(windows, _session(model)), float("inf"))
            duration_s = file.tell() / file.samplerate
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio("the channel's audio can't be read") from error
    return tuple(Interval(i.start_s, min(i.end_s, duration_s)) for i in intervals)


_loading = threading.Lock()


def _session(model: Path) -> Any:
    """Return the session of this process: loading one takes longer than most files do."""
    with _loading:
        return _load(model)


@cache
def _load(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # It runs in the thread that asks, and the state is passed with each block.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Both keep memory of the largest block until the process ends.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _probabilities(blocks: Iterable["NDArray[Any]"], session: Any) -> Iterator[float]:
    """Yield the probability of a voice in each window; state is carried from block to block."""
    import numpy as np

    hidden = cell = np.zeros(STATE_SHAPE, np.float32)
    context = np.zeros((1, CONTEXT_SAMPLES), np.float32)
    noise = np.random.default_rng(0)
    for clean in blocks:
        windows = clean + DITHER * noise.standard_normal(clean.shape, np.float32)
        ends = np.concatenate((context, windows[:, -CONTEXT_SAMPLES:]))
        context = ends[-1:]
        inputs = {"input": np.concatenate((ends[:-1], windows), axis=1), "h": hidden, "c": cell}
        probabilities, hidden, cell = session.run(None, inputs)
        yield from probabilities.tolist()


def _windows(blocks: Iterable["NDArray[Any]"]) -> Iterator["NDArray[Any]"]:
    """Yield rows of 512 samples; the last one is padded with silence."""
    import numpy as np

    rest = np.empty(0, np.float32)
    for block in blocks:
        samples = np.concatenate((rest, block))
        whole = len(samples) - len(samples) % WINDOW_SAMPLES
        if whole:
            yield samples[:whole].reshape(-1, WINDOW_SAMPLES)
        rest = samples[whole:]
    if len(rest):
        yield np.pad(rest, (0, WINDOW_SAMPLES - len(rest))).reshape(1, -1)


def _resample_to_16_khz(file: Any) -> Iterator["NDArray[Any]"]:
    import numpy as np
    import soxr

    resampler = soxr.ResampleStream(file.samplerate, RATE_HZ, 1, dtype="float32")
    # Read until the end: a truncated file has fewer samples than its header says.
    while len(block := file.read(file.samplerate * BLOCK_S, "float32")):
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
