"""Playback as a virtual WAV file: any range is a slice of the whole."""

import io
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.errors import CallpipelineError, MissingObject, StoreUnavailable
from callpipeline.pipeline.reading.playback import Playback, open_playback
from callpipeline.storage.objects.ports import RangeFile
from tests.builders import a_channel, a_split
from tests.fakes.storage import InMemoryRecordings

CALL = "2026-03-02-000000000000"
Samples = NDArray[np.int16]


class FakeAudio(InMemoryRecordings):
    """The audio of one call, in a store that raises `error` if set."""

    def __init__(self, sound: Mapping[Channel, tuple[Samples, int]]) -> None:
        super().__init__()
        self.error: CallpipelineError | None = None
        self.read_bytes = 0
        self.channels = tuple(self._store(c, *samples) for c, samples in sound.items())

    def _store(self, channel: Channel, samples: Samples, rate_hz: int):
        file = io.BytesIO()
        soundfile.write(file, samples, rate_hz, "PCM_16", format="FLAC")
        self.put(channel, file.getvalue())
        info = replace(a_channel(channel), sample_rate_hz=rate_hz, sha256=str(len(samples)))
        return replace(info, duration_s=len(samples) / rate_hz)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if self.error:
            raise self.error
        self.read_bytes += length
        return super().read_range(key, start, length)

    def split_recording(self, call_id: str) -> SplitRecording:
        return a_split(*self.channels)

    def open_channel(self, call_id: str, channel: Channel) -> RangeFile:
        return RangeFile(self, channel, block_bytes=4096)  # pyright: ignore[reportArgumentType]


def noise(length: int, seed: int = 1) -> Samples:
    """Return speech-like samples; FLAC would store white noise uncompressed."""
    steps = np.random.default_rng(seed).integers(-600, 600, length)
    return np.clip(np.cumsum(steps) % 20_000 - 10_000, -32_768, 32_767).astype(np.int16)


def stereo(left: Samples, right: Samples, left_hz: int = 8000, right_hz: int = 8000) -> FakeAudio:
    return FakeAudio({Channel.RIGHT: (right, right_hz), Channel.LEFT: (left, left_hz)})


def whole(playback: Playback) -> bytes:
    return b"".join(playback.blocks())


def decoded(playback: Playback) -> tuple[Samples, int]:
    """Return what a player decodes."""
    read, rate_hz = soundfile.read(io.BytesIO(whole(playback)), dtype="int16")
    return read.astype(np.int16, copy=False), rate_hz


def test_left_is_left_and_right_is_right() -> None:
    left, right = noise(50_000, 1), noise(50_000, 2)
    playback = open_playback(stereo(left, right), CALL)
    found, rate_hz = decoded(playback)
    assert rate_hz == 8000
    assert np.array_equal(found, np.stack([left, right], axis=1))
    assert playback.size_bytes == len(whole(playback)) == 44 + 200_000
    assert playback.duration_s == 50_000 / 8000


def test_a_mono_recording_is_mono() -> None:
    sound = noise(20_000)
    found, _ = decoded(open_playback(FakeAudio({Channel.MIXED: (sound, 16_000)}), CALL))
    assert np.array_equal(found, sound)


def test_one_channel_can_be_played_alone() -> None:
    left, right = noise(9000, 1), noise(5000, 2)
    audio = stereo(left, right)
    found, _ = decoded(open_playback(audio, CALL, Channel.RIGHT))
    assert np.array_equal(found, right)
    assert open_playback(audio, CALL).etag != open_playback(audio, CALL, Channel.RIGHT).etag
    with pytest.raises(MissingObject, match="no channel mixed"):
        open_playback(audio, CALL, Channel.MIXED)


def test_a_shorter_channel_is_silent_at_its_end() -> None:
    left, right = noise(30_000, 1), noise(20_001, 2)
    found, _ = decoded(open_playback(stereo(left, right), CALL))
    assert np.array_equal(found[:, 0], left)
    assert np.array_equal(found[:20_001, 1], right)
    assert not found[20_001:, 1].any()


def test_a_channel_with_a_lower_rate_keeps_its_times() -> None:
    left = noise(16_000)
    click = np.zeros(8000, np.int16)
    click[6000] = 20_000  # at 0.75 s
    found, rate_hz = decoded(open_playback(stereo(left, click, 16_000, 8000), CALL))
    assert rate_hz == 16_000
    assert np.array_equal(found[:, 0], left)
    assert np.argmax(found[:, 1]) == 12_000
    assert found[11_999, 1] == found[12_001, 1] == 10_000  # halfway


