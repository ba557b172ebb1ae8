"""The competitors of this installation, read again when their file has changed."""

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from callpipeline.domain.catalog import Catalog
from callpipeline.domain.matching import Matcher
from callpipeline.errors import CatalogInvalid

SEARCHING_AT_ONCE = 2
log = logging.getLogger("uvicorn.callpipeline")


class CompetitorList:
    """What finds competitors in texts. A change that cannot be read changes nothing.

    `searching` is entered by who searches in threads: the processor has other work too.
    """

    def __init__(self, path: Path, load: Callable[[], Catalog]) -> None:
        self.searching = asyncio.Semaphore(SEARCHING_AT_ONCE)
        self._path = path
        self._load = load
        self._turn = threading.Lock()
        self._seen: object = None
        self._matcher: Matcher | None = None

    def matcher(self) -> Matcher:
        """By the list as it is now. Raises CatalogInvalid where none could be read yet."""
        with self._turn:
            state = self._state()
            if self._matcher is None or state != self._seen:
                self._matcher = self._read()
                self._seen = self._state()  # reading may have made it
            return self._matcher

    def _read(self) -> Matcher:
        try:
            return Matcher(self._load())
        except CatalogInvalid:
            if self._matcher is None:
                raise
            log.error("The competitor list was changed and cannot be read: the one before is used.")
            return self._matcher

    def _state(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
