"""Intervals of speech from the probability of a voice in each window."""

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Interval
from callpipeline.engines import speech
from callpipeline.engines.reference_call import RECORDING
from callpipeline.engines.speech import PAD_S, WINDOW_S, SileroSpeechDetector, speech_intervals
from callpipeline.errors import SettingsInvalid, UnsupportedAudio

NONE, VOICE, BETWEEN = 0.01, 0.9, 0.1


def detected(*runs: tuple[float, int]) -> list[tuple[float, float]]:
    """Return intervals in windows, without padding, for runs of (probability, windows)."""
    probabilities = [p for p, count in runs for _ in range(count)]
    speech = speech_intervals(probabilities, 1000.0)
    return [
        (round((s.start_s + PAD_S) / WINDOW_S, 3), round((s.end_s - PAD_S) / WINDOW_S, 3))
        for s in speech
    ]


def test_silence_has_no_speech() -> None:
    assert detected((NONE, 100)) == []
    assert speech_intervals([], 0.0) == ()


def test_speech_lasts_from_its_first_to_its_last_window() -> None:
    assert detected((NONE, 50), (VOICE, 20), (NONE, 50)) == [(50, 70)]


def test_an_uncertain_window_continues_speech_but_does_not_start_it() -> None:
    assert detected((BETWEEN, 50), (VOICE, 20), (BETWEEN, 20), (NONE, 50)) == [(50, 90)]


def test_short_gaps_are_joined_and_long_ones_are_not() -> None:
    assert detected((NONE, 20), (VOICE, 20), (NONE, 9), (VOICE, 20), (NONE, 9)) == [(20, 69)]
    assert len(detected((NONE, 20), (VOICE, 20), (NONE, 20), (VOICE, 20), (NONE, 9))) == 2


def test_a_click_is_not_speech() -> None:
    assert detected((NONE, 50), (VOICE, 3), (NONE, 50)) == []


def test_padding_stays_within_the_recording() -> None:
    assert speech_intervals([VOICE] * 10, 0.31) == (Interval(0.0, 0.31),)


def test_intervals_never_overlap() -> None:
    speech = speech_intervals(([VOICE] * 10 + [NONE] * 10) * 20, 1000.0)
    assert all(a.end_s < b.start_s for a, b in pairwise(speech))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
def test_noise_and_silence_are_not_taken_for_a_voice(tmp_path: Path, rate_hz: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, rate_hz)
    soundfile.write(tmp_path / "a.flac", np.concatenate((noise * 0, noise)), rate_hz)
    assert asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac")) == ()


def test_a_file_must_have_one_channel(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((800, 2)), 8000)
    with pytest.raises(UnsupportedAudio, match="one channel, not 2"):
        asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac"))


def test_a_file_that_is_not_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"nonsense")
    with pytest.raises(UnsupportedAudio, match="can't be read"):
        asyncio.run(SileroSpeechDetector().detect(tmp_path / "a.flac"))


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Write the agent of the reference call before and after 20 s of digital silence."""
    samples, rate_hz = soundfile.read(RECORDING)
    agent = samples[:, 0]
    soundfile.write(
        tmp_path / "a.flac", np.concatenate((agent, [0.0] * 20 * rate_hz, agent)), rate_hz
    )
    return tmp_path / "a.flac"


def test_a_voice_is_heard_again_after_digital_silence(voices: Path) -> None:
    found = asyncio.run(SileroSpeechDetector().detect(voices))
    end_s = soundfile.info(RECORDING).duration
    before, after = (
        sum(i.duration_s for i in found if (i.start_s < end_s) is is_before)
        for is_before in (True, False)
    )
    assert before > 1.5
    assert after == pytest.approx(before, abs=0.2)


def test_the_state_is_carried_from_block_to_block(
    voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = asyncio.run(SileroSpeechDetector().detect(voices))
    monkeypatch.setattr(speech, "BLOCK_S", 1)
    assert asyncio.run(SileroSpeechDetector().detect(voices)) == at_once


def test_a_file_is_detected_alike_in_every_thread(voices: Path) -> None:
    async def detect() -> set[tuple[Interval, ...]]:
        detector = SileroSpeechDetector()
        return set(await asyncio.gather(*(detector.detect(voices) for _ in range(4))))

    assert len(asyncio.run(detect())) == 1


def test_a_package_without_the_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "MODEL_FILE", "assets/other.onnx")
    with pytest.raises(SettingsInvalid, match="missing from the package faster-whisper"):
        SileroSpeechDetector()
