"""Loudness, clipping, silence, and equal channels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from callpipeline.engines.split.quality import MAX_CLIPPED_SHARE, DifferenceMeter, LevelMeter


def tone(amplitude: float, samples: int = 8000) -> NDArray[np.int16]:
    turns = np.arange(samples) * 440 / 8000
    return (np.sin(2 * np.pi * turns) * amplitude * 32_767).astype(np.int16)


def level_of(*blocks: NDArray[np.int16]) -> LevelMeter:
    level = LevelMeter()
    for block in blocks:
        level.add(block)
    return level


def difference_of(left: NDArray[np.int16], right: NDArray[np.int16]) -> DifferenceMeter:
    difference = DifferenceMeter()
    difference.add(left, right)
    return difference


def test_a_sine_of_full_scale_is_3_db_below_full_scale() -> None:
    assert level_of(tone(1.0)).rms_dbfs == pytest.approx(-3.01, abs=0.01)


def test_blocks_add_up_to_the_level_of_the_recording() -> None:
    whole = tone(0.3)
    assert level_of(*np.split(whole, 8)).rms_dbfs == pytest.approx(level_of(whole).rms_dbfs)


def test_digital_silence_is_at_the_floor() -> None:
    level = level_of(np.zeros(8000, np.int16))
    assert (level.rms_dbfs, level.is_silent) == (-120.0, True)


def test_no_samples_are_silent_and_not_clipped() -> None:
    assert (level_of().is_silent, level_of().clipped_share) == (True, 0.0)


def test_noise_of_the_last_bit_is_silence_and_a_whisper_is_not() -> None:
    noise = np.random.default_rng(1).integers(-1, 2, 8000).astype(np.int16)
    assert level_of(noise).is_silent
    assert not level_of(tone(0.003)).is_silent


def test_loudness_is_exact_over_three_hours() -> None:
    level, block = LevelMeter(), tone(0.25, 65_536)
    for _ in range(1318):
        level.add(block)
    assert level.rms_dbfs == pytest.approx(level_of(block).rms_dbfs, abs=1e-4)


@pytest.mark.parametrize("top", [32_767, -32_768, 32_124, -32_256, 32_512])
def test_the_top_code_of_each_codec_counts_as_full_scale(top: int) -> None:
    assert level_of(np.full(10, top, np.int16)).clipped_share == 1.0


def test_loud_but_unclipped_speech_is_not_clipped() -> None:
    assert level_of(tone(0.95)).clipped_share == 0.0


def test_a_clipped_tone_is_detected() -> None:
    loud = np.clip(tone(1.0).astype(np.float32) * 2, -32_768, 32_767).astype(np.int16)
    assert level_of(loud).clipped_share > MAX_CLIPPED_SHARE


def test_the_same_sound_on_both_channels_is_no_difference() -> None:
    assert difference_of(tone(0.3), tone(0.3)).is_same_sound


def test_what_an_encoder_adds_to_a_copy_is_no_difference() -> None:
    noise = np.random.default_rng(1).normal(0, 200, 8000).astype(np.int16)
    assert difference_of(tone(0.3), tone(0.3) + noise).is_same_sound


def test_two_speakers_are_a_difference_even_with_crosstalk() -> None:
    agent, customer = tone(0.3), np.roll(tone(0.2), 7)
    assert not difference_of(agent, agent // 2 + customer).is_same_sound


def test_one_silent_channel_is_a_difference() -> None:
    assert not difference_of(tone(0.3), np.zeros(8000, np.int16)).is_same_sound


def test_two_silent_channels_are_not_one_sound() -> None:
    silence = np.zeros(8000, np.int16)
    assert not difference_of(silence, silence).is_same_sound
