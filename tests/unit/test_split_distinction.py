"""Channels that carry speech are kept, and each sound is heard once.

The control recording has an agent's sentence on the left, and then a customer's on the right.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, Flag, Speaker, SplitRecording
from callpipeline.domain.calls.source_audio import SourceAudio
from callpipeline.engines.split.channels import split_recording

DATA = Path(__file__).parents[1] / "data" / "recordings"
RATE_HZ = 8000
Sound = NDArray[Any]


@pytest.fixture(scope="module")
def sides() -> tuple[Sound, Sound]:
    """Return the agent's and the customer's channel of the control recording, at half volume."""
    sound, _ = soundfile.read(DATA / "c00-control.flac")
    return sound[:, 0] * 0.5, sound[:, 1] * 0.5


@pytest.fixture
def split_of(tmp_path: Path) -> Callable[..., SplitRecording]:
    def split(*channels: Sound, roles: tuple[Speaker, ...] = (), agent: str = "left"):
        path = tmp_path / "call.flac"
        soundfile.write(path, np.stack(channels, axis=1), RATE_HZ, "PCM_16")
        return split_recording(path, tmp_path / "out", agent, SourceAudio(roles=roles))

    return split


def altered(
    sound: Sound, *, gain_db: float = 0.0, delay: int = 0, offset: float = 0.0, invert: bool = False
) -> Sound:
    late = np.concatenate((np.zeros(delay), sound[: len(sound) - delay]))
    return late * 10 ** (gain_db / 20) * (-1 if invert else 1) + offset


def level_db(sound: Sound) -> float:
    return 10 * np.log10(np.square(sound - sound.mean()).mean() + 1e-12)


def heard(folder: Path, channel: str) -> tuple[float, float]:
    """Return the level of a channel while the agent speaks, and while the customer does."""
    sound, _ = soundfile.read(folder / "out" / f"{channel}.flac")
    return level_db(sound[: 6 * RATE_HZ]), level_db(sound[int(6.7 * RATE_HZ) : 10 * RATE_HZ])


def names(split: SplitRecording) -> list[tuple[str, str]]:
    return [(channel.channel.value, channel.speaker.value) for channel in split.channels]


ALTERATIONS: list[dict[str, Any]] = [
    {"gain_db": -1.0},
    {"gain_db": -6.0, "delay": 1},
    {"gain_db": -20.0},
    {"delay": 1},
    {"delay": 160},
    {"delay": 400},
    {"invert": True},
    {"invert": True, "gain_db": -3.0, "delay": 27},
    {"offset": 0.1},
    {"gain_db": -12.0, "offset": -0.05, "delay": 400, "invert": True},
    {"delay": 1200},
    {"gain_db": -9.0, "delay": 2800},
]


@pytest.mark.parametrize("number", range(len(ALTERATIONS)))
def test_an_altered_copy_is_the_same_sound(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], number: int
):
    mono = sides[0] + sides[1]
    pair = (mono, altered(mono, **ALTERATIONS[number]))
    # The copy is on the right, and on the left.
    split = split_of(*(pair[::-1] if number % 2 else pair))
    assert names(split) == [("mixed", "unknown")]
    assert [flag.flag for flag in split.flags] == [Flag.FAKE_STEREO]


def test_the_difference_of_a_copy_is_described(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording]
):
    mono = sides[0] + sides[1]
    (flag,) = split_of(mono, altered(mono, gain_db=-6.0, delay=160, invert=True)).flags
    assert flag.detail == (
        "both channels carry the same sound: treated as one channel "
        "(right is a copy of left: -6.0 dB, 20 ms later, inverted)"
    )


@pytest.mark.parametrize("ppm", [-300, -100, 20, 150, 400])
def test_a_copy_by_a_recorder_with_another_clock_is_the_same_sound(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], ppm: int
):
    """The delay grows over three minutes, by up to 72 ms."""
    mono = np.tile(sides[0] + sides[1], 16)
    mono += np.random.default_rng(4).normal(0, 3e-4, len(mono))
    times = np.arange(len(mono)) * (1 + ppm * 1e-6) - 200
    copy = -0.5 * np.interp(times, np.arange(len(mono)), mono)
    split = split_of(mono, copy)
    assert names(split) == [("mixed", "unknown")]
    (flag,) = split.flags
    assert flag.flag is Flag.FAKE_STEREO
    if abs(ppm) > 200:
        assert f"of a clock {abs(ppm)} ppm {'slower' if ppm > 0 else 'faster'}" in flag.detail


def test_speakers_with_clocks_of_their_own_are_both_kept(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording]
):
    agent, customer = (np.tile(side, 16) for side in sides)
    times = np.arange(len(customer)) * (1 + 300e-6)
    split = split_of(agent, np.interp(times, np.arange(len(customer)), customer))
    assert names(split) == [("left", "agent"), ("right", "customer")]
    assert split.flags == ()


LEAKS: list[dict[str, Any]] = [
    {"gain_db": -1.0},
    {"gain_db": -6.0, "delay": 1},
    {"gain_db": -12.0, "delay": 320},
    {"gain_db": -20.0, "invert": True},
    {"gain_db": -34.0, "delay": 400},
    {"gain_db": -18.0, "delay": 960},
    {"gain_db": -18.0, "delay": 2400},
]


@pytest.mark.parametrize("number", range(len(LEAKS)))
def test_leakage_is_removed_from_the_softer_side(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path, number: int
):
    leak, agent = LEAKS[number], ("left", "right")[number % 2]
    left, right = sides
    split = split_of(left + altered(right, **leak), right, agent=agent)
    assert [channel.channel for channel in split.channels] == [Channel.LEFT, Channel.RIGHT]
    flag = next(flag for flag in split.flags if flag.flag is Flag.CROSSTALK)
    assert flag.channel is Channel.LEFT
    agents_db, leaked_db = heard(tmp_path, "left")
    assert agents_db == pytest.approx(level_db(left[: 6 * RATE_HZ]), abs=0.5)
    assert leaked_db < level_db(right[int(6.7 * RATE_HZ) : 10 * RATE_HZ]) - 40
    assert heard(tmp_path, "right")[1] == pytest.approx(
        level_db(right[int(6.7 * RATE_HZ) : 10 * RATE_HZ]), abs=0.5
    )


def test_leakage_in_both_directions_is_removed_by_turns(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path
):
    left, right = sides
    split = split_of(left + altered(right, gain_db=-9.0), right + altered(left, gain_db=-9.0))
    assert [flag.flag for flag in split.flags] == [Flag.CROSSTALK, Flag.CROSSTALK]
    assert "leaks into the left channel (-9 dB)" in split.flags[0].detail
    assert heard(tmp_path, "left")[1] < heard(tmp_path, "right")[1] - 40
    assert heard(tmp_path, "right")[0] < heard(tmp_path, "left")[0] - 40


def test_speakers_who_talk_at_once_are_both_kept(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path
):
    left, right = sides
    agent = left + altered(left, delay=int(6.6 * RATE_HZ))  # also while the customer speaks
    split_of(agent + altered(right, gain_db=-12.0), right)
    written, _ = soundfile.read(tmp_path / "out" / "left.flac")
    overlap = slice(int(7.5 * RATE_HZ), int(10 * RATE_HZ))
    assert level_db(written[overlap]) == pytest.approx(level_db(agent[overlap]), abs=1.5)


def test_a_speaker_who_repeats_the_others_words_is_kept(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path
):
    left, right = sides
    # The same words again, a second later: not the same sound at the same time.
    echoed = left + altered(right, gain_db=-6.0, delay=RATE_HZ)
    assert split_of(echoed, right).flags == ()
    written, _ = soundfile.read(tmp_path / "out" / "left.flac")
    assert np.abs(written - echoed).max() < 1e-3


def test_independent_channels_are_left_as_they_are(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path
):
    noise = np.random.default_rng(1).normal(0, 0.002, (2, len(sides[0])))
    left, right = sides[0] + noise[0], sides[1] + noise[1]
    assert split_of(left, right).flags == ()
    written, _ = soundfile.read(tmp_path / "out" / "left.flac", dtype="int16")
    assert np.array_equal(written, np.rint(left * 32_768))


def test_the_leakage_of_a_stereo_codec_is_removed(tmp_path: Path):
    split = split_recording(DATA / "a22-opus-24k-joint-stereo.webm", tmp_path / "out", "left")
    assert [flag.flag for flag in split.flags] == [Flag.CROSSTALK, Flag.CROSSTALK]
    assert heard(tmp_path, "left")[1] < -70
    assert heard(tmp_path, "right")[0] < -70


def test_the_customer_on_the_third_channel_is_heard(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording]
):
    left, right = sides
    other = altered(left, delay=2 * RATE_HZ)[::-1].copy()
    assert names(split_of(left, other, right)) == [
        ("1", "agent"),
        ("2", "customer"),
        ("3", "unknown"),
    ]
    roles = (Speaker.AGENT, Speaker.AGENT, Speaker.CUSTOMER)
    assert names(split_of(left, other, right, roles=roles)) == [
        ("1", "agent"),
        ("2", "agent"),
        ("3", "customer"),
    ]


def test_silent_and_identical_channels_are_left_out(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path
):
    left, right = sides
    split = split_of(left * 0, left, right * 0, right, altered(left, gain_db=-3.0))
    assert names(split) == [("left", "agent"), ("right", "customer")]
    (flag,) = split.flags
    assert flag.flag is Flag.EXTRA_CHANNELS
    assert flag.detail == ("5 channels: 2 were used, 2 are silent, 5 is a copy of 2: -3.0 dB")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["left.flac", "right.flac"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_sum_of_the_other_channels_is_left_out(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording], tmp_path: Path, place: int
):
    channels = list(sides)
    channels.insert(place, 0.8 * sides[0] + altered(sides[1], delay=16))
    split = split_of(*channels)
    assert names(split) == [("left", "agent"), ("right", "customer")]
    assert f"{place + 1} is the sum of others" in split.flags[0].detail
    assert heard(tmp_path, "left")[0] > heard(tmp_path, "right")[0] + 40


def test_a_channel_with_a_single_word_is_not_silent(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording]
):
    left, right = (np.tile(side, 20) for side in sides)
    word = np.zeros_like(left)
    word[RATE_HZ : RATE_HZ + 2000] = sides[0][2 * RATE_HZ : 2 * RATE_HZ + 2000] * 0.1
    assert len(split_of(left, right, word).channels) == 3


def test_roles_are_those_of_the_channels_in_the_recording(
    sides: tuple[Sound, Sound], split_of: Callable[..., SplitRecording]
):
    roles = (Speaker.AGENT, Speaker.AGENT, Speaker.CUSTOMER)
    silence = sides[0] * 0
    assert names(split_of(silence, sides[0], sides[1], roles=roles)) == [
        ("left", "agent"),
        ("right", "customer"),
    ]
    assert names(split_of(silence, silence, sides[1], roles=roles)) == [("mixed", "customer")]


def test_speech_on_the_centre_of_a_surround_recording_is_heard(tmp_path: Path):
    split = split_recording(DATA / "a05-surround-centre-speech.m4a", tmp_path / "out", "left")
    assert names(split) == [("mixed", "unknown")]
    assert split.channels[0].rms_dbfs > -30
    assert split.flags[0].detail == "6 channels: 1 was used, 5 are silent"


def test_each_track_is_a_channel(tmp_path: Path):
    split = split_recording(DATA / "a03-two-tracks.mp4", tmp_path / "out", "left")
    assert names(split) == [("left", "agent"), ("right", "customer")]
    assert (split.format.channel_count, split.flags) == (2, ())


@pytest.mark.parametrize("suffix", ["mka", "mp4"])
def test_a_track_that_begins_later_is_heard_at_its_time(
    tmp_path: Path, sides: tuple[Sound, Sound], suffix: str
):
    path, late_s = tmp_path / f"call.{suffix}", 3
    with av.open(str(path), "w") as container:
        for _ in range(2):
            stream = container.add_stream("aac", rate=16_000)
            assert isinstance(stream, av.AudioStream)
            stream.layout = "mono"
        for stream, start_s in zip(container.streams.audio, (0, late_s), strict=True):
            samples = np.repeat(np.rint(sides[0] * 32_767).astype(np.int16), 2).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, start_s * 16_000
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    split = split_recording(path, tmp_path / "out", "left")
    assert [channel.channel for channel in split.channels] == [Channel.LEFT, Channel.RIGHT]
    first, second = (soundfile.read(tmp_path / f"out/{side}.flac")[0] for side in ("left", "right"))
    onset = [int(np.argmax(np.abs(sound) > 0.02)) / 16_000 for sound in (first, second)]
    assert onset[1] - onset[0] == pytest.approx(late_s, abs=0.1)
