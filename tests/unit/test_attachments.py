"""File names of downloads, for any name of a recording."""

import re
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.http_server.responses import content_disposition


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("call 17.wav", "call 17.srt"),
        ("a/b/call.tar.gz", "call.tar.srt"),
        ("été.wav", "été.srt"),
        ('a"b.wav', "a_b.srt"),
        ("a\r\nSet-Cookie: x.wav", "a__Set-Cookie_ x.srt"),
        ("...", "call.srt"),
        ("", "call.srt"),
        ("..\\..\\boot.ini", "_.._boot.srt"),
        ("con\u202egpj.wav", "con_gpj.srt"),
    ],
)
def test_downloads_are_named_after_the_recording(name: str, kept: str) -> None:
    assert _as_browsers_read(content_disposition(name, "srt")) == kept


@given(st.text(max_size=300))
def test_names_cannot_escape_the_header_or_the_folder(name: str) -> None:
    header = content_disposition(name, "csv")
    assert re.fullmatch(r"[\x20-\x7e]+", header)
    plain = Message()
    plain["Content-Disposition"] = header
    for kept in (plain.get_filename() or "", _as_browsers_read(header)):
        assert kept.endswith(".csv")
        assert PurePosixPath(kept).name == kept
        assert not kept.startswith(".")
        assert "\\" not in kept


def _as_browsers_read(header: str) -> str:
    """The extended name takes precedence (RFC 6266, 4.3)."""
    if found := re.search(r"filename\*=UTF-8''([^;]+)", header):
        return unquote(found[1])
    found = re.search(r'filename="([^"]*)"', header)
    assert found
    return found[1]
