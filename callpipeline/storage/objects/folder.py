"""Object store in a local folder: each file is an object, its relative path the key.

Uses the file system directly: listings of obstore are unordered, fail at names with a tab, line
break or other encoding, and leave out names such as `call #13`.
"""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from callpipeline.domain.calls.call import Recording
from callpipeline.errors import MissingObject, ObjectReplaced, StoreUnavailable
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

_LINK_CYCLE = "A link points to a folder above it."
_TOO_LONG = f"The path of a file is longer than {MAX_KEY_BYTES} bytes."
_INVALID_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
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
        with self._translate_errors(), self._partial_file(key, content) as (partial, path):
            partial.replace(path)

    def put_new(self, key: str, content: bytes | Path) -> None:
        with self._translate_errors(), self._partial_file(key, content) as (partial, path):
            try:
                path.hardlink_to(partial)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                # Not atomic, but supported by memory sticks and network drives.
                if not path.exists():
                    partial.replace(path)

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
        with contextlib.suppress(MissingObject), self._translate_errors():
            self._path(key).unlink()

    def delete_below(self, prefix: str) -> int:
        with self._translate_errors():
            folder = self._path(prefix)
            # Includes partial files of killed processes, which listings leave out.
            files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
            if folder.exists():
                shutil.rmtree(folder)
        return len(files)

    def remove_empty_folders(self, key: str) -> None:
        # Not translated: a folder that is not empty is not an error of the store.
        with contextlib.suppress(ValueError, OSError):
            for folder in self._path(key).parents:
                if folder == self._folder or not folder.is_relative_to(self._folder):
                    return
                folder.rmdir()  # raises at the first folder that is not empty

    def recording(self, key: str) -> Recording:
        with self._translate_errors():
            found = self._path(key).stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
            return self._recording(key, found)

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
            found = walk_files(os.fsencode(self._folder), top, after, unreadable)
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

    def _path(self, key: str) -> Path:
        """Return the path of an object. Raises ValueError for an invalid key."""
        if {"", ".", ".."} & set(key.split("/")) or "\0" in key:
            raise ValueError
        return self._folder / os.fsdecode(name_from_key(key))

    def _is_valid(self, key: str) -> bool:
        try:
            self._path(key)
        except ValueError:
            return False
        return True

    @contextmanager
    def _open(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        # Before opening: opening a named pipe would block.
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileNotFoundError
        with path.open("rb") as file:
            yield file

    @contextmanager
    def _partial_file(self, key: str, content: bytes | Path) -> Iterator[tuple[Path, Path]]:
        """Write a hidden file next to the final path; yield both paths."""
        if is_unsafe_key(key):
            raise ValueError
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.parent / f"{os.fsdecode(PARTIAL_PREFIX)}{uuid.uuid4().hex}"
        try:
            source = content.open("rb") if isinstance(content, Path) else BytesIO(content)
            with source, partial.open("xb") as file:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
            yield partial, path
        finally:
            partial.unlink(missing_ok=True)

    def _recording(self, key: str, found: os.stat_result) -> Recording:
        modified = _EPOCH + timedelta(microseconds=_modified_us(found))
        return Recording(self.name, key, _etag(found), found.st_size, modified)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        with translate_errors(self.name):
            try:
                yield
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
        stack.append((identity, iter(_list_folder(path, folder, after, unreadable))))
    except OSError as error:
        if not folder:
            raise
        return _report("folder", error, unreadable)


def _list_folder(
    path: bytes, folder: str, after: str | None, unreadable: OnUnreadable
) -> list[str]:
    """Return the sorted keys of the files and folders in a folder; those of folders end in `/`."""
    keys: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            key = folder + key_from_name(entry.name)
            try:
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
