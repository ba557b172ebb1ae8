"""Mel spectrograms as the voice encoder was trained on: 40 bands of 25 ms every 10 ms at 16 kHz.

Band edges and normalisation are those of M. Slaney, "Auditory Toolbox", 1998. Values are power, not
decibels.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
FRAME_SAMPLES = 400
STEP_SAMPLES = 160
BANDS = 40

LINEAR_HZ_PER_MEL = 200 / 3
LOG_FROM_HZ = 1000.0
LOG_FROM_MEL = LOG_FROM_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27


def mel_spectrogram(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return the power in each band, shape (frames, 40); frame i is centred on sample 160 i."""
    padded = np.pad(samples, FRAME_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::STEP_SAMPLES]
    spectrum = np.fft.rfft(frames * _hann_window(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return power @ _mel_filters()


@cache
def _hann_window() -> "NDArray[np.float32]":
    turns = np.arange(FRAME_SAMPLES) / FRAME_SAMPLES
    return (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)


@cache
def _mel_filters() -> "NDArray[np.float32]":
    """Return triangular filters of equal area, shape (bins of the spectrum, 40)."""
    bins_hz = np.fft.rfftfreq(FRAME_SAMPLES, 1 / RATE_HZ)
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(RATE_HZ / 2), BANDS + 2))
    low, peak, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - low) / (peak - low)
    falling = (high - bins_hz[:, None]) / (high - peak)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)


def _hz_to_mel(frequency_hz: float) -> float:
    """Convert a frequency of 1 kHz or more."""
    return LOG_FROM_MEL + float(np.log(frequency_hz / LOG_FROM_HZ) / LOG_STEP)


def _mel_to_hz(mel: "NDArray[np.float64]") -> "NDArray[np.float64]":
    above = LOG_FROM_HZ * np.exp(LOG_STEP * (mel - LOG_FROM_MEL))
    return np.where(mel < LOG_FROM_MEL, mel * LINEAR_HZ_PER_MEL, above)
