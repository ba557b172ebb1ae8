"""Folders on this machine that are kept for a time: channels to be fetched, and work under way."""

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"(\d{1,12})-[0-9a-f]{32}", re.ASCII)


class Shelf:
    """Folders with random names, each of which says when its time is over.

    So whoever sweeps needs no memory, and what a killed server left goes as well.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._now = now
        self._own: set[Path] = set()

    def add(self, for_s: float) -> Path:
        """A new folder that is kept for so many seconds."""
        folder = self._root / f"{int(self._now() + for_s) + 1}-{secrets.token_hex(16)}"
        folder.mkdir(mode=0o700)
        self._own.add(folder)
        return folder

    @contextmanager
    def workplace(self, for_s: float) -> Iterator[Path]:
        """A folder that goes when its work is done, or when its time is over."""
        folder = self.add(for_s)
        try:
            yield folder
        finally:
            self._remove(folder)

    def find(self, name: str) -> Path | None:
        """The folder of that name; None where there is none."""
        folder = self._root / name
        return folder if _NAME.fullmatch(name) and folder.is_dir() else None

    def sweep(self) -> None:
        """Delete the folders whose time is over."""
        with contextlib.suppress(OSError):
            for folder in self._root.iterdir():
                named = _NAME.fullmatch(folder.name)
                if named and int(named[1]) <= self._now():
                    self._remove(folder)

    def clear(self) -> None:
        """Delete the folders that were made through this object."""
        for folder in tuple(self._own):
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._own.discard(folder)
