"""The files below a folder in the order of their keys, from any key on."""

import os
import stat
from collections.abc import Iterator

from callpipeline.storage.file_names import key_of_name, name_of_key
from callpipeline.storage.object_store import LONGEST_KEY_BYTES, Unreadable

UNFINISHED = b".callpipeline-"
"""How the names of files begin that are still being written by us."""

Identity = tuple[int, int]

_CIRCLE = "A link leads back to a folder above it."
_TOO_LONG = f"A file's path is longer than {LONGEST_KEY_BYTES} bytes."


def files_below(
    root: bytes, top: str, after: str | None, unreadable: Unreadable
) -> Iterator[tuple[str, os.stat_result]]:
    """Keys behind `after` that begin with `top` (empty, or ending in `/`), and their files' facts.

    One folder's names at a time are in memory; folders wholly before `after` are not looked into.
    Raises OSError where the root cannot be read; what cannot below it hides nothing else.
    """
    above: list[tuple[Identity, Iterator[str]]] = []
    key: str | None = top
    while key is not None:
        if key == top or key.endswith("/"):
            _enter(root, key, after, above, unreadable)
        elif found := _looked_at(root, key, unreadable):
            yield key, found
        key = _next(above)


def _next(above: list[tuple[Identity, Iterator[str]]]) -> str | None:
    while above:
        key = next(above[-1][1], None)
        if key is not None:
            return key
        above.pop()
    return None


def _enter(
    root: bytes,
    folder: str,
    after: str | None,
    above: list[tuple[Identity, Iterator[str]]],
    unreadable: Unreadable,
) -> None:
    """Go on with the names in a folder; one that is gone meanwhile has none, unless the root."""
    path = os.path.join(root, name_of_key(folder))  # noqa: PTH118 - bytes
    try:
        about = os.stat(path)  # noqa: PTH116 - bytes
        identity = (about.st_dev, about.st_ino)
        if any(identity == other for other, _ in above):
            return unreadable(_CIRCLE)
        above.append((identity, iter(_names(path, folder, after, unreadable))))
    except OSError as error:
        if not folder:
            raise
        return _tell("folder", error, unreadable)


def _names(path: bytes, folder: str, after: str | None, unreadable: Unreadable) -> list[str]:
    """Keys of the files and folders in a folder; those of folders end in `/`, as they sort."""
    keys: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            key = folder + key_of_name(entry.name)
            try:
                is_folder = entry.is_dir()
                wanted = is_folder or (entry.is_file() and not entry.name.startswith(UNFINISHED))
            except OSError as error:
                # Of a link such as to `a.wav/b`, or in a circle of links; told once a walk.
                if after is None or key > after:
                    _tell("link", error, unreadable)
                continue
            key += "/" if is_folder else ""
            lies_behind = after is None or key > after or (is_folder and after.startswith(key))
            if lies_behind and wanted:
                keys.append(key)
    return sorted(keys)


def _looked_at(root: bytes, key: str, unreadable: Unreadable) -> os.stat_result | None:
    """What is told of a file; None when it is gone, or cannot become a recording."""
    name = name_of_key(key)
    if len(key.encode()) > LONGEST_KEY_BYTES:
        return unreadable(_TOO_LONG)
    try:
        found = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 - bytes
    except OSError as error:
        return _tell("file", error, unreadable)
    return found if stat.S_ISREG(found.st_mode) else None


def _tell(kind: str, error: OSError, unreadable: Unreadable) -> None:
    """Say why something cannot be read, in the system's words, which hold no name.

    Folders and files that are gone meanwhile are not told of.
    """
    is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
    if kind == "link" or not is_gone:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        unreadable(f"A {kind} cannot be read: {why.lower()}.")
