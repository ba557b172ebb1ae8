"""WAV headers, including RF64 for large files."""

import struct

import pytest

from callpipeline.domain.audio import MAX_UINT32, WavLayout


def test_a_header_describes_the_data() -> None:
    wav = WavLayout(frames=16_000, channels=2, sample_rate_hz=8000)
    assert wav.header() == (
        b"RIFF" + struct.pack("<I", 36 + 64_000) + b"WAVEfmt " + struct.pack("<I", 16)
        + struct.pack("<HHIIHH", 1, 2, 8000, 32_000, 4, 16) + b"data" + struct.pack("<I", 64_000)
    )  # fmt: skip
    assert (wav.size_bytes, wav.duration_s) == (64_044, 2.0)


@pytest.mark.parametrize("over", [0, 1])
def test_files_over_four_gigabytes_are_rf64(over: int) -> None:
    frames = (MAX_UINT32 - 36) // 4 + over
    wav = WavLayout(frames, channels=2, sample_rate_hz=48_000)
    header = wav.header()
    assert wav.size_bytes == len(header) + frames * 4
    if not over:
        assert header[:4] == b"RIFF"
        return
    assert header[:12] == b"RF64" + struct.pack("<I", MAX_UINT32) + b"WAVE"
    size, riff, data, samples, table = struct.unpack("<IQQQI", header[16:48])
    assert (size, riff, data, samples, table) == (28, wav.size_bytes - 8, frames * 4, frames, 0)
    assert header[-8:] == b"data" + struct.pack("<I", MAX_UINT32)
