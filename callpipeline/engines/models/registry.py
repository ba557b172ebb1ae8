"""Registry of the Whisper models on this machine: pulled or copied on demand, never in a run."""

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from callpipeline.engines.models.known_models import (
    KNOWN_MODELS,
    MODEL_NAME,
    KnownModel,
    hub_id_of,
)
from callpipeline.engines.models.manifest import ModelManifest, measure_files, read_manifest
from callpipeline.engines.models.pull import (
    DownloadProgress,
    ModelDownload,
    ProgressCallback,
    sources_of,
)
from callpipeline.engines.models.verify import (
    MODEL_FILES,
    find_difference,
    folder_size_bytes,
    verify_model,
    verify_named_shape,
)
from callpipeline.errors import MachineExhausted, ModelUnavailable, SettingsInvalid

__all__ = ["DownloadProgress", "ModelRegistry", "StoredModel"]

STAGING_PREFIX = ".unfinished-"
STAGING_MAX_AGE_S = 7 * 24 * 3600.0
"""Age from which what an interrupted pull left is deleted; until then the next one continues."""
LOCK = ".lock"
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StoredModel(NamedTuple):
    """Model in the registry; `since` is in seconds since the epoch.

    `sha256` is that of model.bin, and None for a model that an earlier version of callpipeline
    stored. A model is verified if its files are those of the known model of its name.
    """

    name: str
    folder: Path
    size_bytes: int
    since: float
    sha256: str | None = None
    verified: bool = False
    revision: str | None = None
    source: str | None = None


