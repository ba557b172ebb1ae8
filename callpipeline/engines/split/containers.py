"""Containers as recorders write them: appended files, and sizes that mean "unknown"."""

import io
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from callpipeline.domain.calls.wav_header import (
    MIN_CHUNK_BYTES,
    RIFF_MAGICS,
    WavHeader,
    read_wav_header,
)
from callpipeline.engines.split.probe import HEAD_BYTES, has_header, syncsafe
from callpipeline.engines.split.stated_sizes import W64_RIFF

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The magic, and the header of the first block, which every FLAC file has."""
OGG_START = b"OggS\x00\x02" + bytes(8)
EBML, DOCTYPES = b"\x1a\x45\xdf\xa3", (b"webm", b"matroska")
STARTS: tuple[tuple[bytes, int, bytes], ...] = (
    (b"WAVE", -8, b""),
    (b"AIFF", -8, b""),
    (b"AIFC", -8, b""),
    (FLAC_START, 0, b"OggS" + EBML),
    (OGG_START, 0, b"OggS"),
    (EBML, 0, EBML),
    (b"ftyp", -4, b""),
    (b"#!AMR", 0, b"#!AMR"),
    (b"caff\x00\x01\x00\x00desc", 0, b""),
    (W64_RIFF, 0, b""),
    (b"NIST_1A\n   1024\n", 0, b""),
)
"""Bytes at the beginning of a file, the offset of its start from them, and the first four bytes of
files that have the same bytes inside, or that decoders read on into another of their kind."""
MAX_BRANDS_BYTES = 512
FIRST_SCAN_BYTES, SCAN_BYTES = 1 << 16, 1 << 22
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
MIN_UNREAD_BYTES = 1024
MIN_FILE_BYTES = 64
MAX_APPENDED = 10_000


@dataclass(frozen=True, slots=True)
class AppendedFile:
    """One of the files that a recorder appended to each other: its bytes within the whole."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Extent:
    """The segments of a recording, and the number of bytes behind them that belong to none."""

    segments: tuple[AppendedFile, ...]
    unread_bytes: int = 0


def wav_declared_s(path: Path) -> float | None:
    """Return the duration stated in a WAV header; None if there is none.

    libsndfile and FFmpeg reduce it to the available audio, so neither detects a truncated file.
    """
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return None
        header = read_wav_header(file)
    return header.declared_s if header else None


