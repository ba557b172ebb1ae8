"""Files that a browser keeps under a name that users supplied (RFC 6266)."""

import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

LONGEST = 120
_FORBIDDEN = frozenset('<>:"/\\|?*')
_SAFE_IN_QUOTES = frozenset("!#$&'()+,-.;=@[]^_`{}~ ")


def attachment(name: str, ending: str) -> str:
    """The header that lets an answer be kept as `<name without its ending>.<ending>`.

    In ASCII for old clients, and as it is where it has other letters. Nothing in it ends the
    header, leads into a folder, is hidden, or turns the rest around.
    """
    stem = _tame(PurePosixPath(name).stem) or "call"
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    ascii_stem = "".join(c if c.isalnum() or c in _SAFE_IN_QUOTES else "_" for c in plain)
    header = f'attachment; filename="{ascii_stem.strip(". ") or "call"}.{ending}"'
    if ascii_stem == stem:
        return header
    return f"{header}; filename*=UTF-8''{quote(f'{stem}.{ending}', safe='')}"


def _tame(stem: str) -> str:
    shown = (c if c.isprintable() and c not in _FORBIDDEN else "_" for c in stem)
    return "".join(shown)[:LONGEST].encode("utf-8", "replace").decode().strip(". ")
