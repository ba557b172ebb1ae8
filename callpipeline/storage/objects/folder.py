"""Object store in a local folder: each file is an object, its relative path the key.

Stored files are on the disk when `put` returns, and readable by their owner only; links that lead
out of the folder are not followed. Uses the file system directly: listings of obstore are
unordered, fail at names with a tab, line break or other encoding, and leave out names such as
`call #13`.
"""

import errno
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from callpipeline.domain.calls.call import Recording
from callpipeline.errors import MissingObject, ObjectReplaced, PathRefused, StoreUnavailable
from callpipeline.storage.objects import files, open_files
from callpipeline.storage.objects.folder_walk import LINK_OUT, PARTIAL_PREFIX, walk_files
from callpipeline.storage.objects.keys import key_from_name, name_from_key
from callpipeline.storage.objects.ports import (
    BLOCK_BYTES,
    REPLACED,
    ObjectStore,
    OnUnreadable,
    is_unsafe_key,
    translate_errors,
)

_INVALID_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


class FolderStore(ObjectStore):
    """A folder as bucket. The first write creates it.

    For all other operations a missing folder is unavailable rather than empty: it may be a disk
    that is not mounted.
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def put(self, key: str, content: bytes | Path) -> None:
        self.put_all({key: content})

    def put_all(
        self, contents: Mapping[str, bytes | Path], check: Callable[[], None] = lambda: None
    ) -> None:
        # All files are written before the first is synced, so that they share the disk's work.
        with ExitStack() as stack:
            with self._translate_errors():
                written = [
                    stack.enter_context(self._partial_file(*each)) for each in contents.items()
                ]
                for each in written:
                    each.sync()
            for each in written:
                check()
                with self._translate_errors():
                    each.replace()
            with self._translate_errors():
                for each in written:
                    each.sync_folders()

    def put_back(self, key: str, content: Path, modified: datetime) -> None:
        with self._translate_errors(), self._partial_file(key, content) as partial:
            partial.set_modified((modified - _EPOCH) // timedelta(microseconds=1))
            partial.sync()
            partial.replace()
            partial.sync_folders()

    def put_new(self, key: str, content: bytes | Path) -> None:
        with self._translate_errors(), self._partial_file(key, content) as partial:
            partial.sync()
            partial.link()
            partial.sync_folders()

    def read(self, key: str) -> bytes:
        with self._translate_errors(), self._open(key) as file:
            return file.read()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with self._translate_errors(), self._open(key) as file:
            file.seek(start)
            return file.read(length)

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        with self._translate_errors(), self._open(key) as file, into.open("wb") as copy:
            shutil.copyfileobj(file, copy, BLOCK_BYTES)
            # Checked after the copy: the etag also changes if the file grew in the meantime.
            if etag is not None and _etag(os.fstat(file.fileno())) != etag:
                raise ObjectReplaced(REPLACED)

    def delete(self, key: str) -> None:
        with suppress(MissingObject), self._translate_errors():
            folder, name = _split(self._name(key))
            with files.open_folder(self._folder, folder) as chain:
                os.unlink(name, dir_fd=chain[-1])
                files.sync_folder(chain[-1])

    def delete_below(self, prefix: str) -> int:
        with suppress(MissingObject), self._translate_errors():
            folder, name = _split(self._name(prefix))
            with files.open_folder(self._folder, folder) as chain:
                return files.delete_tree(name, chain[-1])
        return 0

    def remove_empty_folders(self, key: str) -> None:
        # Not translated: a folder that is not empty is not an error of the store.
        with suppress(ValueError, OSError):
            names = _split(self._name(key))[0].split(b"/")
            for depth in range(len(names), 0, -1):
                above = b"/".join(names[: depth - 1])
                with files.open_folder(self._folder, above) as chain:
                    # Raises at the first folder that is not empty.
                    os.rmdir(names[depth - 1], dir_fd=chain[-1])

    def exists(self, key: str) -> bool:
        try:
            return super().exists(key)
        except PathRefused:
            # A link that leads out can be deleted, although not read; raises if it is above.
            folder, _ = _split(self._name(key))
            with self._translate_errors(), files.open_folder(self._folder, folder):
                return True

    def recording(self, key: str) -> Recording:
        with self._translate_errors():
            return self._recording(key, files.stat_file(self._folder, self._name(key)))

    def is_being_written(self, recording: Recording) -> bool:
        try:
            with files.open_file(self._folder, self._name(recording.key)) as file:
                return open_files.is_being_written(file)
        except (OSError, ValueError):
            return False  # reading it will say why

    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: OnUnreadable = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        top = prefix.strip("/") + "/" if prefix.strip("/") else ""
        with self._translate_errors():
            self._require_folder()
            if not self._is_valid(top + "file"):
                return
            root = os.fsencode(self._folder)
            if top and files.leads_out(root, root + b"/" + name_from_key(top)):
                unreadable(LINK_OUT)
                return
            found = walk_files(root, top, after, unreadable)
            recordings = (self._recording(key, about) for key, about in found)
            try:
                while page := list(islice(recordings, self.page_size)):
                    yield page
            except (FileNotFoundError, NotADirectoryError):
                raise self._folder_missing() from None

    def beside(self, stem: str) -> Sequence[str]:
        parent, slash, name = stem.rpartition("/")
        with self._translate_errors():
            self._require_folder()
            try:
                with files.open_folder(self._folder, name_from_key(parent)) as chain:
                    prefix = name_from_key(name)
                    found = files.list_files(self._folder, name_from_key(parent), chain[-1], prefix)
            except (FileNotFoundError, NotADirectoryError, files.LinkLeadsOut):
                return []
        return sorted(f"{parent}{slash}{key_from_name(each)}" for each in found)

    def key_of(self, path: Path) -> str | None:
        folder, file = self._folder.resolve(), path.resolve()
        if not file.is_relative_to(folder):
            return None
        return key_from_name(os.fsencode(file.relative_to(folder)))

    def _name(self, key: str) -> bytes:
        """Return the relative path of an object. Raises ValueError for an invalid key."""
        if {"", ".", ".."} & set(key.split("/")) or "\0" in key:
            raise ValueError
        return name_from_key(key)

    def _is_valid(self, key: str) -> bool:
        try:
            self._name(key)
        except ValueError:
            return False
        return True

    @contextmanager
    def _open(self, key: str) -> Generator[BinaryIO]:
        with files.open_file(self._folder, self._name(key)) as file:
            yield file

    @contextmanager
    def _partial_file(self, key: str, content: bytes | Path) -> Generator[files.PartialFile]:
        """Write a hidden file next to the final path."""
        if is_unsafe_key(key):
            raise ValueError
        folder, name = _split(self._name(key))
        with files.open_folder(self._folder, folder, create=True) as chain:
            partial = files.PartialFile(chain, name, PARTIAL_PREFIX)
            try:
                partial.write(content)
                yield partial
            finally:
                partial.close()

    def _recording(self, key: str, found: os.stat_result) -> Recording:
        modified = _EPOCH + timedelta(microseconds=_modified_us(found))
        return Recording(self.name, key, _etag(found), found.st_size, modified)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        with translate_errors(self.name):
            try:
                yield
            except files.LinkLeadsOut:
                raise files.path_refused(self.name) from None
            except OSError as error:
                if error.errno == errno.ENOENT or error.errno in _INVALID_NAME:
                    self._require_folder()
                if error.errno == errno.ENOENT and self._is_empty():
                    raise MissingObject(
                        f"{self.name} no longer contains the object, and is empty: if its disk is "
                        "not mounted, mount it and retry the call."
                    ) from None
                if error.errno in _INVALID_NAME:
                    raise ValueError from None
                raise

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise self._folder_missing()

    def _folder_missing(self) -> StoreUnavailable:
        return StoreUnavailable(f"The folder {self.name} does not exist: is its disk mounted?")

    def _is_empty(self) -> bool:
        return next(self._folder.iterdir(), None) is None


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Return the folder and the last part of a relative path."""
    folder, _, last = name.rpartition(b"/")
    return folder, last


def _etag(found: os.stat_result) -> str:
    """Return an etag from a file's time and size; a restore would change the inode."""
    return f"{_modified_us(found):x}-{found.st_size:x}"


def _modified_us(found: os.stat_result) -> int:
    """Return the modification time in microseconds since 1970, limited to the years 1970-9999."""
    latest = (_LATEST - _EPOCH) // timedelta(microseconds=1)
    return min(max(found.st_mtime_ns // 1000, 0), latest)
