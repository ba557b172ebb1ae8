"""Sizes in the headers of RF64, W64, AIFF, AU and CAF files that mean "unknown".

Recorders write such a size until they know it, and leave it there if they are killed or write to
a pipe. Decoders take it literally: they refuse the file, or read nothing.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from callpipeline.domain.calls.wav_header import MIN_CHUNK_BYTES, is_unknown_size

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
W64_HEADER_BYTES, W64_CHUNK_BYTES = 40, 24
MAX_CHUNKS = 1000
MIN_AUDIO_BYTES = 256
"""A stated size of nothing is believed unless at least these bytes follow it."""
HUGE = 1 << 48

Patches = dict[int, bytes]


def true_sizes(path: Path, head: bytes) -> Mapping[int, bytes]:
    """Return the bytes to read instead of those of the file, by position, to know its end.

    Empty for a file whose sizes are plausible.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if head[:4] in (b"RF64", b"BW64"):
            return _rf64(file, size)
        if head.startswith(W64_RIFF):
            return _w64(file, size)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(file, size)
        if head[:4] == b".snd" and len(head) >= 24:
            first, stated = struct.unpack(">II", head[4:12])
            unknown = stated != 0xFFFF_FFFF and _is_unknown(stated, size - first)
            return {8: b"\xff" * 4} if unknown else {}
        if head[:4] == b"caff":
            return _caf(file, size)
    return {}


def _is_unknown(stated: int, available: int) -> bool:
    """Return whether a size is a placeholder, given the bytes that there are."""
    if stated <= MIN_CHUNK_BYTES:
        return available >= MIN_AUDIO_BYTES
    return stated > available and (is_unknown_size(stated & 0xFFFF_FFFF) or stated >= HUGE)


def _chunks(file: BinaryIO, start: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the size and the position of the body of each chunk."""
    size_bytes = 8 if order == "caf" else 4
    layout = ">4sQ" if order == "caf" else f"{order}4sI"
    at = start
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        header = file.read(4 + size_bytes)
        if len(header) < 4 + size_bytes:
            return
        name, size = struct.unpack(layout, header)
        body = at + len(header)
        yield name, size, body
        at = body + size + (0 if order == "caf" else size % 2)


def _rf64(file: BinaryIO, size: int) -> Patches:
    wide: tuple[int, int] | None = None
    for name, stated, body in _chunks(file, 12, "<"):
        if name == b"ds64" and stated >= 24:
            file.seek(body + 8)
            wide = body, int.from_bytes(file.read(8), "little")
        if name == b"data":
            if wide is None or not is_unknown_size(stated) or not _is_unknown(wide[1], size - body):
                return {}
            sizes = struct.pack("<QQQ", size - 8, size - body, 0)
            return {wide[0]: sizes, body - 4: b"\xff" * 4}
    return {}


def _w64(file: BinaryIO, size: int) -> Patches:
    at = W64_HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        header = file.read(W64_CHUNK_BYTES)
        if len(header) < W64_CHUNK_BYTES:
            return {}
        stated = int.from_bytes(header[16:], "little")
        if header.startswith(W64_DATA):
            if not _is_unknown(max(0, stated - W64_CHUNK_BYTES), size - at - W64_CHUNK_BYTES):
                return {}
            return {16: struct.pack("<Q", size), at + 16: struct.pack("<Q", size - at)}
        at += max(W64_CHUNK_BYTES, -(-stated // 8) * 8)
    return {}


def _aiff(file: BinaryIO, size: int) -> Patches:
    patches, common = Patches(), (0, 0)
    for name, stated, body in _chunks(file, 12, ">"):
        if name == b"COMM" and stated >= 18:
            file.seek(body)
            channels, _, bits = struct.unpack(">HIH", file.read(8))
            common = body + 2, channels * ((bits + 7) // 8)
        if name == b"SSND":
            if _is_unknown(stated, size - body):
                patches[body - 4] = struct.pack(">I", (size - body) & 0xFFFF_FFFF)
                if all(common):
                    frames = (size - body - 8) // common[1]
                    patches[common[0]] = struct.pack(">I", frames & 0xFFFF_FFFF)
            break
    return patches | {4: struct.pack(">I", (size - 8) & 0xFFFF_FFFF)} if patches else {}


def _caf(file: BinaryIO, size: int) -> Patches:
    for name, stated, body in _chunks(file, 8, "caf"):
        if name == b"data":
            unknown = stated != 0xFFFF_FFFF_FFFF_FFFF and _is_unknown(stated, size - body)
            return {body - 8: b"\xff" * 8} if unknown else {}
    return {}
