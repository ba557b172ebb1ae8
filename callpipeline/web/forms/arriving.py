"""A file that comes in pieces: on its way to the disk, and what is known of it there."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fastapi import HTTPException

from callpipeline.engines.split.probe import HEAD_BYTES

CLOSE = {"Connection": "close"}
"""Of an answer before the body was read: what is left of it is not worth reading."""

Look = Callable[[bytes], None]
"""Told the first bytes of a file, 4096 or all; it raises where they are nothing to go on with."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that came whole."""

    path: Path
    size_bytes: int
    sha256: str


class Arriving:
    """A file on its way: pieces wait in memory until somebody writes them.

    `held` is how many bytes wait. Written in a thread: hashing and a disk take their time.
    """

    def __init__(self, path: Path, *, most_bytes: int | None = None, look: Look | None = None):
        self._path = path
        self._most_bytes = most_bytes
        self._look = look
        self._pieces: list[bytes] = []
        self._head = b""
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self.held = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def take(self, piece: bytes) -> None:
        """Raises HTTPException (413) for a byte too many."""
        self._size_bytes += len(piece)
        if self._most_bytes is not None and self._size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        self._pieces.append(piece)
        self.held += len(piece)

    def write(self) -> None:
        """Write what is held. Raises what `look` raises, as soon as there is enough to look at."""
        pieces, self._pieces, self.held = self._pieces, [], 0
        if self._look:
            self._head = b"".join((self._head, *pieces))[:HEAD_BYTES]
            if len(self._head) == HEAD_BYTES:
                self._looked()
        for piece in pieces:
            self._hash.update(piece)
        self._file.writelines(pieces)

    def finished(self) -> Arrived:
        """The file, when all of it is written."""
        self._looked()
        self._file.flush()
        return Arrived(self._path, self._size_bytes, self._hash.hexdigest())

    def _looked(self) -> None:
        look, self._look = self._look, None
        if look:
            look(self._head)


def too_large(most_bytes: int) -> HTTPException:
    size = f"{most_bytes / 1_000_000:,.0f} MB" if most_bytes >= 1_000_000 else f"{most_bytes:,} B"
    return HTTPException(413, f"The file is too large: {size} are the most that is taken.", CLOSE)
