"""The commands backup and restore."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from callpipeline import wiring
from callpipeline.cli.installation.services import is_operated
from callpipeline.cli.session import console, open_storage_migrated, recorded
from callpipeline.config import Settings, settings
from callpipeline.errors import BackupInvalid, SettingsInvalid
from callpipeline.pipeline import backup as objects
from callpipeline.pipeline.backup import BackupCounts, SavedObject
from callpipeline.storage.calls.ledger import move_objects
from callpipeline.storage.objects import files
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.objects.urls import ObjectStore
from callpipeline.storage.postgres import dumps
from callpipeline.storage.postgres.locks import hold_operator_lock
from callpipeline.storage.postgres.migrations import migrate

MANIFEST = "backup.json"
FORMAT = 1
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup.")]


def backup(folder: Folder) -> None:
    """Back up the database, recordings in the home source, results, list and settings.

    Works while `up` is running, and again into the same folder: then only new objects are copied,
    and erased ones are deleted there. Secrets are left out; recordings of other sources stay where
    they are.
    """
    options = settings()
    target = folder.absolute()
    target.mkdir(parents=True, exist_ok=True, mode=files.FOLDER_MODE)
    earlier = _read_manifest(target) if (target / MANIFEST).exists() else {}
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    dump, listing = target / f"database-{stamp}.dump", target / f"objects-{stamp}.jsonl"
    counts = BackupCounts()
    with open_storage_migrated() as storage, tempfile.TemporaryDirectory(dir=target) as workspace:
        # The database first: every object that it refers to exists afterwards, unless it is erased.
        rows = dumps.dump_database(storage.database.url, dump)
        known = _known_objects(target, earlier)
        total = objects.write_list(
            listing, _save_all(_stores(storage), target, known, Path(workspace), counts)
        )
        buckets = {name: store.name for name, store in _stores(storage).items()}
    _save_files(options, target)
    manifest = {"at": stamp, "database": dump.name, "objects": listing.name, "rows": dict(rows)}
    manifest |= {"format": FORMAT, "version": version("callpipeline"), "buckets": buckets}
    _write_manifest(target, manifest)
    _delete_old(target, manifest, counts)
    console.print(
        f"{rows['calls']:,} calls and {total:,} objects are in {target}: {counts.copied:,} copied, "
        f"{counts.unchanged:,} unchanged, {counts.deleted:,} deleted",
        highlight=False,
        soft_wrap=True,
    )


def restore(folder: Folder) -> None:
    """Restore a backup into an installation without calls, whose settings say where.

    Checks every object before it is stored. Not while `up` is running.
    """
    options = settings()
    source = folder.absolute()
    manifest = _read_manifest(source)
    if is_operated(options.home):
        raise SettingsInvalid("Stop `callpipeline up` first: it would work on half of the data.")
    counts = BackupCounts()
    with ExitStack() as stack:
        url = stack.enter_context(wiring.open_database_url(options))
        stack.enter_context(hold_operator_lock(url))
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=source)))
        rows = dumps.restore_database(url, source / manifest["database"])
        if dict(rows) != manifest["rows"]:
            raise BackupInvalid("The dump has other numbers of rows than when it was written.")
        migrate(url)
        _restore_files(options, source)
        storage = stack.enter_context(wiring.open_storage(options, url))
        stack.enter_context(recorded(storage))
        for name, store in _stores(storage).items():
            saved = (each for each in _objects_of(source, manifest) if each.store == name)
            kept = _kept(source, name)
            moved = objects.restore_objects(saved, kept, store, workspace, counts)
            move_objects(storage.database, manifest["buckets"][name], store.name, moved)
    console.print(
        f"{rows['calls']:,} calls and {counts.copied:,} objects restored; set the secrets again, "
        "and run `callpipeline doctor`",
        highlight=False,
        soft_wrap=True,
    )


def _stores(storage: wiring.Storage) -> dict[str, ObjectStore]:
    return {"recordings": storage.inbox, "storage": storage.store}


def _kept(folder: Path, name: str) -> ObjectStore:
    return FolderStore(name, folder / "objects" / name)


def _save_all(
    stores: Mapping[str, ObjectStore],
    folder: Path,
    known: Mapping[tuple[str, str], SavedObject],
    workspace: Path,
    counts: BackupCounts,
) -> Iterator[SavedObject]:
    for name, store in stores.items():
        yield from objects.save_objects(name, store, _kept(folder, name), known, workspace, counts)


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest last, once everything that it names is on the disk."""
    for name in ("database", "objects"):
        with (folder / manifest[name]).open("rb+") as file:
            files.sync_file(file)
    files.replace_file(folder / MANIFEST, json.dumps(manifest, indent=2).encode())


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest. Raises BackupInvalid."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise BackupInvalid(f"{folder} has no {MANIFEST}: it is not a complete backup.") from None
    if manifest.get("format") != FORMAT:
        raise BackupInvalid(f"{folder} was written by another version of callpipeline.")
    return manifest


def _objects_of(folder: Path, manifest: Mapping[str, Any]) -> Iterator[SavedObject]:
    return objects.read_list(folder / manifest["objects"])


def _known_objects(folder: Path, earlier: Mapping[str, Any]) -> dict[tuple[str, str], SavedObject]:
    saved = _objects_of(folder, earlier) if earlier else ()
    return {(each.store, each.key): each for each in saved}


def _delete_old(folder: Path, manifest: Mapping[str, Any], counts: BackupCounts) -> None:
    """Delete earlier dumps and lists, and objects that have been deleted since."""
    keys: dict[str, set[str]] = {name: set() for name in manifest["buckets"]}
    for each in _objects_of(folder, manifest):
        keys[each.store].add(each.key)
    for name, mine in keys.items():
        if (folder / "objects" / name).is_dir():
            objects.delete_others(_kept(folder, name), frozenset(mine), counts)
    current = {manifest["database"], manifest["objects"]}
    for path in (*folder.glob("database-*.dump"), *folder.glob("objects-*.jsonl")):
        if path.name not in current:
            path.unlink()


def _save_files(options: Settings, folder: Path) -> None:
    """Write the settings without secrets, and copy the competitor list and the sources."""
    shown = options.model_dump(mode="json", exclude_defaults=True)
    secret = {
        name
        for name, field in type(options).model_fields.items()
        if "Secret" in str(field.annotation) or "assword" in str(field.annotation)
    }
    kept = {name: value for name, value in shown.items() if name not in secret | {"web_users"}}
    files.replace_file(folder / "settings.json", json.dumps(kept, indent=2).encode())
    for path in (options.catalog_path, options.sources):
        if path is not None and path.is_file():
            files.replace_file(folder / "files" / path.name, path.read_bytes())


def _restore_files(options: Settings, folder: Path) -> None:
    """Copy the competitor list and the sources to where the settings name them, if missing."""
    for path in (options.catalog_path, options.sources):
        saved = folder / "files" / path.name if path else None
        if path is not None and saved is not None and saved.is_file() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(saved, path)
