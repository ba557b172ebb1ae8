"""Manifests of stored models: the identity of a model, kept beside its files.

A model of 145 MB takes half a second to hash. The manifest keeps the hashes that were measured when
the model was stored, and the sizes, which are compared each time the model is used.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from callpipeline.engines.models.known_models import KNOWN_MODELS, KnownModel, ModelFile
from callpipeline.errors import SettingsInvalid

MANIFEST = "model.json"
LABEL_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Name, revision, source and files of a stored model."""

    name: str
    hub_id: str | None
    revision: str | None
    source: str
    files: Mapping[str, ModelFile]

    @property
    def sha256(self) -> str:
        return self.files["model.bin"].sha256

    def write(self, folder: Path) -> None:
        document = asdict(self) | {"files": {n: f._asdict() for n, f in self.files.items()}}
        (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n")

    def matches(self, known: Mapping[str, KnownModel] = KNOWN_MODELS) -> bool:
        """Report whether the files are those of the known model of this name."""
        model = known.get(self.name)
        return model is not None and dict(self.files) == dict(model.files)


def read_manifest(folder: Path) -> ModelManifest | None:
    """Return the manifest of a folder, if it has one. Raises SettingsInvalid if it is damaged."""
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
        files = {name: ModelFile(**file) for name, file in document["files"].items()}
        manifest = ModelManifest(**document | {"files": files})
        _ = manifest.sha256
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsInvalid(
            f"The manifest {folder / MANIFEST} is damaged: pull or copy the model again."
        ) from error
    return manifest


def verify_sizes(folder: Path) -> None:
    """Raise SettingsInvalid if a file has another size than when the model was stored."""
    manifest = read_manifest(folder)
    if manifest is None:
        return
    for name, file in manifest.files.items():
        path = folder / name
        size_bytes = path.stat().st_size if path.is_file() else 0
        if size_bytes != file.size_bytes:
            raise SettingsInvalid(
                f"The Whisper model in {folder} is damaged ({name} has {size_bytes:,} instead of "
                f"{file.size_bytes:,} bytes): pull or copy it again."
            )


def measure_files(folder: Path, names: tuple[str, ...]) -> dict[str, ModelFile]:
    """Return size and hash of those of the named files that exist."""
    return {name: measure_file(folder / name) for name in names if (folder / name).is_file()}


def measure_file(path: Path) -> ModelFile:
    """Return size and hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelFile(path.stat().st_size, digest)


def model_label(folder: Path) -> str:
    """Return name and hash of a model, such as base@d01c3014881c, for the name of an engine.

    The hash of a folder without a manifest is measured, once per process.
    """
    manifest = read_manifest(folder)
    if manifest:
        return f"{manifest.name}@{manifest.sha256[:LABEL_DIGITS]}"
    status = (folder / "model.bin").stat()
    measured = _hash_once(folder / "model.bin", status.st_size, status.st_mtime_ns)
    return f"{folder.name}@{measured[:LABEL_DIGITS]}"


@lru_cache(maxsize=8)
def _hash_once(path: Path, size_bytes: int, modified_ns: int) -> str:  # pyright: ignore[reportUnusedParameter]
    return measure_file(path).sha256
