"""A local folder as a bucket: each file is an object, its relative path the key.

Through the file system itself and not through obstore, whose listing has no order, ends as a whole
at one odd name (a tab, a line break, another encoding) and leaves out `call #13`.
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

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.file_names import key_of_name, name_of_key
from callpipeline.storage.folder_walk import UNFINISHED, files_below
from callpipeline.storage.object_store import (
    BLOCK_BYTES,
    REPLACED,
    ObjectStore,
    Unreadable,
    is_odd,
    translated,
)

_NO_SUCH_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


class Folder(ObjectStore):
    """A folder that serves as bucket; made by the first write where it is missing.

    To all else a folder that is missing does not answer: it may be a disk that is not mounted, of
    which nobody can tell what is on it.
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def put(self, key: str, content: bytes | Path) -> None:
        with self._translated(), self._written(key, content) as (unfinished, path):
            unfinished.replace(path)

    def put_new(self, key: str, content: bytes | Path) -> None:
        with self._translated(), self._written(key, content) as (unfinished, path):
            try:
                path.hardlink_to(unfinished)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                # Not atomic, but what a memory stick or a network drive can do.
                if not path.exists():
                    unfinished.replace(path)

    def read(self, key: str) -> bytes:
        with self._translated(), self._opened(key) as file:
            return file.read()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with self._translated(), self._opened(key) as file:
            file.seek(start)
            return file.read(length)

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        with self._translated(), self._opened(key) as file, into.open("wb") as copy:
            shutil.copyfileobj(file, copy, BLOCK_BYTES)
            # Looked at when it is copied: also of a file that grew meanwhile it is not the same.
            if etag is not None and _etag(os.fstat(file.fileno())) != etag:
                raise MissingObject(REPLACED)

    def delete(self, key: str) -> None:
        with contextlib.suppress(MissingObject), self._translated():
            self._path(key).unlink()

    def delete_below(self, prefix: str) -> int:
        with self._translated():
            folder = self._path(prefix)
            # What a killed process left unfinished there is in no listing.
            files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
            if folder.exists():
                shutil.rmtree(folder)
        return len(files)

    def tidy(self, key: str) -> None:
        # Not translated: that a folder is not empty is no trouble of the store's.
        with contextlib.suppress(ValueError, OSError):
            for folder in self._path(key).parents:
                if folder == self._folder or not folder.is_relative_to(self._folder):
                    return
                folder.rmdir()  # which ends it at the first that is not empty

    def recording(self, key: str) -> Recording:
        with self._translated():
            found = self._path(key).stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
            return self._recording(key, found)

    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: Unreadable = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        top = prefix.strip("/") + "/" if prefix.strip("/") else ""
        with self._translated():
            self._look_whether_it_is_there()
            if not self._is_name(top + "file"):
                return
            found = files_below(os.fsencode(self._folder), top, after, unreadable)
            recordings = (self._recording(key, about) for key, about in found)
            try:
                while page := list(islice(recordings, self.page_size)):
                    yield page
            except (FileNotFoundError, NotADirectoryError):
                raise self._is_not_there() from None

    def key_of(self, path: Path) -> str | None:
        folder, file = self._folder.resolve(), path.resolve()
        if not file.is_relative_to(folder):
            return None
        return key_of_name(os.fsencode(file.relative_to(folder)))

    def _path(self, key: str) -> Path:
        """Where an object is. Raises ValueError for a name that is none, or that climbs."""
        if {"", ".", ".."} & set(key.split("/")) or "\0" in key:
            raise ValueError
        return self._folder / os.fsdecode(name_of_key(key))

    def _is_name(self, key: str) -> bool:
        try:
            self._path(key)
        except ValueError:
            return False
        return True

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        # Before opening: a named pipe would keep whoever opens it waiting for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileNotFoundError
        with path.open("rb") as file:
            yield file

    @contextmanager
    def _written(self, key: str, content: bytes | Path) -> Iterator[tuple[Path, Path]]:
        """The content in a hidden file beside the place it is for, and that place."""
        if is_odd(key):
            raise ValueError
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.parent / f"{os.fsdecode(UNFINISHED)}{uuid.uuid4().hex}"
        try:
            source = content.open("rb") if isinstance(content, Path) else BytesIO(content)
            with source, unfinished.open("xb") as file:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
            yield unfinished, path
        finally:
            unfinished.unlink(missing_ok=True)

    def _recording(self, key: str, found: os.stat_result) -> Recording:
        modified = _EPOCH + timedelta(microseconds=_modified_us(found))
        return Recording(self.name, key, _etag(found), found.st_size, modified)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.name):
            try:
                yield
            except OSError as error:
                if error.errno == errno.ENOENT or error.errno in _NO_SUCH_NAME:
                    self._look_whether_it_is_there()
                if error.errno == errno.ENOENT and self._is_empty():
                    raise MissingObject(
                        f"{self.name} does not hold the object any more, nor anything else: is a "
                        "disk not mounted? Then mount it, and retry the call."
                    ) from None
                if error.errno in _NO_SUCH_NAME:
                    raise ValueError from None
                raise

    def _look_whether_it_is_there(self) -> None:
        if not self._folder.is_dir():
            raise self._is_not_there()

    def _is_not_there(self) -> StoreUnavailable:
        return StoreUnavailable(f"The folder {self.name} is not there: is a disk not mounted?")

    def _is_empty(self) -> bool:
        return next(self._folder.iterdir(), None) is None


def _etag(found: os.stat_result) -> str:
    """Of a file its time and size; not its inode, which changes with a restore."""
    return f"{_modified_us(found):x}-{found.st_size:x}"


def _modified_us(found: os.stat_result) -> int:
    """Microseconds since 1970; a date before that, or after 9999, is taken for the nearest."""
    latest = (_LATEST - _EPOCH) // timedelta(microseconds=1)
    return min(max(found.st_mtime_ns // 1000, 0), latest)
