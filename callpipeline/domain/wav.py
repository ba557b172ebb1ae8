"""A WAV file as arithmetic: its header, its size, and which samples a range of its bytes holds."""

import struct
from dataclasses import dataclass

SAMPLE_BYTES = 2
LARGEST = 0xFFFF_FFFF
"""What the 32-bit sizes of a WAV file can say; larger ones are RF64 (EBU Tech 3306)."""
PCM = 1


@dataclass(frozen=True, slots=True)
class Wav:
    """16-bit PCM: `frames` samples of each of `channels` channels."""

    frames: int
    channels: int
    sample_rate_hz: int

    @property
    def frame_bytes(self) -> int:
        return SAMPLE_BYTES * self.channels

    @property
    def sound_bytes(self) -> int:
        return self.frames * self.frame_bytes

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate_hz

    @property
    def size_bytes(self) -> int:
        return len(self.header()) + self.sound_bytes

    def header(self) -> bytes:
        """All that stands before the samples."""
        rate = self.sample_rate_hz
        speed = rate * self.frame_bytes
        kind = struct.pack(
            "<4sIHHIIHH", b"fmt ", 16, PCM, self.channels, rate, speed, self.frame_bytes, 16
        )
        riff_bytes = 4 + len(kind) + 8 + self.sound_bytes
        if riff_bytes <= LARGEST:
            riff = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
            return riff + kind + struct.pack("<4sI", b"data", self.sound_bytes)
        sizes = struct.pack(
            "<4sIQQQI", b"ds64", 28, riff_bytes + 36, self.sound_bytes, self.frames, 0
        )
        riff = struct.pack("<4sI4s", b"RF64", LARGEST, b"WAVE")
        return riff + sizes + kind + struct.pack("<4sI", b"data", LARGEST)