def find_extent(path: Path) -> Extent:
    """Find the files that a recording consists of, and what follows them."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts, unread = [0], 0
        while len(starts) <= MAX_APPENDED:
            following, unread = _following(content, file, starts[-1])
            if following is None:
                break
            starts.append(following)
        return Extent(_between(starts, len(content)), unread)


def _following(content: mmap.mmap, file: BinaryIO, start: int) -> tuple[int | None, int]:
    """Return where the file after that at `start` begins, and the bytes that belong to none."""
    head, size = content[start : start + HEAD_BYTES], len(content)
    header = read_wav_header(file, start)
    if header and header.data_end is not None and header.data_end <= size:
        return _after_wav(content, header, header.data_end)
    if head[4:8] == b"ftyp":
        return _after_mp4(file, start, size)
    # The size is not known, or not stated. Samples that look like a header are next to impossible.
    least = header.data_start if header else start + MIN_FILE_BYTES
    return _next_start(content, start, least), 0


def _after_wav(content: mmap.mmap, header: WavHeader, end: int) -> tuple[int | None, int]:
    """Return where the next file begins, if any, and the bytes that belong to no chunk."""
    at = end + (end - header.data_start) % 2
    for start in sorted({end, at, header.riff_end or end}):
        if end <= start < len(content) and begins_file(content[start : start + HEAD_BYTES]):
            return start, 0
    while at + MIN_CHUNK_BYTES <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + MIN_CHUNK_BYTES])
        if begins_file(content[at : at + HEAD_BYTES]):
            return at, 0
        is_chunk = all(32 <= byte < 127 for byte in name)
        if not is_chunk or at + MIN_CHUNK_BYTES + size > len(content):
            break
        at += MIN_CHUNK_BYTES + size + size % 2
    following = _next_start(content, header.data_start, at)
    return following, 0 if following else _unread(content, at)


def begins_file(head: bytes) -> bool:
    """Return whether bytes behind the end of a file are the beginning of another one."""
    if head[:4] in RIFF_MAGICS:
        return head[8:12] == b"WAVE"
    if head[:4] == EBML:
        return any(doctype in head[:80] for doctype in DOCTYPES)
    if head[4:8] == b"ftyp":
        length = int.from_bytes(head[:4], "big")
        return 16 <= length <= MAX_BRANDS_BYTES and length % 4 == 0
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    if head.startswith(b"ID3"):  # a tag of the file before it, unless frames follow
        head = head[10 + syncsafe(head[6:10]) :]
    return len(head) >= MIN_FILE_BYTES and (has_header(head) or head.startswith(W64_RIFF))


def _next_start(content: mmap.mmap, inside: int, least: int) -> int | None:
    """Return where the next file begins from `least` on, behind the beginning of another one."""
    head = content[inside : inside + 4]
    marks = [(text, reach) for text, reach, own in STARTS if not own or head not in own]
    start, length = least, FIRST_SCAN_BYTES
    while start < len(content):
        # Growing: many short files behind each other would else cost a whole block each.
        block = content[start : start + length + HEAD_BYTES]
        found = [begin for text, reach in marks for begin in _begins(block, text, reach)]
        if found and min(found) < length:
            return start + min(found)
        start += length
        length = min(2 * length, SCAN_BYTES)
    return None


def _begins(block: bytes, text: bytes, reach: int) -> Iterator[int]:
    """Yield where the first file with this text at its beginning begins in a block."""
    at = block.find(text)
    while at >= 0:
        begin = at + reach
        if begin >= 0 and begins_file(block[begin : begin + HEAD_BYTES]):
            yield begin
            return
        at = block.find(text, at + 1)


def _after_mp4(file: BinaryIO, start: int, size: int) -> tuple[int | None, int]:
    """Walk through the boxes: a second `ftyp`, or the beginning of another kind, ends the file."""
    at, has_index = start, False
    while at + MIN_CHUNK_BYTES <= size:
        file.seek(at)
        head = file.read(HEAD_BYTES)
        length, name = struct.unpack(">I4s", head[:MIN_CHUNK_BYTES])
        if at > start and has_index and begins_file(head):
            return at, 0
        if not name.isalnum() and name != b"\xa9xyz":
            break
        has_index = has_index or name in (b"moov", b"mdat")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        at = size if length == 0 else at + max(length, MIN_CHUNK_BYTES)
    unread = max(0, size - at) if has_index else 0
    return None, unread if unread >= MIN_UNREAD_BYTES else 0


def _between(starts: list[int], size: int) -> tuple[AppendedFile, ...]:
    ends = [*starts[1:], size]
    return tuple(AppendedFile(start, end) for start, end in zip(starts, ends, strict=True))


def _unread(content: mmap.mmap, at: int) -> int:
    """Return the bytes from `at` on, unless they are few, a tag, or padding."""
    rest = len(content) - at
    if rest < MIN_UNREAD_BYTES or content[at : at + 8].startswith(TAGS):
        return 0
    return rest if any(content[at : at + 65_536]) else 0


NO_PATCHES: Mapping[int, bytes] = {}


class FileWindow(io.RawIOBase):
    """A read-only file that is a part of another one, with other bytes at some positions."""

    def __init__(
        self, path: Path, segment: AppendedFile, patches: Mapping[int, bytes] = NO_PATCHES
    ) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._segment, self._patches = segment, patches
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._segment.end - self._segment.start
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        into = memoryview(buffer).cast("B")
        at = self._segment.start + self._position
        length = min(len(into), max(0, self._segment.end - at))
        self._file.seek(at)
        read = self._file.readinto(into[:length])
        for position, patch in self._patches.items():
            first = max(position, self._position)
            last = min(position + len(patch), self._position + read)
            if first < last:
                own = patch[first - position : last - position]
                into[first - self._position : last - self._position] = own
        self._position += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
