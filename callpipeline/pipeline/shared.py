"""Documents that others keep in the store of results, and the transcripts that they may read there.

What they keep lies below a folder of its own, whatever its path says; of what is kept of calls,
transcripts alone can be read, by the paths that calls are shown with, and nothing written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject, PathRefused
from callpipeline.storage import keys
from callpipeline.storage.object_store import LONGEST_KEY_BYTES, ObjectStore, is_odd

OF_CALLS = "calls/"
LONGEST_PATH_BYTES = LONGEST_KEY_BYTES - len(keys.SHARED)
LONGEST_NAME_BYTES = 240


class Transcripts(Protocol):
    """Which keys are those of calls' transcripts."""

    def has(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """One of the objects that others keep here; `etag` is that of its content."""

    path: str
    recording: Recording


class SharedObjects:
    """The part of the store of results that others read and write. Paths raise PathRefused."""

    def __init__(self, store: ObjectStore, transcripts: Transcripts) -> None:
        self._store = store
        self._transcripts = transcripts

    def put(self, path: str, document: bytes) -> None:
        """Store a document whole, in place of what is there."""
        key = _key_to_write(path)
        try:
            self._store.put(key, document)
        except MissingObject:
            # Its folder may have been tidied away meanwhile; else one of the names is another's.
            self._put_again(key, document)

    def _put_again(self, key: str, document: bytes) -> None:
        try:
            self._store.put(key, document)
        except MissingObject:
            raise PathRefused(
                "An object cannot lie below another one, nor have the name of a folder: choose "
                "another path."
            ) from None

    def read(self, path: str) -> bytes:
        """Raises MissingObject."""
        return self._store.read(self._key_to_read(path))

    def exists(self, path: str) -> bool:
        try:
            self.find(path)
        except MissingObject:
            return False
        return True

    def find(self, path: str) -> Shared:
        """What is known of an object. Raises MissingObject."""
        return Shared(path, self._store.recording(self._key_to_read(path)))

    def delete(self, path: str) -> None:
        """Raises MissingObject."""
        key = _key_to_write(path)
        self._store.recording(key)
        self._store.delete(key)
        self._store.tidy(key)

    def listed(self, prefix: str, after: str | None, limit: int) -> list[Shared]:
        """Objects of others whose paths begin so and sort behind `after`, in their order."""
        for given in (prefix, after or ""):
            if given and (_is_unfit(given.rstrip("/")) or "\0" in given):
                raise PathRefused("There are no paths that begin so.")
        key = keys.shared(prefix)
        folder, _, name = key.rpartition("/")
        # Behind everything that sorts before the prefix; what equals it is to be in the list.
        begin = max(key[:-1] if name else "", keys.shared(after) if after else "")
        pages = self._store.pages(folder, begin or None)
        return list(islice(_below(pages, key), limit))

    def address(self, path: str, for_s: int, sign: Callable[[str], str]) -> str:
        """A URL for whoever has it, for a time: the store's own, or what `sign` makes of the path.

        Raises MissingObject.
        """
        self.find(path)
        return self._store.address(self._key_to_read(path), for_s) or sign(path)

    def _key_to_read(self, path: str) -> str:
        if not path.startswith(OF_CALLS):
            return _key_to_write(path)
        if _is_unfit(path) or not self._transcripts.has(path):
            raise MissingObject("There is no such transcript.")
        return path


def _key_to_write(path: str) -> str:
    if path.startswith(OF_CALLS):
        raise PathRefused("What is kept of calls cannot be changed here: choose another path.")
    if _is_unfit(path):
        raise PathRefused(
            "The path cannot be used: write it like folder/name.json, without .., empty or hidden "
            f"parts, {LONGEST_PATH_BYTES} bytes at most, {LONGEST_NAME_BYTES} between slashes."
        )
    return keys.shared(path)


def _is_unfit(path: str) -> bool:
    try:
        sizes = [len(part.encode()) for part in path.split("/")]
    except UnicodeEncodeError:  # half a character
        return True
    is_long = sum(sizes) + len(sizes) - 1 > LONGEST_PATH_BYTES or max(sizes) > LONGEST_NAME_BYTES
    is_hidden = any(part.startswith(".") for part in path.split("/"))
    return is_odd(path) or is_hidden or is_long


def _below(pages: Iterator[list[Recording]], key: str) -> Iterator[Shared]:
    for page in pages:
        for found in page:
            if found.key.startswith(key):
                yield Shared(found.key.removeprefix(keys.SHARED), found)
            elif found.key > key:
                return
