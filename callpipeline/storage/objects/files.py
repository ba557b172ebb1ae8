"""Files that survive a power cut, that only their owner can read, and that lie inside a folder.

A write is complete once the file and all folders above it are on the disk: without that, a power
cut may take back a file although the database, which does sync, already refers to it.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
import uuid
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from callpipeline.errors import PathRefused

FILE_MODE = 0o600
FOLDER_MODE = 0o700
COPY_BYTES = 1024 * 1024

LEADS_OUT = (
    "A link in {store} leads out of the folder, and isn't followed: make its target a source of "
    "its own (docs/security.md), or replace the link by what it points to."
)

_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EBADF}
"""Errors of network drives that cannot sync a folder; their server decides what is durable."""
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


class LinkLeadsOut(OSError):
    """A path leaves its folder by a link."""


def keep_files_private() -> None:
    """Create all files of this process and its children for their owner alone."""
    os.umask(0o077)


def sync(descriptor: int) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync leaves it in the disk's cache
    if full_sync is not None:
        try:
            fcntl.fcntl(descriptor, full_sync)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)


def sync_file(file: BinaryIO) -> None:
    """Write a file to the disk."""
    file.flush()
    sync(file.fileno())


def sync_folder(descriptor: int) -> None:
    """Write the names in a folder to the disk, where its file system can."""
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def free_bytes(path: Path) -> int:
    """Return the space left for users at a path, which need not exist yet."""
    return shutil.disk_usage(_existing(path)).free


def is_read_only(path: Path) -> bool:
    """Return whether the file system of a path, which need not exist yet, is read-only."""
    return bool(os.statvfs(_existing(path)).f_flag & os.ST_RDONLY)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically and durably."""
    with _complete_file(path, content) as partial:
        partial.replace(path)


def create_file(path: Path, content: bytes) -> None:
    """Write a file durably unless it exists: of several processes, the first one wins."""
    with _complete_file(path, content) as partial:
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return


@contextmanager
def _complete_file(path: Path, content: bytes) -> Generator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        partial.touch(FILE_MODE, exist_ok=False)
        with partial.open("wb") as file:
            file.write(content)
            sync_file(file)
        yield partial
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, _FOLDER)
    try:
        sync_folder(folder)
    finally:
        os.close(folder)


class PartialFile:
    """A file that becomes visible under its name once it is complete; `chain` are its folders."""

    def __init__(self, chain: Sequence[int], name: bytes, prefix: bytes) -> None:
        self._chain, self._folder, self._name = chain, chain[-1], name
        self._partial = prefix + uuid.uuid4().hex.encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._partial, flags, FILE_MODE, dir_fd=self._folder), "wb")

    def write(self, content: bytes | Path) -> None:
        source = content.open("rb") if isinstance(content, Path) else BytesIO(content)
        with source:
            shutil.copyfileobj(source, self._file, COPY_BYTES)
        self._file.flush()

    def sync(self) -> None:
        sync_file(self._file)

    def set_modified(self, at_us: int) -> None:
        """Set the modification time in microseconds since 1970."""
        os.utime(self._file.fileno(), ns=(at_us * 1000, at_us * 1000))

    def sync_folders(self) -> None:
        """Write the names of the file and of all its folders to the disk.

        All of them: another process may have created a folder just now, and not synced it yet.
        """
        for descriptor in reversed(self._chain):
            sync_folder(descriptor)

    def replace(self) -> None:
        os.replace(self._partial, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def link(self) -> None:
        """Make the file visible unless its name is taken."""
        try:
            os.link(self._partial, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # Not atomic, but supported by memory sticks and network drives.
            try:
                os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
            except FileNotFoundError:
                self.replace()

    def close(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._partial, dir_fd=self._folder)


def delete_tree(name: bytes, within: int) -> int:
    """Delete a file, a link or a folder with everything below; return the number of"""
    try:
        os.unlink(name, dir_fd=within)
    except IsADirectoryError:
        pass
    except PermissionError:  # macOS, for a folder
        if not stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
            raise
    else:
        sync_folder(within)
        return 1
    # Includes partial files of killed processes, which listings leave out. Follows no links.
    count = sum(len(found) for _, _, found, _ in os.fwalk(name, dir_fd=within))
    shutil.rmtree(name, dir_fd=within)
    sync_folder(within)
    return count


def leads_out(root: bytes, path: bytes) -> bool:
    """Return whether the target of a path is outside a folder, after all links."""
    return not _is_inside(os.path.realpath(root), os.path.realpath(path))


@contextmanager
def open_folder(root: Path, name: bytes, *, create: bool = False) -> Generator[Sequence[int]]:
    """Open a folder below `root`, and yield its descriptor after those of all folders above.

    No other process can redirect it: each folder is opened in the one above, without following
    links. Raises LinkLeadsOut for a path that leaves `root` by a link.
    """
    top = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(top, name))  # noqa: PTH118 - bytes
    if not _is_inside(top, path):
        raise LinkLeadsOut
    if create and not os.path.isdir(top):  # noqa: PTH112 - bytes
        _create_root(Path(os.fsdecode(top)))
    parts = path[len(top) :].split(b"/")
    with ExitStack() as opened:
        chain = [_open_kept(opened, top, None)]
        for part in filter(None, parts):
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, FOLDER_MODE, dir_fd=chain[-1])
            chain.append(_open_kept(opened, part, chain[-1]))
        yield chain


