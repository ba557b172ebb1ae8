"""Waveforms: the peak of each window, in bounded size and memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.domain.audio import MAX_PEAK, MAX_WINDOWS, Peaks, window_samples
from callpipeline.engines.split.channel_files import measure_peaks
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.results.serialization import peaks_from_json, peaks_to_json


def flac(folder: Path, samples: "np.ndarray", rate_hz: int = 8000) -> Path:  # pyright: ignore
    path = folder / "channel.flac"
    soundfile.write(path, samples.astype(np.int16), rate_hz, "PCM_16", format="FLAC")
    return path


def test_each_window_has_its_peak(tmp_path: Path) -> None:
    samples = np.zeros(1000)
    samples[10], samples[399], samples[400], samples[999] = 100, -16_384, 32_767, -32_768
    found = measure_peaks(flac(tmp_path, samples), "ab")
    assert found == Peaks(0.05, bytes([128, 255, 255]), "ab")
    assert found.duration_s == pytest.approx(0.15)


def test_only_digital_silence_is_zero(tmp_path: Path) -> None:
    samples = np.zeros(800)
    samples[400] = 1
    assert measure_peaks(flac(tmp_path, samples), "ab").maxima == bytes([0, 1])


@given(
    length=st.integers(1, 200_000), seed=st.integers(0, 99), rate_hz=st.sampled_from([8000, 11_025])
)
@settings(max_examples=30, deadline=None)
def test_block_size_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, length: int, seed: int, rate_hz: int
) -> None:
    samples = np.random.default_rng(seed).integers(-20_000, 20_000, length)
    found = measure_peaks(flac(tmp_path_factory.mktemp("sound"), samples, rate_hz), "ab")
    window = window_samples(length, rate_hz)
    pieces = [np.abs(samples[at : at + window]).max() for at in range(0, length, window)]
    assert list(found.maxima) == [int(np.ceil(each * MAX_PEAK / 32_768)) for each in pieces]


@pytest.mark.parametrize("hours", [0.1, 1, 3, 24])
def test_the_number_of_windows_is_limited(hours: float) -> None:
    samples = round(hours * 3600 * 8000)
    assert -(-samples // window_samples(samples, 8000)) <= MAX_WINDOWS


def test_memory_does_not_grow_with_the_call(tmp_path: Path) -> None:
    path = flac(tmp_path, np.tile(np.arange(-4000, 4000), 20 * 60))
    tracemalloc.start()
    found = measure_peaks(path, "ab")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.maxima) == 20 * 60 * 20
    assert most < 2_000_000  # the samples themselves are 19 MB


def test_invalid_audio_has_no_peaks(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC and nothing")
    with pytest.raises(EngineUnavailable):
        measure_peaks(tmp_path / "a.flac", "ab")


@given(st.binary(max_size=300), st.floats(0.01, 2))
def test_stored_peaks_are_read_back_unchanged(maxima: bytes, window_s: float) -> None:
    peaks = Peaks(window_s, maxima, "ab" * 32)
    document = peaks_to_json(peaks)
    assert peaks_from_json(document) == peaks
    assert len(document) < len(maxima) * 1.4 + 200


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"version": 2, "window_s": 1, "maxima": "", "sha256": ""}',
     b'{"version": 1, "window_s": 1, "maxima": "?", "sha256": ""}'],
)  # fmt: skip
def test_damaged_or_outdated_documents_are_ignored(document: bytes) -> None:
    assert peaks_from_json(document) is None
