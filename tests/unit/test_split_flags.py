"""Explanations of a recording's quality flags."""

import numpy as np
import pytest

from callpipeline.domain.audio import AudioFormat, Channel, Flag
from callpipeline.engines.split.quality import LevelMeter, Measurements, flags_of


def measurements(
    *levels: LevelMeter, fake: bool = False, bad: int = 0, declared_s: float | None = None
) -> Measurements:
    names = (Channel.MIXED,) if len(levels) == 1 else (Channel.LEFT, Channel.RIGHT)
    format = AudioFormat("mp3", "mp3", 8000, len(levels), 3.12, declared_s, bad)
    return Measurements(format, dict(zip(names, levels, strict=True)), is_fake_stereo=fake)


def level(value: int) -> LevelMeter:
    made = LevelMeter()
    made.add(np.full(1000, value, np.int16))
    return made


def test_a_good_stereo_recording_has_no_flags() -> None:
    assert flags_of(measurements(level(3000), level(2000), declared_s=3.2)) == ()


def test_a_mono_recording_has_both_speakers_on_one_channel() -> None:
    (flag,) = flags_of(measurements(level(3000)))
    assert (flag.flag, flag.detail) == (Flag.MONO, "both speakers on one channel")


def test_a_silent_channel_is_named() -> None:
    (flag,) = flags_of(measurements(level(3000), level(0)))
    assert (flag.flag, flag.channel) == (Flag.SILENT, Channel.RIGHT)
    assert flag.detail == "the right channel is silent"


def test_two_silent_channels_are_two_flags() -> None:
    flags = flags_of(measurements(level(0), level(0)))
    assert [flag.channel for flag in flags] == [Channel.LEFT, Channel.RIGHT]


def test_a_clipped_channel_has_a_share() -> None:
    (flag,) = flags_of(measurements(level(32_767), level(100)))
    assert (flag.flag, flag.channel) == (Flag.CLIPPED, Channel.LEFT)
    assert flag.detail.startswith("100.0% of the left channel is at full scale")


def test_a_truncated_recording_has_both_durations() -> None:
    (flag,) = flags_of(measurements(level(3000), level(2000), declared_s=47))
    assert flag.flag is Flag.TRUNCATED
    assert flag.detail == (
        "the audio ends after 3.1 s, but the header says 47.0 s: "
        "only the available part was processed"
    )


@pytest.mark.parametrize(
    ("codec", "declared_s", "is_flagged"),
    [
        ("mp3", 3.6, False),
        ("mp3", 3.7, True),
        ("aac", 3.5, False),
        ("pcm_mulaw", 3.5, True),
        ("flac", 3.13, False),
        ("flac", 3.5, True),
    ],
)
def test_the_tolerance_of_truncation_depends_on_the_precision_of_the_header(
    codec: str, declared_s: float, is_flagged: bool
) -> None:
    format = AudioFormat("any", codec, 8000, 2, 3.12, declared_s)
    assert bool(flags_of(Measurements(format, {}))) is is_flagged


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (1, "1 packet could not be decoded and is missing from the audio"),
        (12, "12 packets could not be decoded and are missing from the audio"),
    ],
)
def test_damage_is_counted_in_packets(bad: int, sentence: str) -> None:
    (flag,) = flags_of(measurements(level(3000), level(2000), bad=bad))
    assert (flag.flag, flag.detail) == (Flag.DAMAGED, sentence)


def test_flags_of_the_recording_come_before_those_of_channels() -> None:
    flags = flags_of(measurements(level(0), fake=True, bad=2, declared_s=60))
    kinds = [Flag.MONO, Flag.FAKE_STEREO, Flag.TRUNCATED, Flag.DAMAGED, Flag.SILENT]
    assert [flag.flag for flag in flags] == kinds