def list_files(root: Path, folder: bytes, descriptor: int, prefix: bytes) -> list[bytes]:
    """Return the names of files in an open folder below `root` with a prefix, in any case.

    Links that lead out of `root`, and links that lead nowhere or in circles, are left out.
    """
    top, names = os.fsencode(root), list[bytes]()
    wanted = os.fsdecode(prefix).casefold()
    with os.scandir(descriptor) as entries:
        for entry in entries:
            # First: of the tens of thousands in a folder, few need more than this.
            if not entry.name.casefold().startswith(wanted):
                continue
            name = os.fsencode(entry.name)
            with suppress(OSError):
                is_kept = not entry.is_symlink() or not leads_out(
                    top,
                    os.path.join(top, folder, name),  # noqa: PTH118 - bytes
                )
                if is_kept and entry.is_file():
                    names.append(name)
    return names


def open_file(root: Path, name: bytes) -> BinaryIO:
    """Open a regular file below `root` for reading. Raises LinkLeadsOut, FileNotFoundError.

    A named pipe or a device counts as missing, and is not opened: that could block.
    """
    folder, file = _real_location(root, name)
    with open_folder(root, folder) as chain:
        _require_regular(os.stat(file, dir_fd=chain[-1], follow_symlinks=False))
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=chain[-1])
    try:
        _require_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def stat_file(root: Path, name: bytes) -> os.stat_result:
    """Return the stat of a regular file below `root`. Raises as `open_file` does."""
    folder, file = _real_location(root, name)
    with open_folder(root, folder) as chain:
        found = os.stat(file, dir_fd=chain[-1], follow_symlinks=False)
    _require_regular(found)
    return found


def path_refused(store: str) -> PathRefused:
    """Return the error for a link that leads out of a store."""
    return PathRefused(LEADS_OUT.format(store=store))


def _real_location(root: Path, name: bytes) -> tuple[bytes, bytes]:
    """Return the folder and the name of a file below `root`, after all links."""
    top = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(top, name))  # noqa: PTH118 - bytes
    if path == top or not _is_inside(top, path):
        raise LinkLeadsOut
    folder, file = os.path.split(path)
    return folder[len(top) :].lstrip(b"/"), file


def _is_inside(top: bytes, path: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a file")


def _open_kept(opened: ExitStack, path: bytes, within: int | None) -> int:
    descriptor = os.open(path, _FOLDER | _NO_LINK, dir_fd=within)
    opened.callback(os.close, descriptor)
    return descriptor


def _create_root(root: Path) -> None:
    """Create a folder with those above it, each durably in its parent."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
        above = os.open(folder.parent, _FOLDER)
        try:
            sync_folder(above)
        finally:
            os.close(above)
