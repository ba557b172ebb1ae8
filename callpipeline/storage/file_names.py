"""Names of files as keys: Linux allows any bytes, Postgres and JSON only text.

A byte that is not UTF-8 becomes a character of a private range, as does each byte of a character
of that range itself; so any name has a key of its own, and ordinary names are their own keys.
"""

import re

_PRIVATE = 0xEF00
_ESCAPED = 0xDC00  # where Python's surrogateescape puts undecodable bytes
_ODD = re.compile("[\udc80-\udcff\uef80-\uefff]")
_MARKED = re.compile("[\uef80-\uefff]")


def key_of_name(name: bytes) -> str:
    """The key of a file's name or relative path."""
    text = name.decode("utf-8", "surrogateescape")
    return text if text.isascii() else _ODD.sub(_marked, text)


def name_of_key(key: str) -> bytes:
    """The name again. Raises ValueError for a key that no file can have."""
    if not key.isascii():
        key = _MARKED.sub(lambda found: chr(ord(found[0]) - _PRIVATE + _ESCAPED), key)
    return key.encode("utf-8", "surrogateescape")


def _marked(found: re.Match[str]) -> str:
    return "".join(chr(_PRIVATE + byte) for byte in found[0].encode("utf-8", "surrogateescape"))
