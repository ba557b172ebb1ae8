"""Detection of files that are not audio, and durations stated in headers."""

import struct
from pathlib import Path

import pytest

from callpipeline.engines.split.containers import wav_declared_s
from callpipeline.engines.split.probe import (
    HEAD_BYTES,
    explain_unreadable,
    mp3_states_its_length,
    read_head,
    reject_non_audio,
)
from callpipeline.errors import EmptyRecording, UnsupportedAudio

OTHER_KINDS = {
    b"hello, this is not audio\n": "this is a text file, not audio",
    "ol\u00e9, na\u00efve caf\u00e9".encode(): "this is a text file, not audio",
    "hello there".encode("utf-16"): "this is a text file, not audio",
    b"  <!DOCTYPE html><title>404</title>": "this is an HTML page, not audio",
    b"\xef\xbb\xbf<html><body>login</body>": "this is an HTML page, not audio",
    b'<?xml version="1.0"?><Error/>': "this is an XML document, not audio",
    b'{"error": "expired"}': "this is a JSON or text file, not audio",
    b"#EXTM3U\nhttp://10.0.0.1/secret\n": "this is a text file, not audio",
    b"%PDF-1.7\n%\xe2\xe3": "this is a PDF, not audio",
    b"PK\x03\x04\x14\x00": "this is a ZIP archive, not audio",
    b"\x1f\x8b\x08\x00": "this is a gzip archive, not audio",
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "this is an image (JPEG), not audio",
    b"\x89PNG\r\n\x1a\n\x00": "this is an image (PNG), not audio",
    b"RIFF\x00\x01\x00\x00WEBPVP8 ": "this is an image (WebP), not audio",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:83f7\n": (
        "this is a Git LFS pointer, not the audio itself: fetch it with git lfs pull"
    ),
    b"PK\x05\x06" + bytes(18): "this is an empty ZIP archive, not audio",
    b"PK\x07\x08PK\x03\x04": "this is a part of a ZIP archive, not audio",
    b"call.wav".ljust(257, b"\0") + b"ustar\x0000": "this is a tar archive, not audio",
    b"\x04\x22\x4d\x18\x64\x40\xa7": "this is an LZ4 archive, not audio",
    b"\x1f\x9d\x90\x01": "this is an archive of compress, not audio",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00": "this is an Office document, not audio",
    b"SQLite format 3\0\x10": "this is an SQLite database, not audio",
    b"MThd\0\0\0\x06\0\x01": "this is a MIDI file: it has notes and no speech",
    b"0\x82\x0a\xbc\x06\x09*\x86H\x86\xf7\x0d\x01\x07\x03\xa0\x82": (
        "this is an encrypted (CMS) file: decrypt it first"
    ),
    b"HTTP/2 200\r\ncontent-length: 5\r\n\r\nRIFF\0\0\0\0WAVE": (
        "this is a reply of a web server with its headers: store its content alone"
    ),
    b"Content-Type: audio/wav\r\n\r\nRIFF\xff\0\0\0WAVE": (
        "this is a message with headers before its content: store the content alone"
    ),
    b"MIME-Version: 1.0\r\nContent-Type: audio/wav\r\n\r\nRIFF\xff": (
        "this is a message with headers before its content: store the content alone"
    ),
    b'\r\n--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nRIFF\xff\0\0\0WAVE': (
        "this is a multipart form with a file inside: store the file alone, without the form"
    ),
    b"--=_b\nContent-Transfer-Encoding: binary\n\nRIFF\xff\0\0\0WAVE": (
        "this is a multipart form with a file inside: store the file alone, without the form"
    ),
}


