"""Keys of objects, and file names as keys. No other module composes keys."""

import re

from callpipeline.domain.audio import Channel

_INBOX_FOLDER = re.compile(r"[0-9a-f]{12}|[0-9a-f]{20}")
"""Folder of an uploaded recording, and of one that was announced by URL."""


def inbox(sha256: str, name: str) -> str:
    """Return the key of an uploaded recording, in a folder that it shares with its sidecar."""
    return f"{sha256[:12]}/{name}"


def source_folder(key: str) -> str:
    """Return the folder of a recording for display; empty if it was uploaded or announced."""
    folder = key.rpartition("/")[0]
    return "" if _INBOX_FOLDER.fullmatch(folder) else folder


def is_upload(key: str) -> bool:
    """Return whether a key is that of an upload, whose name is checked when it arrives."""
    return _INBOX_FOLDER.fullmatch(key.partition("/")[0]) is not None


def announced(key: str) -> str:
    """Return the key of an announced recording in the inbox, which discovery skips."""
    return f".announced/{key}"


def channel_audio(call_id: str, channel: Channel) -> str:
    """Return the key of one channel's audio, mono FLAC."""
    return f"calls/{call_id}/{channel}.flac"


def peaks(call_id: str, channel: Channel) -> str:
    """Return the key of one channel's waveform peaks, JSON."""
    return f"calls/{call_id}/peaks.{channel}.json"


def call_folder(call_id: str) -> str:
    """Return the folder with all objects of a call."""
    return f"calls/{call_id}"


def transcript(call_id: str, channel: Channel) -> str:
    """Return the key of one channel's transcript with its words, JSON."""
    return f"calls/{call_id}/transcript.{channel}.json"


SHARED = "shared/"


def shared(path: str) -> str:
    """Return the key of an object that other programs share here, separate from all calls."""
    return SHARED + path


# File names as keys: Linux allows any bytes, Postgres and JSON only text. A byte that is not UTF-8
# becomes a private-use character, as does each byte of such a character itself. So every name has a
# unique key, and ordinary names are their own keys.
_PRIVATE = 0xEF00
_ESCAPED = 0xDC00  # the range of Python's surrogateescape
_UNENCODABLE = re.compile("[\udc80-\udcff\uef80-\uefff]")
_ENCODED = re.compile("[\uef80-\uefff]")


def key_from_name(name: bytes) -> str:
    """Return the key of a file name or relative path."""
    text = name.decode("utf-8", "surrogateescape")
    return text if text.isascii() else _UNENCODABLE.sub(_encode, text)


def name_from_key(key: str) -> bytes:
    """Return the file name of a key. Raises ValueError for a key that no file can have."""
    if not key.isascii():
        key = _ENCODED.sub(lambda match: chr(ord(match[0]) - _PRIVATE + _ESCAPED), key)
    return key.encode("utf-8", "surrogateescape")


def _encode(match: re.Match[str]) -> str:
    return "".join(chr(_PRIVATE + byte) for byte in match[0].encode("utf-8", "surrogateescape"))
