"""Detection of file types from their first bytes."""

from pathlib import Path

from callpipeline.errors import EmptyRecording, UnsupportedAudio

HEAD_BYTES = 4096
PGP = "an encrypted (PGP) file: decrypt it, and store the recording itself"

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
    (b"BZh", "a bzip2 archive, not audio"),
    (b"\xfd7zXZ\x00", "an XZ archive, not audio"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive, not audio"),
    (b"-----BEGIN PGP", PGP),
    (b"-----BEGIN PKCS7", "an encrypted (PKCS #7) file: decrypt it first"),
    (b"Salted__", "an encrypted (OpenSSL) file: decrypt it first"),
    (b"age-encryption.org/", "an encrypted (age) file: decrypt it first"),
    (b"HTTP/", "a reply of a web server with its headers: store its content alone"),
    (b"PK\x05\x06", "an empty ZIP archive, not audio"),
    (b"PK\x07\x08", "a part of a ZIP archive, not audio"),
    (b"\x04\x22\x4d\x18", "an LZ4 archive, not audio"),
    (b"\x1f\x9d", "an archive of compress, not audio"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document, not audio"),
    (b"SQLite format 3\0", "an SQLite database, not audio"),
    (b"MThd\0\0\0\6", "a MIDI file: it has notes and no speech"),
)

CMS_ENVELOPED = bytes.fromhex("06092a864886f70d0107")
"""The beginning of the object identifiers of PKCS #7, of which most are encrypted."""

TEXT_KINDS = (
    (("<!doctype html", "<html"), "an HTML page, not audio"),
    (("<?xml",), "an XML document, not audio"),
    (("{", "["), "a JSON or text file, not audio"),
)

CONTAINER_MAGICS = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"fLaC", b"OggS", b"ID3", b"#!AMR", b"FORM"),
    *(b".snd", b"caff", b"NIST_1A", b"Creative Voice File", b"\x1a\x45\xdf\xa3", b"FLV"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
)
"""First bytes of files with a header. MP3 is missing: its first bytes may also be samples."""
MP3_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
"""Bit rates of layer III by the four bits in its header, for MPEG-1 and for later versions."""
PGP_PACKETS = {1: (2, 3, 6), 3: (4, 5, 6)}
"""Packets that begin an encrypted message, and the versions that follow their length.

Source: https://www.rfc-editor.org/rfc/rfc9580
"""


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file. Raises EmptyRecording if there are none."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise EmptyRecording("the file is empty")
    return head


def reject_non_audio(head: bytes, *, is_raw: bool = False) -> None:
    """Raise UnsupportedAudio for text, web pages, images, archives and programs.

    Text must never reach the decoders: they read playlists, which refer to other files and URLs.
    With `is_raw`, the file may be samples without a header, which can begin with any few bytes.
    """
    kind = (None if is_raw else _kind_by_magic(head)) or _kind_of_text(head)
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
    if head.startswith(b"NIST_1A"):
        return "a NIST SPHERE file in a compressed or unknown coding: convert it to WAV first"
    if (at := head.find(b"RIFF")) > 0 and head[at + 8 : at + 12] == b"WAVE":
        return f"there are {at} other bytes before the header of a WAV file: remove them"
    return (
        f"unknown audio format: no decoder recognises it (first bytes {head[:8].hex(' ')}); "
        "if these are samples without a header, set their format with `raw:` of the source"
    )


def mp3_states_its_length(path: Path) -> bool:
    """Return whether an MP3 has a Xing, Info or VBRI header.

    Without one FFmpeg estimates the duration from the first frame's bit rate, which is not precise
    enough to call a file truncated.
    """
    with path.open("rb") as file:
        start = file.read(10)
        if start[:3] == b"ID3":
            file.seek(10 + syncsafe(start[6:10]))
        else:
            file.seek(0)
        frame = file.read(HEAD_BYTES)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def syncsafe(four: bytes) -> int:
    """Decode an ID3 size: four bytes of seven bits."""
    return sum(byte << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=False))


def has_header(head: bytes) -> bool:
    """Return whether a file begins with the header of a container, so that it is not raw."""
    is_container = head.startswith(CONTAINER_MAGICS) or head[4:8] == b"ftyp"
    return is_container or _begins_with_mp3_frames(head)


def _begins_with_mp3_frames(head: bytes) -> bool:
    """Return whether three MP3 frames follow each other: samples only look like a single one."""
    at = 0
    for _ in range(3):
        length = _mp3_frame_bytes(head[at : at + 4])
        if not length:
            return False
        at += length
    return True


def _mp3_frame_bytes(header: bytes) -> int:
    """Return the length of the frame of layer III with this header; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, padding = (header[1] >> 3) & 3, (header[2] >> 1) & 1
    is_mpeg1 = version == 3
    kbits = MP3_KBITS[is_mpeg1][header[2] >> 4]
    rate_hz = (44_100, 48_000, 32_000, 0)[(header[2] >> 2) & 3] >> {3: 0, 2: 1, 0: 2}.get(
        version, 20
    )
    return (144 if is_mpeg1 else 72) * kbits * 1000 // rate_hz + padding if rate_hz and kbits else 0


def _kind_by_magic(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "an image (WebP), not audio"
    start = head.lstrip(b"\r\n").lower()
    fields = (b"content-disposition:", b"content-type:", b"content-transfer-encoding:")
    if start.startswith(b"--") and any(field in start for field in fields):
        return "a multipart form with a file inside: store the file alone, without the form"
    if start.startswith((*fields, b"mime-version:")):
        return "a message with headers before its content: store the content alone"
    if head[257:262] == b"ustar":
        return "a tar archive, not audio"
    if head[:1] == b"\x30" and CMS_ENVELOPED in head[:24]:
        return "an encrypted (CMS) file: decrypt it first"
    if _is_pgp(head):
        return PGP
    return next((kind for magic, kind in NOT_AUDIO if head.startswith(magic)), None)


def _is_pgp(head: bytes) -> bool:
    """Return whether a file begins with a packet of an encrypted OpenPGP message."""
    first = head[0]
    if first & 0xC0 == 0x80:  # a packet of the old format
        tag, length_bytes = (first >> 2) & 0xF, (1, 2, 4, 0)[first & 3]
    elif first & 0xC0 == 0xC0:
        tag, length_bytes = first & 0x3F, 1 if head[1:2] < b"\xc0" else 2
    else:
        return False
    versions = PGP_PACKETS.get(tag, ())
    packet = int.from_bytes(head[1 : 1 + length_bytes], "big")
    if first & 0x40 and length_bytes == 2:
        packet -= 0xC000 - 192
    if not 0 < packet < 0x2000:
        return False
    return len(head) > 1 + length_bytes and head[1 + length_bytes] in versions


def _kind_of_text(head: bytes) -> str | None:
    text = _as_text(head)
    if text is None or text.startswith(("#!AMR", "NIST_1A")):
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
