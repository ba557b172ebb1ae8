"""Samples of channels, and the prediction of one from others: their best delay, and filters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from soundfile import SoundFile

Samples = NDArray[np.float32]
MAX_PRODUCT = 200_000
"""Size of a matrix product that is computed by one thread."""


@dataclass(frozen=True, slots=True)
class MeasuredChannel:
    """A channel to compare: an open file of one channel, and what was measured on it.

    `windows` are the mean squares of its windows without the offset `mean`; full scale is 1.
    """

    file: SoundFile
    windows: Samples
    mean: float

    @property
    def frames(self) -> int:
        return self.file.frames

    @property
    def rate_hz(self) -> int:
        return self.file.samplerate

    @property
    def mean_square(self) -> float:
        return float(self.windows.mean()) if len(self.windows) else 0.0

    def read(self, start: int, length: int) -> Samples:
        """Return samples without their offset; those outside of the file are 0."""
        samples = np.zeros(length, np.float32)
        first, last = max(0, start), min(self.frames, start + length)
        if last > first:
            self.file.seek(first)
            read = self.file.read(last - first, "float32")
            samples[first - start : first - start + len(read)] = read - self.mean
        return samples


def best_lag(source: Samples, target: Samples) -> tuple[int, float]:
    """Return where `target` fits best into `source`, and the share of its energy explained."""
    size = _fast_size(len(source))
    spectrum = np.fft.rfft(source, size) * np.conj(np.fft.rfft(target, size))
    products = np.fft.irfft(spectrum, size)[: len(source) - len(target) + 1]
    squares = np.concatenate((np.zeros(1), np.cumsum(np.square(source), dtype=np.float64)))
    energies = squares[len(target) :] - squares[: -len(target)]
    total = float(np.square(target).sum())
    if total <= 0:
        return 0, 0.0
    # Windows of the source much softer than its loudest would give chance matches.
    floor = max(float(energies.max()) * 1e-3, 1e-12)
    shares = np.square(products) / np.maximum(energies, floor) / total
    best = int(shares.argmax())
    return best, float(shares[best])


def _fast_size(length: int) -> int:
    """Return the next size, of small prime factors, for which a Fourier transform is fast."""
    candidates = (
        two * three for two in (1 << n for n in range(4, 24)) for three in (1, 3, 5, 9, 15)
    )
    return min(size for size in candidates if size >= length)


def fit(columns: Samples, heard: Samples) -> Samples:
    """Return the weights of columns whose sum is closest to `heard`, by regularized least squares.

    The products are added up in small parts: the threads of the linear algebra library would take
    five times the CPU time for larger ones.
    """
    width = columns.shape[1]
    gram, right = np.zeros((width, width)), np.zeros(width)
    step = max(1, MAX_PRODUCT // width**2)
    for start in range(0, len(columns), step):
        part = columns[start : start + step]
        gram += part.T @ part
        right += part.T @ heard[start : start + step]
    gram += np.eye(width) * (1e-4 * np.trace(gram) / width + 1e-12)
    return np.linalg.solve(gram, right).astype(np.float32)
