"""The shelf of Whisper models on this machine: fetched or copied on demand, never during a run."""

import contextlib
import difflib
import errno
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from callpipeline.engines.transcribe.whisper_folder import FILES, check, size_bytes
from callpipeline.errors import ModelUnavailable, SettingsInvalid

NAMES = {
    **{
        name: f"Systran/faster-whisper-{name}"
        for name in ("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium",
                     "medium.en", "large-v1", "large-v2", "large-v3")
    },
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}  # fmt: skip
"""What people call models, and where the hub of Hugging Face has them."""
UNFINISHED = ".unfinished-"
ABANDONED_AFTER_S = 24 * 3600.0
OF_THIS_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
INSTALL = "`make whisper` (or `pip install 'callpipeline[whisper]'`)"
NO_CONNECTION = {"ConnectError": "no connection", "ConnectTimeout": "no connection in time"}
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


class Kept(NamedTuple):
    """A model on the shelf; `since` is seconds of the epoch."""

    name: str
    folder: Path
    size_bytes: int
    since: float


class Shelf:
    """A folder with a folder for each model. What is there is whole: it is moved in when it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def models(self) -> list[Kept]:
        """All models, the newest first."""
        folders = [f for f in self._folders() if not f.name.startswith(UNFINISHED)]
        kept = [
            Kept(f.name.replace("--", "/"), f, size_bytes(f), f.stat().st_mtime) for f in folders
        ]
        return sorted(kept, key=lambda model: (-model.since, model.name))

    def find(self, name: str) -> Path | None:
        """The folder of a model, by the name under which it was pulled."""
        folder = self.folder / _folder_name(name) if _NAME.fullmatch(name) else None
        return folder if folder and folder.is_dir() else None

    def pull(self, name: str, *, endpoint: str | None = None) -> Path:
        """Fetch a model from the hub, by its usual name or the hub's id.

        `endpoint` is the hub's address; by default huggingface_hub's own, or HF_ENDPOINT. Raises
        ModelUnavailable where the hub cannot be reached, SettingsInvalid for what is no model.
        """
        hub_id = _hub_id(name)
        if find_spec("huggingface_hub") is None:
            raise SettingsInvalid(f"Fetching models needs faster-whisper: run {INSTALL}.")
        with self._moved_in(name) as folder:
            _fetch(hub_id, folder, endpoint)
        return self.folder / _folder_name(name)

    def copy(self, name: str, source: Path) -> Path:
        """Put a copy of a model's folder on the shelf. Raises SettingsInvalid."""
        if not _NAME.fullmatch(name):
            raise SettingsInvalid(f"{name!r} is no name of a model: write it like small.")
        check(source)
        with self._moved_in(name) as folder:
            folder.mkdir()
            for pattern in FILES:
                for file in source.glob(pattern):
                    shutil.copyfile(file, folder / file.name)
        return self.folder / _folder_name(name)

    @contextmanager
    def _moved_in(self, name: str) -> Iterator[Path]:
        """A folder to be made, which becomes the model once it is whole, else goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        desk = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
        try:
            yield desk / "new"
            check(desk / "new")
            final = self.folder / _folder_name(name)
            with contextlib.suppress(FileNotFoundError):
                final.rename(desk / "old")
            (desk / "new").rename(final)
        finally:
            shutil.rmtree(desk, ignore_errors=True)

    def _sweep(self) -> None:
        """What a pull that was killed left; not what another one is at."""
        for folder in self._folders():
            is_old = time.time() - folder.stat().st_mtime > ABANDONED_AFTER_S
            if folder.name.startswith(UNFINISHED) and is_old:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [folder for folder in self.folder.iterdir() if folder.is_dir()]


def _folder_name(name: str) -> str:
    return name.replace("/", "--")


def _hub_id(name: str) -> str:
    if name in NAMES or (_NAME.fullmatch(name) and "/" in name):
        return NAMES.get(name, name)
    near = difflib.get_close_matches(name, NAMES, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}."
    raise SettingsInvalid(
        f"{name!r} is no name of a model: {meant} Any id of the hub, like owner/name, will do too."
    )


def _fetch(hub_id: str, folder: Path, endpoint: str | None) -> None:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    hub = endpoint or constants.ENDPOINT
    try:
        snapshot_download(hub_id, local_dir=folder, allow_patterns=[*FILES], endpoint=hub)
    except RepositoryNotFoundError as error:
        raise SettingsInvalid(
            f"{hub} has no model {hub_id}, or shows it to nobody without a token (HF_TOKEN)."
        ) from error
    except Exception as error:  # the hub's, its HTTP client's and its transfer library's
        if isinstance(error, OSError) and error.errno in OF_THIS_MACHINE:
            raise
        kind = type(error.__cause__ or error).__name__
        cause = NO_CONNECTION.get(kind, kind)
        raise ModelUnavailable(
            f"{hub} did not give the model {hub_id} ({cause}). Try again later, name a mirror in "
            "HF_ENDPOINT, or copy the model's folder from a machine that has it: "
            "`callpipeline models pull NAME --from FOLDER`."
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's notes
