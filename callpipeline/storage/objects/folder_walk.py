"""Walk of a folder in the order of its keys, one folder in memory at a time."""

import os
import stat
from collections.abc import Iterator

from callpipeline.storage.objects import files
from callpipeline.storage.objects.keys import key_from_name, name_from_key
from callpipeline.storage.objects.ports import MAX_KEY_BYTES, OnUnreadable

PARTIAL_PREFIX = b".callpipeline-"
"""Prefix of files that are still being written."""
LINK_OUT = "A link leads out of the folder, and isn't followed."

FolderIdentity = tuple[int, int]

_LINK_CYCLE = "A link points to a folder above it."
_TOO_LONG = f"The path of a file is longer than {MAX_KEY_BYTES} bytes."


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
