"""What services of this machine have printed: names of erased calls are masked in it."""

import mmap
from collections.abc import Sequence
from pathlib import Path


def mask(folder: Path, words: Sequence[str]) -> int:
    """Overwrite words in the files of a folder, in place and as long as they are; returns how
    often.

    Services go on writing to the ends of these files, so they are neither shortened nor replaced.
    """
    found = 0
    for path in sorted(folder.glob("*.log*")) if folder.is_dir() else ():
        if path.is_file() and path.stat().st_size:
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
                found += sum(_overwrite(content, word.encode()) for word in words)
    return found


def _overwrite(content: mmap.mmap, word: bytes) -> int:
    found, place = 0, content.find(word)
    while place >= 0:
        content[place : place + len(word)] = b"x" * len(word)
        found += 1
        place = content.find(word, place + len(word))
    return found
