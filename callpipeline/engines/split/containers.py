"""Containers as recorders write them: appended files, and sizes that mean "unknown"."""

import io
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from callpipeline.domain.calls.wav_header import (
    MIN_CHUNK_BYTES,
    RIFF_MAGICS,
    WavHeader,
    read_wav_header,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The magic, and the header of the first block, which every FLAC file has."""
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
MIN_UNREAD_BYTES = 1024


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


def find_extent(path: Path, head: bytes) -> Extent:
    """Find the files that a recording consists of, and what follows them."""
    size = path.stat().st_size
    whole = Extent((AppendedFile(0, size),))
    if head[:4] in RIFF_MAGICS and head[8:12] == b"WAVE":
        return _scan(path, _wav_extent)
    if head[:4] == b"fLaC":
        return _scan(path, _flac_extent)
    if head[4:8] == b"ftyp":
        with path.open("rb") as file:
            return _mp4_extent(file, size)
    return whole


def _scan(path: Path, find: Callable[[mmap.mmap, BinaryIO], Extent]) -> Extent:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return find(content, file)


def _wav_extent(content: mmap.mmap, file: BinaryIO) -> Extent:
    starts, size, unread = [0], len(content), 0
    while header := read_wav_header(file, starts[-1]):
        end = header.data_end
        if end is None or end > size:
            # The size is not known: samples that look like a header are out of the question.
            following = _next_wav(content, header.data_start)
        else:
            following, unread = _after_wav(content, header, end)
        if following is None:
            break
        starts.append(following)
    return Extent(_between(starts, size), unread)


def _after_wav(content: mmap.mmap, header: WavHeader, end: int) -> tuple[int | None, int]:
    """Return where the next file begins, if any, and the bytes that belong to no chunk."""
    at = end + (end - header.data_start) % 2
    for start in {end, at, header.riff_end or end}:
        if start < len(content) and _is_wav(content, start):
            return start, 0
    while at + MIN_CHUNK_BYTES <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + MIN_CHUNK_BYTES])
        if _is_wav(content, at):
            return at, 0
        is_chunk = all(32 <= byte < 127 for byte in name)
        if not is_chunk or at + MIN_CHUNK_BYTES + size > len(content):
            break
        at += MIN_CHUNK_BYTES + size + size % 2
    following = _next_wav(content, at)
    return following, 0 if following else _unread(content, at)


def _is_wav(content: mmap.mmap, at: int) -> bool:
    return content[at : at + 4] in RIFF_MAGICS and content[at + 8 : at + 12] == b"WAVE"


def _next_wav(content: mmap.mmap, after: int) -> int | None:
    at = content.find(b"WAVE", after + 8)
    while at >= 0 and not _is_wav(content, at - 8):
        at = content.find(b"WAVE", at + 1)
    return at - 8 if at >= 0 else None


def _flac_extent(content: mmap.mmap, file: BinaryIO) -> Extent:
    starts, at = [0], content.find(FLAC_START, 1)
    while at >= 0:
        starts.append(at)
        at = content.find(FLAC_START, at + 1)
    return Extent(_between(starts, len(content)))


def _mp4_extent(file: BinaryIO, size: int) -> Extent:
    """Walk through the boxes: a second `ftyp` begins a file of its own."""
    starts, at, has_index = [0], 0, False
    while at + MIN_CHUNK_BYTES <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(MIN_CHUNK_BYTES))
        if not name.isalnum() and name != b"\xa9xyz":
            break
        if name == b"ftyp" and at > starts[-1] and has_index:
            starts.append(at)
            has_index = False
        has_index = has_index or name in (b"moov", b"mdat")
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        at = size if length == 0 else at + max(length, MIN_CHUNK_BYTES)
    unread = max(0, size - at) if has_index else 0
    return Extent(_between(starts, size), unread if unread >= MIN_UNREAD_BYTES else 0)


def _between(starts: list[int], size: int) -> tuple[AppendedFile, ...]:
    ends = [*starts[1:], size]
    return tuple(AppendedFile(start, end) for start, end in zip(starts, ends, strict=True))


def _unread(content: mmap.mmap, at: int) -> int:
    """Return the bytes from `at` on, unless they are few, a tag, or padding."""
    rest = len(content) - at
    if rest < MIN_UNREAD_BYTES or content[at : at + 8].startswith(TAGS):
        return 0
    return rest if any(content[at : at + 65_536]) else 0


class FileWindow(io.RawIOBase):
    """A read-only file that is a part of another one."""

    def __init__(self, path: Path, segment: AppendedFile) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._segment = segment
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
        self._position += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
