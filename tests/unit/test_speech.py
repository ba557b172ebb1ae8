"""From the probability of a voice in each window to stretches of speech."""

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Interval
from callpipeline.engines.speech import PAD_S, WINDOW_S, SileroSpeechDetector, speech_in
from callpipeline.errors import UnsupportedAudio

NONE, VOICE, BETWEEN = 0.01, 0.9, 0.4


def found(*stretches: tuple[float, int]) -> list[tuple[float, float]]:
    """Starts and ends in windows, without the padding, for (probability, windows) stretches."""
    probabilities = [p for p, count in stretches for _ in range(count)]
    speech = speech_in(probabilities, 1000.0)
    return [
        (round((s.start_s + PAD_S) / WINDOW_S, 3), round((s.end_s - PAD_S) / WINDOW_S, 3))
        for s in speech
    ]


def test_silence_has_no_speech() -> None:
    assert found((NONE, 100)) == []
    assert speech_in([], 0.0) == ()


def test_speech_lasts_from_its_first_to_its_last_window() -> None:
    assert found((NONE, 50), (VOICE, 20), (NONE, 50)) == [(50, 70)]


def test_a_doubtful_window_goes_on_with_speech_but_does_not_begin_it() -> None:
    assert found((BETWEEN, 50), (VOICE, 20), (BETWEEN, 20), (NONE, 50)) == [(50, 90)]


def test_short_gaps_are_joined_and_long_ones_are_not() -> None:
    assert found((NONE, 20), (VOICE, 20), (NONE, 9), (VOICE, 20), (NONE, 9)) == [(20, 69)]
    assert len(found((NONE, 20), (VOICE, 20), (NONE, 20), (VOICE, 20), (NONE, 9))) == 2


def test_a_click_is_not_speech() -> None:
    assert found((NONE, 50), (VOICE, 3), (NONE, 50)) == []


def test_padding_stays_within_the_recording() -> None:
    assert speech_in([VOICE] * 10, 0.31) == (Interval(0.0, 0.31),)


def test_stretches_never_overlap() -> None:
    speech = speech_in(([VOICE] * 10 + [NONE] * 10) * 20, 1000.0)
    assert all(a.end_s < b.start_s for a, b in pairwise(speech))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
def test_noise_and_silence_are_not_taken_for_a_voice(tmp_path: Path, rate_hz: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, rate_hz)
    soundfile.write(tmp_path / "a.flac", np.concatenate((noise * 0, noise)), rate_hz)
    assert asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac")) == ()


def test_only_one_channel_is_looked_at(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((800, 2)), 8000)
    with pytest.raises(UnsupportedAudio, match="one channel, not 2"):
        asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac"))


def test_what_is_not_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"nonsense")
    with pytest.raises(UnsupportedAudio, match="cannot be read"):
        asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac"))
