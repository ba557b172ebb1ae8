"""A channel that is too large to upload is cut at pauses."""

from pathlib import Path

import numpy as np
import soundfile

from callpipeline.domain.audio import Interval
from callpipeline.engines.transcribe.chunks import (
    divide,
    halve,
    parts_needed,
    speech_within,
    write_part,
)

SPEECH = (Interval(0, 9), Interval(11, 19), Interval(21, 40))


def test_parts_meet_in_the_pauses_nearest_to_equal_lengths() -> None:
    assert divide(Interval(0, 40), SPEECH, 2) == (Interval(0, 20), Interval(20, 40))
    assert divide(Interval(0, 40), SPEECH, 4) == (
        Interval(0, 10),
        Interval(10, 20),
        Interval(20, 30.0),
        Interval(30.0, 40),
    )


def test_speech_without_a_pause_is_cut_anywhere() -> None:
    assert divide(Interval(0, 60), (Interval(0, 60),), 2) == (Interval(0, 30), Interval(30, 60))


def test_two_parts_never_share_a_pause() -> None:
    found = divide(Interval(0, 60), (Interval(0, 29), Interval(31, 60)), 5)
    assert sum(part.duration_s for part in found) == 60
    assert all(part.duration_s > 0 for part in found)


def test_a_small_file_is_one_part() -> None:
    assert (parts_needed(100, 100), parts_needed(101, 100), parts_needed(1000, 100)) == (1, 2, 11)


def test_a_part_that_is_too_short_is_not_cut_again() -> None:
    assert halve(Interval(0, 1.5), ()) == (Interval(0, 1.5),)
    assert len(halve(Interval(0, 2), ())) == 2


def test_speech_is_clipped_to_a_part() -> None:
    assert speech_within(Interval(5, 15), SPEECH) == (Interval(5, 9), Interval(11, 15))
    assert speech_within(Interval(9, 11), SPEECH) == ()


def test_a_part_has_the_samples_of_its_interval(tmp_path: Path) -> None:
    samples = np.arange(-16_000, 16_000, dtype=np.int16)
    soundfile.write(tmp_path / "whole.flac", samples, 8000, subtype="PCM_16")
    size = write_part(tmp_path / "whole.flac", Interval(1, 3), tmp_path / "part.flac")
    part, rate = soundfile.read(tmp_path / "part.flac", dtype="int16")
    assert (rate, size) == (8000, (tmp_path / "part.flac").stat().st_size)
    assert np.array_equal(part, samples[8000:24_000])


def test_a_part_beyond_the_end_of_the_file_ends_with_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", np.zeros(8000, np.int16), 8000)
    write_part(tmp_path / "whole.flac", Interval(0.5, 9), tmp_path / "part.flac")
    assert soundfile.info(tmp_path / "part.flac").frames == 4000