EXAMPLES: dict[str, tuple[Playback, bytes]] = {}
"""Computed once per example."""


def example(name: str) -> tuple[Playback, bytes]:
    if name not in EXAMPLES:
        sounds = {
            "even": lambda: stereo(noise(40_000, 1), noise(40_000, 2)),
            "uneven": lambda: stereo(noise(33_000, 1), noise(52_345, 2)),
            "rates": lambda: stereo(noise(33_000, 1), noise(50_000, 2), 8000, 11_025),
            "mono": lambda: FakeAudio({Channel.MIXED: (noise(70_001), 8000)}),
            "short": lambda: stereo(noise(3, 1), noise(1, 2)),
        }
        playback = open_playback(sounds[name](), CALL)
        EXAMPLES[name] = playback, whole(playback)
    return EXAMPLES[name]


@given(
    st.sampled_from(["even", "uneven", "rates", "mono", "short"]),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.integers(-70, 70), st.integers(-70, 70)),
)
@settings(max_examples=200, deadline=None)
def test_any_range_is_a_slice_of_the_whole(
    name: str, shares: tuple[float, float], offs: tuple[int, int]
) -> None:
    playback, everything = example(name)
    size = playback.size_bytes
    assert size == len(everything)
    start, end = (max(0, round(size * s) + off) for s, off in zip(shares, offs, strict=True))
    blocks = list(playback.blocks(start, end))
    assert b"".join(blocks) == everything[start : max(start, end)]
    assert all(0 < len(block) <= 65_536 for block in blocks)


@given(st.lists(st.integers(0, 160_044), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_adjacent_ranges_add_up_to_the_whole(cuts: list[int]) -> None:
    playback, everything = example("even")
    edges = sorted({0, *cuts, playback.size_bytes})
    pieces = [b"".join(playback.blocks(*edge)) for edge in pairwise(edges)]
    assert b"".join(pieces) == everything


def test_data_before_a_range_is_not_read() -> None:
    sound = noise(2_000_000)
    audio = FakeAudio({Channel.MIXED: (sound, 8000)})
    playback = open_playback(audio, CALL)
    last = b"".join(playback.blocks(playback.size_bytes - 1000))
    assert last == sound[-500:].tobytes()
    assert audio.read_bytes < len(audio.read("mixed")) / 10


def test_closing_the_generator_closes_the_files() -> None:
    opened: list[RangeFile] = []
    audio = stereo(noise(40_000), noise(40_000))
    audio.open_channel = lambda _, channel: (
        opened.append(  # pyright: ignore
            RangeFile(audio, channel)  # pyright: ignore
        )
        or opened[-1]
    )
    blocks = open_playback(audio, CALL).blocks(100)
    next(blocks)
    blocks.close()  # pyright: ignore
    assert len(opened) == 4 and all(file.closed for file in opened)


def test_a_store_error_is_raised() -> None:
    audio = stereo(noise(400_000), noise(400_000))
    playback = open_playback(audio, CALL)
    blocks = playback.blocks(44)
    next(blocks)
    audio.error = StoreUnavailable("recordings did not answer.")
    with pytest.raises(StoreUnavailable):
        list(blocks)
    with pytest.raises(StoreUnavailable):
        list(playback.blocks(44))


def test_damaged_audio_is_reported_with_advice() -> None:
    audio = FakeAudio({Channel.MIXED: (noise(400_000), 8000)})
    playback = open_playback(audio, CALL)
    content = audio.read("mixed")
    audio.put("mixed", content[: len(content) // 2])
    with pytest.raises(MissingObject, match="materialize channel_audio"):
        list(playback.blocks())
    audio.put("mixed", b"no sound at all")
    with pytest.raises(MissingObject, match="materialize channel_audio"):
        list(playback.blocks())
    audio.delete("mixed")
    with pytest.raises(MissingObject):
        open_playback(audio, CALL)


def test_a_call_over_four_gigabytes_is_rf64() -> None:
    day = replace(a_channel(Channel.MIXED), sample_rate_hz=48_000, duration_s=24 * 3600.0)
    audio = FakeAudio({Channel.MIXED: (noise(48_000), 48_000)})
    audio.channels = (day,)
    playback = open_playback(audio, CALL)
    assert playback.size_bytes == 80 + 24 * 3600 * 96_000
    assert next(playback.blocks())[:4] == b"RF64"
    behind = playback.blocks(playback.size_bytes - 5)
    assert b"".join(behind) == bytes(5)  # the file is shorter than recorded: silence