def wav(*chunks: tuple[bytes, bytes], sizes: dict[bytes, int] | None = None) -> bytes:
    """Return a WAV file of chunks, each with its true size or the one in `sizes`."""
    body = b"".join(
        name + struct.pack("<I", (sizes or {}).get(name, len(content))) + content
        for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


FMT = struct.pack("<HHIIHH", 1, 2, 8000, 32_000, 4, 16)


@pytest.mark.parametrize(("head", "sentence"), OTHER_KINDS.items(), ids=OTHER_KINDS.values())
def test_the_type_of_a_file_that_is_not_audio_is_reported(head: bytes, sentence: str) -> None:
    with pytest.raises(UnsupportedAudio) as refused:
        reject_non_audio(head)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "head",
    [
        wav((b"fmt ", FMT), (b"data", b"\x00" * 8)),
        b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE",
        b"\xff\xfb\x90\x64\x00",
        b"OggS\x00\x02",
        b"fLaC\x00\x00\x00\x22",
        b"\x00\x00\x00\x1cftypM4A ",
        b"#!AMR\n\x3c\x91\x17",
        b"#!AMR\n",
        b"\x00",
    ],
)
def test_possible_audio_is_left_to_the_decoders(head: bytes) -> None:
    reject_non_audio(head)


def test_a_text_cut_within_a_character_is_still_a_text() -> None:
    head = ("x" * (HEAD_BYTES - 1) + "\u00e9").encode()[:HEAD_BYTES]
    with pytest.raises(UnsupportedAudio, match="text file"):
        reject_non_audio(head)


def test_a_file_without_bytes_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(EmptyRecording, match="^the file is empty$"):
        read_head(path)


def test_an_unknown_format_is_described_by_up_to_eight_bytes() -> None:
    sentence = explain_unreadable(bytes(range(200, 240)))
    assert "no decoder recognises it" in sentence
    assert "(first bytes c8 c9 ca cb cc cd ce cf)" in sentence


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (
            b"RIFF\x24\x00\x00\x00WAVEfmt ffff",
            "the WAV header is damaged, so the audio can't be read",
        ),
        (b"\x00\x00\x00\x1cftypM4A ", "cut off before it was complete"),
        (b"\x00" * 4096, "contains only zeros"),
    ],
)
def test_detectable_damage_is_the_reason(head: bytes, words: str) -> None:
    assert words in explain_unreadable(head)


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (wav((b"fmt ", FMT), (b"data", b"\x00" * 320)), 0.01),
        (wav((b"fmt ", FMT), (b"data", b""), sizes={b"data": 32_000 * 47}), 47.0),
        (wav((b"LIST", b"odd"), (b"fmt ", FMT)), None),
        (wav((b"JUNK", b"even"), (b"fmt ", FMT + b"\0\0"), (b"data", b"\x00" * 640)), 0.02),
        (wav((b"fmt ", FMT), (b"data", b"\x00" * 640), sizes={b"data": 0xFFFFFFFF}), None),
        (wav((b"fmt ", FMT), (b"data", b"\x00" * 640), sizes={b"data": 0}), None),
        (wav((b"data", b"\x00" * 640)), None),
        (b"RIFF", None),
        (b"fLaC\x00\x00\x00\x22", None),
    ],
)
def test_a_wav_header_states_a_duration(
    tmp_path: Path, content: bytes, seconds: float | None
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert wav_declared_s(path) == seconds


def test_an_odd_chunk_is_followed_by_a_padding_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(
        wav((b"fmt ", FMT), (b"note", b"odd\x00"), (b"data", b"\x00" * 320), sizes={b"note": 3})
    )
    assert wav_declared_s(path) == 0.01


@pytest.mark.parametrize(
    ("content", "states"),
    [
        (b"\xff\xe3\x68\x00" + b"\x00" * 9 + b"Xing", True),
        (b"ID3\x04\x00\x00\x00\x00\x4e\x10" + b"\x00" * 10_000 + b"\xff\xfb\x90\x64Info", True),
        (b"\xff\xfb\x90\x64" + b"\x55" * 400, False),
    ],
)
def test_an_mp3_states_its_length_only_in_a_xing_header(
    tmp_path: Path, content: bytes, states: bool
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert mp3_states_its_length(path) is states
