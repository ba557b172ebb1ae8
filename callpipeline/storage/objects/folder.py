"""Object store in a local folder: each file is an object, its relative path the key.

Stored files are on the disk when `put` returns, and readable by their owner only; links that lead
out of the folder are not followed. Uses the file system directly: listings of obstore are
unordered, fail at names with a tab, line break or other encoding, and leave out names such as
`call #13`.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from callpipeline.domain.calls.call import Recording
from callpipeline.errors import MissingObject, PathRefused, StoreUnavailable
from callpipeline.storage.objects import files, open_files
from callpipeline.storage.objects.keys import key_from_name, name_from_key
from callpipeline.storage.objects.ports import (
    BLOCK_BYTES,
    MAX_KEY_BYTES,
    REPLACED,
    ObjectStore,
    OnUnreadable,
    is_unsafe_key,
    translate_errors,
)

PARTIAL_PREFIX = b".callpipeline-"
"""Prefix of files that are still being written."""

FolderIdentity = tuple[int, int]

LINK_OUT = "A link leads out of the folder, and isn't followed."
_LINK_CYCLE = "A link points to a folder above it."
_TOO_LONG = f"The path of a file is longer than {MAX_KEY_BYTES} bytes."
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
                raise MissingObject(REPLACED)

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


def walk_files(
    root: bytes, top: str, after: str | None, unreadable: OnUnreadable
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield keys after `after` that start with `top` (empty, or ending in `/`), with their stat.

    In the order of keys. Reads one folder at a time, and skips folders entirely before `after`.
    Raises OSError if the root cannot be read; other errors are reported to `unreadable`.
    """
    stack: list[tuple[FolderIdentity, Iterator[str]]] = []
    key: str | None = top
    while key is not None:
        if key == top or key.endswith("/"):
            _open_folder(root, key, after, stack, unreadable)
        elif found := _stat_file(root, key, unreadable):
            yield key, found
        key = _next_key(stack)


def _next_key(stack: list[tuple[FolderIdentity, Iterator[str]]]) -> str | None:
    while stack:
        key = next(stack[-1][1], None)
        if key is not None:
            return key
        stack.pop()
    return None


def _open_folder(
    root: bytes,
    folder: str,
    after: str | None,
    stack: list[tuple[FolderIdentity, Iterator[str]]],
    unreadable: OnUnreadable,
) -> None:
    """Push the names in a folder on the stack; a deleted folder is skipped, except the root."""
    path = os.path.join(root, name_from_key(folder))  # noqa: PTH118 - bytes
    try:
        about = os.stat(path)  # noqa: PTH116 - bytes
        identity = (about.st_dev, about.st_ino)
        if any(identity == other for other, _ in stack):
            return unreadable(_LINK_CYCLE)
        stack.append((identity, iter(_list_folder(root, folder, after, unreadable))))
    except OSError as error:
        if not folder:
            raise
        return _report("folder", error, unreadable)


def _list_folder(
    root: bytes, folder: str, after: str | None, unreadable: OnUnreadable
) -> list[str]:
    """Return the sorted keys of the files and folders in a folder; those of folders end in `/`."""
    keys: list[str] = []
    with os.scandir(os.path.join(root, name_from_key(folder))) as entries:  # noqa: PTH118 - bytes
        for entry in entries:
            key = folder + key_from_name(entry.name)
            try:
                if entry.is_symlink() and files.leads_out(root, entry.path):
                    if after is None or key > after:
                        unreadable(LINK_OUT)
                    continue
                is_folder = entry.is_dir()
                is_listed = is_folder or (
                    entry.is_file() and not entry.name.startswith(PARTIAL_PREFIX)
                )
            except OSError as error:
                # A link to, for example, `a.wav/b`, or a cycle of links; reported once per walk.
                if after is None or key > after:
                    _report("link", error, unreadable)
                continue
            key += "/" if is_folder else ""
            is_after = after is None or key > after or (is_folder and after.startswith(key))
            if is_after and is_listed:
                keys.append(key)
    return sorted(keys)


def _stat_file(root: bytes, key: str, unreadable: OnUnreadable) -> os.stat_result | None:
    """Return the stat of a file, None if it was deleted or is not a regular file."""
    name = name_from_key(key)
    if len(key.encode()) > MAX_KEY_BYTES:
        return unreadable(_TOO_LONG)
    try:
        found = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 - bytes
    except OSError as error:
        return _report("file", error, unreadable)
    return found if stat.S_ISREG(found.st_mode) else None


def _report(kind: str, error: OSError, unreadable: OnUnreadable) -> None:
    """Report an unreadable link, folder or file without its name, unless it was deleted."""
    is_deleted = isinstance(error, FileNotFoundError | NotADirectoryError)
    if kind == "link" or not is_deleted:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        unreadable(f"A {kind} cannot be read: {reason.lower()}.")
