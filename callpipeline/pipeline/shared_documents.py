"""Documents that other systems store in our object store, and the transcripts they may read.

Their documents are below a folder of their own. Of the objects of calls, only transcripts can be
read, by the paths that the API shows, and none can be written.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from callpipeline.domain.calls.call import Recording
from callpipeline.domain.calls.legacy import OldTranscriptPath
from callpipeline.errors import MissingObject, PathRefused
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import MAX_KEY_BYTES, ObjectStore, is_unsafe_key
from callpipeline.storage.ports.calls import OldTranscript

CALLS_PREFIX = "calls/"
MAX_PATH_BYTES = MAX_KEY_BYTES - len(keys.SHARED)
MAX_NAME_BYTES = 240


class TranscriptKeys(Protocol):
    """Knows the object keys of transcripts."""

    def has(self, key: str) -> bool: ...

    def find_old(self, path: OldTranscriptPath) -> OldTranscript | None:
        """Return the transcript at a path of the old system, if a call has one there."""
        ...

    def list_old(
        self, prefix: str = "", after: str | None = None, *, limit: int, newest: bool = False
    ) -> list[OldTranscript]:
        """Return transcripts whose paths in the old system start with `prefix`."""
        ...

    def in_old_format(self, document: bytes) -> bytes:
        """Return a stored transcript in the format of the old system."""
        ...


@dataclass(frozen=True, slots=True)
class SharedDocument:
    """A stored document, and its object."""

    path: str
    recording: Recording


class SharedDocuments:
    """The part of the object store open to other systems. Methods raise PathRefused."""

    def __init__(self, store: ObjectStore, transcripts: TranscriptKeys) -> None:
        self._store = store
        self._transcripts = transcripts

    def put(self, path: str, document: bytes) -> None:
        """Store a document, replacing an existing one."""
        key = self._key_to_write(path)
        try:
            self._store.put(key, document)
        except MissingObject:
            # Its folder may have been removed as empty; else part of the path is another object.
            self._put_again(key, document)

    def _put_again(self, key: str, document: bytes) -> None:
        try:
            self._store.put(key, document)
        except MissingObject:
            raise PathRefused(
                "An object can't be below another object, nor have the name of a folder: choose "
                "another path."
            ) from None

    def read(self, path: str) -> bytes:
        """Return the content of a document. Raises MissingObject.

        By its path in the old system, a transcript is returned in the format that it had there.
        """
        if found := self._old_transcript(path):
            return self._transcripts.in_old_format(self._store.read(found.key))
        return self._store.read(self._key_to_read(path))

    def exists(self, path: str) -> bool:
        try:
            self.find(path)
        except MissingObject:
            return False
        return True

    def find(self, path: str) -> SharedDocument:
        """Return the metadata of a document. Raises MissingObject."""
        found = self._old_transcript(path)
        key = found.key if found else self._key_to_read(path)
        return SharedDocument(path, self._store.recording(key))

    def delete(self, path: str) -> None:
        """Delete a document. Raises MissingObject."""
        key = self._key_to_write(path)
        self._store.recording(key)
        self._store.delete(key)
        self._store.remove_empty_folders(key)

    def list_below(self, prefix: str, after: str | None, limit: int) -> list[SharedDocument]:
        """Return documents whose paths start with `prefix` and sort after `after`, in order."""
        for given in (prefix, after or ""):
            if given and (_is_invalid(given.rstrip("/")) or "\0" in given):
                raise PathRefused("No paths start with this prefix.")
        key = keys.shared(prefix)
        folder, _, name = key.rpartition("/")
        # After everything that sorts before the prefix; an equal key must be included.
        begin = max(key[:-1] if name else "", keys.shared(after) if after else "")
        pages = self._store.pages(folder, begin or None)
        return list(islice(_below(pages, key), limit))

    def address(self, path: str, for_s: int, sign: Callable[[str], str]) -> str:
        """Return a temporary URL: presigned by the store, or else created by `sign` from the path.

        Raises MissingObject.
        """
        self.find(path)
        if self._old_transcript(path):  # its object has another format
            return sign(path)
        return self._store.address(self._key_to_read(path), for_s) or sign(path)

    def list_old(self, prefix: str, after: str | None, limit: int) -> list[str]:
        """Return the paths of documents and of transcripts in the old system, in order."""
        own = (each.path for each in self.list_below(prefix, after, limit))
        transcripts = (each.path for each in self._transcripts.list_old(prefix, after, limit=limit))
        return sorted({*own, *transcripts})[:limit]

    def newest(self, limit: int) -> list[SharedDocument]:
        """Return the newest transcripts, by their paths in the old system, then documents.

        Transcripts that are deleted meanwhile are left out.
        """
        found: list[SharedDocument] = []
        for each in self._transcripts.list_old(limit=limit, newest=True):
            with suppress(MissingObject):
                found.append(SharedDocument(each.path, self._store.recording(each.key)))
        return found + self.list_below("", None, limit - len(found))

    def where(self, path: str) -> str:
        """Return the full path of a document: the name of the store, and its key."""
        return f"{self._store.name.rstrip('/')}/{keys.shared(path)}"

    def _old_transcript(self, path: str) -> OldTranscript | None:
        parsed = OldTranscriptPath.parse(path)
        return self._transcripts.find_old(parsed) if parsed else None

    def _key_to_write(self, path: str) -> str:
        if self._old_transcript(path):
            raise PathRefused("Transcripts of calls are read-only: choose another path.")
        return _key_to_write(path)

    def _key_to_read(self, path: str) -> str:
        if not path.startswith(CALLS_PREFIX):
            return _key_to_write(path)
        if _is_invalid(path) or not self._transcripts.has(path):
            raise MissingObject("Transcript not found.")
        return path


def _key_to_write(path: str) -> str:
    if path.startswith(CALLS_PREFIX):
        raise PathRefused("Objects of calls are read-only: choose another path.")
    if _is_invalid(path):
        raise PathRefused(
            "Invalid path: use a path like folder/name.json, without .., empty or hidden parts; at "
            f"most {MAX_PATH_BYTES} bytes, and {MAX_NAME_BYTES} between slashes."
        )
    return keys.shared(path)


def _is_invalid(path: str) -> bool:
    try:
        sizes = [len(part.encode()) for part in path.split("/")]
    except UnicodeEncodeError:  # an unpaired surrogate
        return True
    is_long = sum(sizes) + len(sizes) - 1 > MAX_PATH_BYTES or max(sizes) > MAX_NAME_BYTES
    is_hidden = any(part.startswith(".") for part in path.split("/"))
    return is_unsafe_key(path) or is_hidden or is_long


def _below(pages: Iterator[list[Recording]], key: str) -> Iterator[SharedDocument]:
    for page in pages:
        for found in page:
            if found.key.startswith(key):
                yield SharedDocument(found.key.removeprefix(keys.SHARED), found)
            elif found.key > key:
                return
