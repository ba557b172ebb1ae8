"""Detection of file types from their first bytes, and durations stated in headers."""

import struct
from pathlib import Path

from callpipeline.errors import EmptyRecording, UnsupportedAudio

HEAD_BYTES = 4096

NOT_AUDIO = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the audio itself: fetch it with git lfs pull",
    ),
    (b"%PDF", "a PDF, not audio"),
    (b"PK\x03\x04", "a ZIP archive, not audio"),
    (b"\x1f\x8b", "a gzip archive, not audio"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive, not audio"),
    (b"Rar!\x1a\x07", "a RAR archive, not audio"),
    (b"\xff\xd8\xff", "an image (JPEG), not audio"),
    (b"\x89PNG\r\n\x1a\n", "an image (PNG), not audio"),
    (b"GIF8", "an image (GIF), not audio"),
    (b"II*\x00", "an image (TIFF), not audio"),
    (b"MM\x00*", "an image (TIFF), not audio"),
    (b"\x7fELF", "a program, not audio"),
)

TEXT_KINDS = (
    (("<!doctype html", "<html"), "an HTML page, not audio"),
    (("<?xml",), "an XML document, not audio"),
    (("{", "["), "a JSON or text file, not audio"),
)

UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes that a recorder writes until it knows the size of the samples."""


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file. Raises EmptyRecording if there are none."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise EmptyRecording("the file is empty")
    return head


def reject_non_audio(head: bytes) -> None:
    """Raise UnsupportedAudio for text, web pages, images, archives and programs.

    Text must never reach the decoders: they read playlists, which refer to other files and URLs.
    """
    kind = _kind_by_magic(head) or _kind_of_text(head)
    if kind:
        raise UnsupportedAudio(f"this is {kind}")


def explain_unreadable(head: bytes) -> str:
    """Return the reason why no decoder opens a file."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "the WAV header is damaged, so the audio can't be read"
    if head[4:8] == b"ftyp":
        return "an MP4 or M4A file without its index: it was cut off before it was complete"
    if not any(head):
        return "the file contains only zeros; it was probably never written"
    return (
        f"unknown audio format: no decoder recognises it (first bytes {head[:8].hex(' ')}); "
        "samples without a header don't state their rate"
    )


def wav_declared_s(path: Path) -> float | None:
    """Return the duration stated in a WAV header; None if there is none.

    libsndfile and FFmpeg reduce it to the available audio, so neither detects a truncated file.
    """
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
            return None
        bytes_per_s = 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                return size / bytes_per_s if bytes_per_s and size not in UNKNOWN_SIZES else None
            body_at = file.tell()
            if name == b"fmt ":
                bytes_per_s = int.from_bytes(file.read(12)[8:12], "little")
            file.seek(body_at + size + size % 2)
    return None


def mp3_states_its_length(path: Path) -> bool:
    """Return whether an MP3 has a Xing, Info or VBRI header.

    Without one FFmpeg estimates the duration from the first frame's bit rate, which is not precise
    enough to call a file truncated.
    """
    with path.open("rb") as file:
        start = file.read(10)
        if start[:3] == b"ID3":
            file.seek(10 + _syncsafe(start[6:10]))
        else:
            file.seek(0)
        frame = file.read(HEAD_BYTES)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def _syncsafe(four: bytes) -> int:
    """Decode an ID3 size: four bytes of seven bits."""
    return sum(byte << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=False))


def _kind_by_magic(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "an image (WebP), not audio"
    return next((kind for magic, kind in NOT_AUDIO if head.startswith(magic)), None)


def _kind_of_text(head: bytes) -> str | None:
    text = _as_text(head)
    if text is None or text.startswith("#!AMR"):
        return None
    start = text.lstrip().lower()
    return next(
        (kind for starts, kind in TEXT_KINDS if start.startswith(starts)), "a text file, not audio"
    )


def _as_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="replace")
    else:
        text = _as_utf8(head)
    if text is None or any(not (c.isprintable() or c in "\r\n\t\f") for c in text):
        return None
    return text


def _as_utf8(head: bytes) -> str | None:
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_cut_character = len(head) == HEAD_BYTES and error.start >= HEAD_BYTES - 3
        return head[: error.start].decode("utf-8-sig") if is_cut_character else None
