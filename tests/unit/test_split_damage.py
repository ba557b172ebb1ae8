"""Damaged recordings are split as far as possible, and unreadable ones refused with a reason."""

import asyncio
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Flag, SplitRecording
from callpipeline.engines.split import LocalSplitter
from callpipeline.errors import EmptyRecording, EngineUnavailable, UnsupportedAudio

RATE_HZ = 8000
SECONDS = 6


@pytest.fixture
def noise() -> NDArray[np.int16]:
    """Return six seconds of stereo noise, which no codec compresses well."""
    return np.random.default_rng(1).integers(-3000, 3000, (SECONDS * RATE_HZ, 2)).astype(np.int16)


@pytest.fixture
def wav(tmp_path: Path, noise: NDArray[np.int16]) -> bytes:
    """Return a WAV file with a header of 44 bytes."""
    soundfile.write(tmp_path / "whole.wav", noise, RATE_HZ)
    return (tmp_path / "whole.wav").read_bytes()


@pytest.fixture
def flac(tmp_path: Path, noise: NDArray[np.int16]) -> bytes:
    soundfile.write(tmp_path / "whole.flac", noise, RATE_HZ)
    return (tmp_path / "whole.flac").read_bytes()


def encoded(path: Path, codec: str, noise: NDArray[np.int16], **options: str) -> bytes:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(noise.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def split(folder: Path, content: bytes) -> SplitRecording:
    recording = folder / "recording"
    recording.write_bytes(content)
    return asyncio.run(LocalSplitter().split(recording, folder / "out", "left"))


def flags(result: SplitRecording) -> dict[Flag, str]:
    return {flag.flag: flag.detail for flag in result.flags}


def test_the_available_part_of_a_truncated_wav_is_processed(tmp_path: Path, wav: bytes) -> None:
    result = split(tmp_path, wav[: len(wav) // 4])
    assert result.format.declared_duration_s == SECONDS
    assert flags(result) == {
        Flag.TRUNCATED: (
            "the audio ends after 1.5 s, but the header says 6.0 s: "
            "only the available part was processed"
        )
    }


def test_no_samples_are_added_after_the_end_of_a_truncated_file(
    tmp_path: Path, wav: bytes, noise: NDArray[np.int16]
) -> None:
    split(tmp_path, wav[: 44 + 4 * 7_000])
    left, _ = soundfile.read(tmp_path / "out/left.flac", dtype="int16")
    assert np.array_equal(left, noise[:7_000, 0])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_without_a_size_in_its_header_is_read_to_its_end(
    tmp_path: Path, wav: bytes, size: int
) -> None:
    result = split(tmp_path, wav[:40] + struct.pack("<I", size) + wav[44:])
    assert result.format.duration_s == SECONDS
    assert result.flags == ()


def test_the_available_part_of_a_truncated_flac_is_processed(tmp_path: Path, flac: bytes) -> None:
    result = split(tmp_path, flac[: len(flac) // 3])
    assert result.format.duration_s == pytest.approx(2, abs=0.6)
    assert Flag.TRUNCATED in flags(result)


def test_a_flac_with_a_gap_keeps_the_audio_after_it(tmp_path: Path, flac: bytes) -> None:
    middle = len(flac) // 2
    result = split(tmp_path, flac[:middle] + b"\x00" * 3000 + flac[middle + 3000 :])
    assert SECONDS - 1.5 < result.format.duration_s < SECONDS
    assert flags(result).keys() & {Flag.TRUNCATED, Flag.DAMAGED}


def test_an_mp3_with_gaps_counts_the_lost_packets(tmp_path: Path, noise: NDArray[np.int16]) -> None:
    mp3 = bytearray(encoded(tmp_path / "a.mp3", "mp3", noise))
    for at in range(len(mp3) // 3, len(mp3) // 2, 3000):
        mp3[at : at + 800] = np.random.default_rng(at).bytes(800)
    result = split(tmp_path, bytes(mp3))
    assert result.format.bad_packets > 0
    assert flags(result)[Flag.DAMAGED].startswith(f"{result.format.bad_packets} packet")


def test_a_truncated_mp3_is_detected_by_its_xing_header(
    tmp_path: Path, noise: NDArray[np.int16]
) -> None:
    mp3 = encoded(tmp_path / "a.mp3", "mp3", noise)
    assert Flag.TRUNCATED in flags(split(tmp_path, mp3[: len(mp3) // 2]))


def test_a_concatenated_mp3_is_read_to_its_end(tmp_path: Path, noise: NDArray[np.int16]) -> None:
    stereo = encoded(tmp_path / "a.mp3", "mp3", noise)
    soundfile.write(tmp_path / "b.mp3", noise[:, 0], 16_000, format="MP3")
    result = split(tmp_path, stereo + (tmp_path / "b.mp3").read_bytes())
    assert result.format.duration_s == pytest.approx(SECONDS * 1.5, abs=0.5)


def test_an_m4a_without_its_index_is_reported_as_cut_off(
    tmp_path: Path, noise: NDArray[np.int16]
) -> None:
    m4a = encoded(tmp_path / "a.m4a", "aac", noise)
    with pytest.raises(UnsupportedAudio, match="cut off before it was complete"):
        split(tmp_path, m4a[: len(m4a) // 2])


def test_an_m4a_whose_index_comes_first_can_be_truncated(
    tmp_path: Path, noise: NDArray[np.int16]
) -> None:
    m4a = encoded(tmp_path / "a.m4a", "aac", noise, movflags="faststart")
    result = split(tmp_path, m4a[: len(m4a) // 2])
    assert result.format.duration_s == pytest.approx(SECONDS / 2, abs=1)
    assert Flag.TRUNCATED in flags(result)


@pytest.mark.parametrize("rate_hz", [1_092_676, 3999])
def test_a_sample_rate_out_of_bounds_is_refused(tmp_path: Path, wav: bytes, rate_hz: int) -> None:
    with pytest.raises(UnsupportedAudio, match=f"its sample rate of {rate_hz} Hz"):
        split(tmp_path, wav[:24] + struct.pack("<I", rate_hz) + wav[28:])


def test_a_header_alone_has_no_samples(tmp_path: Path, wav: bytes) -> None:
    with pytest.raises(EmptyRecording, match="^no samples: the file contains only a header$"):
        split(tmp_path, wav[:40] + b"\x00" * 4)


@pytest.mark.parametrize("length", [12, 30])
def test_a_wav_that_ends_in_its_header_is_damaged(tmp_path: Path, wav: bytes, length: int) -> None:
    with pytest.raises(
        UnsupportedAudio, match="the WAV header is damaged, so the audio can't be read"
    ):
        split(tmp_path, wav[:length])


def test_samples_without_a_header_have_an_unknown_format(tmp_path: Path, wav: bytes) -> None:
    with pytest.raises(UnsupportedAudio, match=r"\(first bytes ([0-9a-f]{2} ){7}[0-9a-f]{2}\)"):
        split(tmp_path, wav[44:])


def test_a_video_without_sound_has_no_audio_track(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(UnsupportedAudio, match="^the file has no audio track$"):
        split(tmp_path, (tmp_path / "v.mp4").read_bytes())


def test_a_playlist_hidden_behind_a_byte_is_not_followed(tmp_path: Path, wav: bytes) -> None:
    with pytest.raises(UnsupportedAudio, match="unknown audio format"):
        split(tmp_path, b"\x00#EXTM3U\n#EXTINF:9,\n" + bytes(tmp_path / "whole.wav"))


def test_a_name_that_looks_like_a_url_is_only_a_name(tmp_path: Path, wav: bytes) -> None:
    recording = tmp_path / "http:127.0.0.1"
    recording.write_bytes(wav[:40] + b"\x00" * 4 + wav[44:])
    result = asyncio.run(LocalSplitter().split(recording, tmp_path / "out", "left"))
    assert result.format.duration_s == SECONDS


def test_a_full_disk_is_an_error_that_can_be_retried(tmp_path: Path, wav: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/left.flac.part").mkdir()
    with pytest.raises(EngineUnavailable, match="is the disk full"):
        split(tmp_path, wav)
