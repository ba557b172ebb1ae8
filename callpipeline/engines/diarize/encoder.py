"""The voice encoder: embeddings of windows of speech, near each other for the same voice.

A network of three LSTM layers (generalised end-to-end loss, arXiv:1710.10467), run with
onnxruntime. `docs/make_voice_encoder.py` made the file from published weights; its licence is
beside it. Embeddings identify a person's voice: they stay in memory, and are never stored.
"""

import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.engines.diarize.mel import RATE_HZ, STEP_SAMPLES, mel_spectrogram
from callpipeline.errors import EngineUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = Path(__file__).with_name("encoder.onnx")
EMBEDDING_SIZE = 256
FRAME_S = STEP_SAMPLES / RATE_HZ

WINDOW_S = 1.6
"""The length that the encoder was trained on."""
HOP_S = 0.5
MIN_WINDOW_S = 0.3
BATCH = 16
MAX_READ_S = 30.0
LEVEL_DBFS = -30.0
"""Loudness of the speech that the encoder was trained on."""

_sessions = threading.local()


@dataclass(frozen=True, slots=True)
class EncodedSpeech:
    """Windows of speech: their times, the utterance of each, and an embedding of length 1 each.

    An utterance is speech without a pause; windows of 1.6 s cover it every 0.5 s, and a shorter
    one is a window itself. `embeddings` has the shape (windows, 256).
    """

    starts_s: "NDArray[np.float64]"
    ends_s: "NDArray[np.float64]"
    utterances: "NDArray[np.int64]"
    embeddings: "NDArray[np.float32]"

    def __len__(self) -> int:
        return len(self.starts_s)


def encode_speech(audio: Path, about: ChannelAudio) -> EncodedSpeech:
    """Encode the speech of a mono file. Raises EngineUnavailable if it can't be read."""
    import soundfile

    spans: list[tuple[float, float, int]] = []
    embeddings: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(audio) as file:
            for batch in _batches(_windows(file, about)):
                spans += [span for span, _ in batch]
                embeddings.append(_embed(np.stack([mels for _, mels in batch])))
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("the channel's audio can't be read") from error
    times = np.array(spans, np.float64).reshape(-1, 3)
    empty = np.empty((0, EMBEDDING_SIZE), np.float32)
    return EncodedSpeech(
        times[:, 0], times[:, 1], times[:, 2].astype(np.int64), np.concatenate([empty, *embeddings])
    )


_Window = tuple[tuple[float, float, int], "NDArray[np.float32]"]


def _windows(file: Any, about: ChannelAudio) -> Iterator[_Window]:
    """Yield (start, end, utterance) and mel spectrogram of each window."""
    power = 10 ** ((LEVEL_DBFS - _speech_dbfs(about)) / 10)
    for utterance, (start_s, end_s) in enumerate(_utterances(about.speech)):
        mels = mel_spectrogram(_read_16_khz(file, start_s, end_s)) * np.float32(power)
        if len(mels) * FRAME_S < MIN_WINDOW_S:
            continue  # the file ends before its speech does
        for offset_s in _window_offsets(len(mels) * FRAME_S):
            first = round(offset_s / FRAME_S)
            window = mels[first : first + round(WINDOW_S / FRAME_S)]
            at_s = start_s + offset_s
            yield (at_s, at_s + len(window) * FRAME_S, utterance), window


def _speech_dbfs(about: ChannelAudio) -> float:
    """Estimate the loudness of the speech, given that the rest of the channel is quiet."""
    speech_s = sum(interval.duration_s for interval in about.speech)
    return about.rms_dbfs + 10 * math.log10(max(1.0, about.duration_s / max(speech_s, 0.1)))


def _utterances(speech: Iterable[Interval]) -> Iterator[tuple[float, float]]:
    """Yield the intervals, the long ones in equal parts, so that memory stays bounded."""
    for interval in speech:
        if interval.duration_s >= MIN_WINDOW_S:
            parts = math.ceil(interval.duration_s / MAX_READ_S)
            edges = np.linspace(interval.start_s, interval.end_s, parts + 1)
            yield from pairwise(map(float, edges))


def _window_offsets(length_s: float) -> "NDArray[np.float64]":
    room_s = max(0.0, length_s - WINDOW_S)
    return np.linspace(0.0, room_s, math.ceil(room_s / HOP_S) + 1)


def _read_16_khz(file: Any, start_s: float, end_s: float) -> "NDArray[np.float32]":
    import soxr

    file.seek(min(int(start_s * file.samplerate), file.frames))
    samples = file.read(int((end_s - start_s) * file.samplerate), "float32")
    return soxr.resample(samples, file.samplerate, RATE_HZ)


def _batches(windows: Iterable[_Window]) -> Iterator[list[_Window]]:
    """Yield runs of windows of equal length."""
    batch: list[_Window] = []
    for window in windows:
        if batch and (len(batch) == BATCH or len(batch[0][1]) != len(window[1])):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _embed(mels: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return an embedding per window; `mels` has the shape (windows, frames, 40)."""
    return _session().run(None, {"mels": mels})[0]


def _session() -> Any:
    """Return the session of this thread, with one thread of its own."""
    if not hasattr(_sessions, "session"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        _sessions.session = onnxruntime.InferenceSession(
            MODEL, options, providers=["CPUExecutionProvider"]
        )
    return _sessions.session