class ModelRegistry:
    """Folder with one folder per model. Models are complete: they are moved in when verified.

    One pull works at a time, and others wait for it.
    """

    def __init__(self, folder: Path, known: Mapping[str, KnownModel] = KNOWN_MODELS) -> None:
        self.folder = folder
        self.known = known

    def models(self) -> list[StoredModel]:
        """Return all models, the newest first."""
        folders = [f for f in self._folders() if not f.name.startswith(STAGING_PREFIX)]
        models = [self._stored_model(folder) for folder in folders]
        return sorted(models, key=lambda model: (-model.since, model.name))

    def find(self, name: str) -> Path | None:
        """Return the folder of a model, by the name under which it was pulled."""
        folder = self.folder / _folder_name(name) if MODEL_NAME.fullmatch(name) else None
        return folder if folder and folder.is_dir() else None

    def pull(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        allow_unverified: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Download a model, by its common name or its id on the hub, from the first source.

        `endpoint` is the URL of the hub; the default is HF_ENDPOINT, then that of huggingface_hub.
        `progress` is called as bytes arrive, and when a source fails. A known model that is
        here already is verified again instead.

        Raises ModelUnavailable if no source can be reached, MachineExhausted if the disk is full,
        and SettingsInvalid for an invalid model, or an unknown one without `allow_unverified`.
        """
        hub_id, known, report = hub_id_of(name), self.known.get(name), progress or _ignore
        if known is None and not allow_unverified:
            raise SettingsInvalid(self._refusal(f"The model {name}"))
        with self._locked(report):
            if known and self._adopt(known):
                return self.folder / _folder_name(name)
            with self._staging(name) as staging:
                sources = sources_of(hub_id, known, endpoint)
                fetched, source = ModelDownload(name, hub_id, known, staging, report).run(sources)
                return self._store(name, fetched.folder, hub_id, fetched.revision, source)

    def copy(self, name: str, source: Path, *, allow_unverified: bool = False) -> Path:
        """Copy a model's folder into the registry. Raises SettingsInvalid, MachineExhausted."""
        if not MODEL_NAME.fullmatch(name):
            raise SettingsInvalid(f"{name!r} is not a valid name of a model: use one like small.")
        verify_model(source)
        verify_named_shape(source, name)
        known = self.known.get(name)
        difference = find_difference(source, known) if known else "its hashes are not known"
        if difference and not allow_unverified:
            raise SettingsInvalid(self._refusal(f"The model {name} in {source} ({difference})"))
        if difference:
            known = None
        with self._locked(_ignore), self._staging(name) as staging:
            folder = staging / "copy"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for file in known.files if known else MODEL_FILES:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(source / file, folder / file)
            hub_id, revision = (known.hub_id, known.revision) if known else (None, None)
            return self._store(name, folder, hub_id, revision, "folder")

    def find_change(self, model: StoredModel) -> str | None:
        """Hash a model's files again; return how they differ from those that were stored."""
        manifest = read_manifest(model.folder)
        if manifest is None:
            known = self.known.get(model.name)
            return find_difference(model.folder, known) if known else "its hashes are not known"
        for name, file in manifest.files.items():
            if measure_files(model.folder, (name,)).get(name) != file:
                return f"{name} was changed after the model was stored"
        return None

    def _stored_model(self, folder: Path) -> StoredModel:
        name, since = folder.name.replace("--", "/"), folder.stat().st_mtime
        size_bytes = folder_size_bytes(folder)
        try:
            manifest = read_manifest(folder)
        except SettingsInvalid:  # the engine reports it
            manifest = None
        if manifest is None:
            return StoredModel(name, folder, size_bytes, since)
        is_verified = manifest.name == name and manifest.matches(self.known)
        identity = (manifest.sha256, is_verified, manifest.revision, manifest.source)
        return StoredModel(name, folder, size_bytes, since, *identity)

    def _refusal(self, subject: str) -> str:
        return (
            f"{subject} is not verified: pull {' or '.join(self.known)}, whose files callpipeline "
            "knows, or add `--unverified` to use this one as it is."
        )

    def _adopt(self, known: KnownModel) -> bool:
        """Report whether a known model is here, complete; it becomes the one pulled last."""
        folder = self.folder / _folder_name(known.name)
        if find_difference(folder, known):
            return False
        stored = self._stored_model(folder)
        if not stored.verified:
            source = "earlier version of callpipeline"
            ModelManifest(known.name, known.hub_id, known.revision, source, known.files).write(
                folder
            )
        os.utime(folder)
        return True

    def _store(
        self, name: str, folder: Path, hub_id: str | None, revision: str | None, source: str
    ) -> Path:
        """Move a folder into the registry if it passes verification. Raises SettingsInvalid."""
        verify_model(folder)
        verify_named_shape(folder, name)
        files = measure_files(folder, MODEL_FILES)
        ModelManifest(name, hub_id, revision, source, files).write(folder)
        final, old = self.folder / _folder_name(name), folder.with_name("old")
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            final.rename(old)
        folder.rename(final)
        os.utime(final)
        return final

    @contextmanager
    def _locked(self, report: ProgressCallback) -> Iterator[None]:
        """Hold the lock of the registry, after other pulls have ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(DownloadProgress("other pull to end", 0, None))
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._delete_abandoned()
            yield

    @contextmanager
    def _staging(self, name: str) -> Iterator[Path]:
        """Provide the folder for a model's download.

        What has arrived is kept for the next pull if a source failed or this process is killed.
        """
        staging = self.folder / f"{STAGING_PREFIX}{_folder_name(name)}"
        staging.mkdir(exist_ok=True)
        try:
            yield staging
        except ModelUnavailable:
            raise
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            if error.errno in DISK_FULL:
                raise MachineExhausted(
                    f"The disk with {self.folder} is full, so the model {name} was not stored: a "
                    "pull needs about twice the size of the model."
                ) from error
            raise
        except SettingsInvalid:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        else:
            shutil.rmtree(staging, ignore_errors=True)

    def _delete_abandoned(self) -> None:
        for folder in self._folders():
            is_old = time.time() - folder.stat().st_mtime > STAGING_MAX_AGE_S
            if folder.name.startswith(STAGING_PREFIX) and is_old:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [folder for folder in self.folder.iterdir() if folder.is_dir()]


def _folder_name(name: str) -> str:
    return name.replace("/", "--")


def _ignore(progress: DownloadProgress) -> None:
    """Ignore progress."""
