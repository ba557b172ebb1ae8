"""What a recording is called, from what its sender says: fit for a folder, a bucket and a page.

A sender may be a person whose browser sends a path, or somebody who tries `../`.
"""

import re
import unicodedata

LONGEST_BYTES = 220
"""Of a name as it is kept: file systems take 255, and a transcript beside it is named alike."""
LONGEST_ENDING = 20
UNNAMED = "recording"

JOINERS = "\u200c\u200d"
"""Of Persian words and of emoji: invisible, and part of what is written."""
_DROPPED = frozenset(("Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp"))
"""Control, invisible and direction-changing characters, halves of characters, private ones and such
as are none yet, and line breaks."""


def clean(sent: str) -> str:
    """A name with nothing in it that a folder, a bucket or a page could take for something else.

    The same name however its accents are composed, without the folders before it, and not hidden.
    What is too long keeps its beginning and its ending. Never empty.
    """
    last = re.split(r"[/\\]", sent)[-1]
    shown = "".join(filter(_is_kept, unicodedata.normalize("NFC", last)))
    # Normalised again: what stood between two characters that belong together is gone.
    name = unicodedata.normalize("NFC", " ".join(shown.split())).lstrip(". ").rstrip(". ")
    return _shortened(name) or UNNAMED


def _is_kept(letter: str) -> bool:
    if letter in JOINERS:
        return True
    if letter in "\t\n\r":  # a space between two words, as any other
        return True
    return unicodedata.category(letter) not in _DROPPED


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > LONGEST_ENDING:
        stem, dot, ending = name, "", ""
    room = LONGEST_BYTES - len(f"…{dot}{ending}".encode())
    cut = stem.encode()[:room].decode(errors="ignore")
    return f"{cut.rstrip()}…{dot}{ending}"
