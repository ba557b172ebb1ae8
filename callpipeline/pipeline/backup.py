"""Backup and restore of stored objects, incrementally, with checksums.

A backup is a folder: the objects of each store, and a list of them for each backup. Only the last
list counts; objects that are not on it are deleted, so that erasures reach the backup.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from callpipeline.domain.calls.call import Recording
from callpipeline.errors import BackupInvalid, MissingObject, PathRefused
from callpipeline.storage.objects.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class SavedObject:
    """An object in a backup: where it was, and what its content is."""

    store: str
    key: str
    etag: str
    size_bytes: int
    modified: str
    sha256: str


@dataclass(slots=True)
class BackupCounts:
    """Numbers of objects that a backup or a restore treated in each way."""

    copied: int = 0
    unchanged: int = 0
    skipped: int = 0
    deleted: int = 0


def save_objects(
    name: str,
    source: ObjectStore,
    backup: ObjectStore,
    earlier: Mapping[tuple[str, str], SavedObject],
    workspace: Path,
    counts: BackupCounts,
) -> Iterator[SavedObject]:
    """Copy the objects of a store that are new or changed; yield all that are saved now.

    Objects that are deleted meanwhile are left out.
    """
    copy = workspace / "object"
    for found in source.list():
        known = earlier.get((name, found.key))
        is_same = known and (known.etag, known.size_bytes) == (found.etag, found.size_bytes)
        if known and is_same and backup.exists(found.key):
            counts.unchanged += 1
            yield known
            continue
        try:
            source.fetch(found.key, copy, found.etag)
            backup.put(found.key, copy)
        except (MissingObject, PathRefused):
            counts.skipped += 1
            continue
        counts.copied += 1
        modified = found.last_modified.isoformat()
        sha256 = _sha256(copy)
        yield SavedObject(name, found.key, found.etag, found.size_bytes, modified, sha256)
    copy.unlink(missing_ok=True)


def delete_others(backup: ObjectStore, keys: frozenset[str], counts: BackupCounts) -> None:
    """Delete the objects of a backup that are not on its list any more."""
    with suppress(MissingObject):
        for found in list(backup.list()):
            if found.key not in keys:
                backup.delete(found.key)
                backup.remove_empty_folders(found.key)
                counts.deleted += 1


def restore_objects(
    saved: Iterable[SavedObject],
    backup: ObjectStore,
    target: ObjectStore,
    workspace: Path,
    counts: BackupCounts,
) -> Iterator[tuple[str, str, Recording]]:
    """Put objects back; yield key and old etag of those that have another one now.

    Raises BackupInvalid.
    """
    copy = workspace / "object"
    for each in saved:
        try:
            backup.fetch(each.key, copy)
        except MissingObject:
            raise BackupInvalid(f"An object of the store {each.store} is missing.") from None
        if _sha256(copy) != each.sha256:
            raise BackupInvalid(f"An object of the store {each.store} is damaged.")
        target.put_back(each.key, copy, datetime.fromisoformat(each.modified))
        counts.copied += 1
        now = target.recording(each.key)
        if now.etag != each.etag:
            yield each.key, each.etag, now
    copy.unlink(missing_ok=True)


def write_list(path: Path, saved: Iterable[SavedObject]) -> int:
    """Write the list of a backup, one object a line; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for each in saved:
            file.write(json.dumps(asdict(each)) + "\n")
            count += 1
    return count


def read_list(path: Path) -> Iterator[SavedObject]:
    """Read the list of a backup. Raises BackupInvalid."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield SavedObject(**json.loads(line))
    except (OSError, ValueError, TypeError) as error:
        raise BackupInvalid(
            f"The list of objects cannot be read ({type(error).__name__})."
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
