"""The peaks of a channel's FLAC file, for its waveform: read once, block by block."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.peaks import LOUDEST, Peaks, window_samples
from callpipeline.engines.split.blocks import BLOCK_SAMPLES
from callpipeline.engines.split.levels import FULL_SCALE
from callpipeline.errors import EngineUnavailable


def measure_peaks(flac: Path, sha256: str) -> Peaks:
    """The peaks of a mono file, of which `sha256` is known. Raises EngineUnavailable."""
    try:
        with soundfile.SoundFile(flac) as file:
            window = window_samples(file.frames, file.samplerate)
            # Whole windows, so that none lies in two blocks.
            length = max(1, BLOCK_SAMPLES // window) * window
            found = bytearray()
            while len(block := file.read(length, "int16")):
                found += _maxima(block.astype(np.int16, copy=False), window)
            return Peaks(window / file.samplerate, bytes(found), sha256)
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("the waveform of a channel could not be measured.") from error


def _maxima(samples: NDArray[np.int16], window: int) -> bytes:
    """A byte for each window; rounded up, so that only silence is 0."""
    starts = np.arange(0, len(samples), window)
    highest = np.maximum.reduceat(samples, starts).astype(np.int32)
    lowest = np.minimum.reduceat(samples, starts).astype(np.int32)
    loudest = np.maximum(highest, -lowest)
    return np.minimum(LOUDEST, np.ceil(loudest * (LOUDEST / FULL_SCALE))).astype(np.uint8).tobytes()
