"""Headers of WAV files, as recorders write them."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

PCM_TAGS = frozenset({1, 3, 6, 7})
"""PCM, float, A-law and mu-law: their samples have a fixed size."""
EXTENSIBLE = 0xFFFE
RIFF_MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
MIN_CHUNK_BYTES = 8


@dataclass(frozen=True, slots=True)
class WavHeader:
    """Contents of a WAV header; None where they are missing or not plausible.

    `data_end` is the position after the samples, `riff_end` that after the whole file.
    """

    declared_s: float | None
    data_start: int
    data_end: int | None
    riff_end: int | None
    bytes_per_s: int


def is_unknown_size(size: int) -> bool:
    """Return whether a size is what recorders write until they know it: 0, 2 GB or 4 GB."""
    return size == 0 or 0x7FFF_0000 <= size <= 0x8000_1000 or size >= 0xFFFF_0000


def read_wav_header(file: BinaryIO, start: int = 0) -> WavHeader | None:
    """Read the header of a WAV file that begins at `start`; None if there is none."""
    file.seek(start)
    riff = file.read(12)
    if len(riff) < 12 or riff[:4] not in RIFF_MAGICS or riff[8:12] != b"WAVE":
        return None
    order = ">" if riff[:4] == b"RIFX" else "<"
    riff_size = struct.unpack(f"{order}I", riff[4:8])[0]
    riff_end = None if is_unknown_size(riff_size) else start + 8 + riff_size
    fmt, fact_samples = b"", 0
    while len(head := file.read(MIN_CHUNK_BYTES)) == MIN_CHUNK_BYTES:
        name, size = struct.unpack(f"{order}4sI", head)
        body_at = file.tell()
        if name == b"data":
            return _wav_header(order, fmt, fact_samples, (body_at, size), riff_end)
        if name == b"fmt ":
            fmt = file.read(min(size, 40))
        elif name == b"fact":
            fact_samples = int.from_bytes(file.read(4), "little" if order == "<" else "big")
        file.seek(body_at + size + size % 2)
    return None


def _wav_header(
    order: str, fmt: bytes, fact_samples: int, data: tuple[int, int], riff_end: int | None
) -> WavHeader | None:
    if len(fmt) < 16:
        return None
    start, size = data
    tag, _, rate_hz, bytes_per_s, block, _ = struct.unpack(f"{order}HHIIHH", fmt[:16])
    if tag == EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack(f"{order}H", fmt[24:26])[0]
    is_pcm = tag in PCM_TAGS
    if is_pcm:
        # Some recorders write a wrong byte rate, which no decoder of PCM needs.
        bytes_per_s = block * rate_hz
    known = not is_unknown_size(size)
    stated = [size / bytes_per_s] if known and bytes_per_s else []
    if known and not is_pcm and 0 < fact_samples < 0x7FFF_0000 and rate_hz:
        stated.append(fact_samples / rate_hz)
    declared_s = min(stated, default=None)
    return WavHeader(declared_s, start, start + size if known else None, riff_end, bytes_per_s)
