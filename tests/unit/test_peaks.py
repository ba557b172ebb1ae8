"""Waveforms: the loudest of each stretch, in bounded size and memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.domain.peaks import LOUDEST, MOST_WINDOWS, Peaks, window_samples
from callpipeline.engines.split.peaks import measure_peaks
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.documents import peaks_from_json, peaks_to_json


def flac(folder: Path, samples: "np.ndarray", rate_hz: int = 8000) -> Path:  # pyright: ignore
    path = folder / "channel.flac"
    soundfile.write(path, samples.astype(np.int16), rate_hz, "PCM_16", format="FLAC")
    return path


def test_each_window_has_its_loudest_sample(tmp_path: Path) -> None:
    samples = np.zeros(1000)
    samples[10], samples[399], samples[400], samples[999] = 100, -16_384, 32_767, -32_768
    found = measure_peaks(flac(tmp_path, samples), "ab")
    assert found == Peaks(0.05, bytes([128, 255, 255]), "ab")
    assert found.duration_s == pytest.approx(0.15)


def test_only_silence_is_nothing(tmp_path: Path) -> None:
    samples = np.zeros(800)
    samples[400] = 1
    assert measure_peaks(flac(tmp_path, samples), "ab").maxima == bytes([0, 1])


@given(
    length=st.integers(1, 200_000), seed=st.integers(0, 99), rate_hz=st.sampled_from([8000, 11_025])
)
@settings(max_examples=30, deadline=None)
def test_blocks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, length: int, seed: int, rate_hz: int
) -> None:
    samples = np.random.default_rng(seed).integers(-20_000, 20_000, length)
    found = measure_peaks(flac(tmp_path_factory.mktemp("sound"), samples, rate_hz), "ab")
    window = window_samples(length, rate_hz)
    pieces = [np.abs(samples[at : at + window]).max() for at in range(0, length, window)]
    assert list(found.maxima) == [int(np.ceil(each * LOUDEST / 32_768)) for each in pieces]


@pytest.mark.parametrize("hours", [0.1, 1, 3, 24])
def test_no_call_is_too_long_for_a_page(hours: float) -> None:
    samples = round(hours * 3600 * 8000)
    assert -(-samples // window_samples(samples, 8000)) <= MOST_WINDOWS


def test_a_long_call_takes_no_more_memory(tmp_path: Path) -> None:
    path = flac(tmp_path, np.tile(np.arange(-4000, 4000), 20 * 60))
    tracemalloc.start()
    found = measure_peaks(path, "ab")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.maxima) == 20 * 60 * 20
    assert most < 2_000_000  # the samples themselves are 19 MB


def test_what_is_no_sound_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC and nothing")
    with pytest.raises(EngineUnavailable):
        measure_peaks(tmp_path / "a.flac", "ab")


@given(st.binary(max_size=300), st.floats(0.01, 2))
def test_kept_peaks_come_back_as_they_were(maxima: bytes, window_s: float) -> None:
    peaks = Peaks(window_s, maxima, "ab" * 32)
    document = peaks_to_json(peaks)
    assert peaks_from_json(document) == peaks
    assert len(document) < len(maxima) * 1.4 + 200


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"version": 2, "window_s": 1, "maxima": "", "sha256": ""}',
     b'{"version": 1, "window_s": 1, "maxima": "?", "sha256": ""}'],
)  # fmt: skip
def test_what_is_damaged_or_of_another_version_is_none(document: bytes) -> None:
    assert peaks_from_json(document) is None
