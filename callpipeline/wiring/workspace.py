"""The folder for the files of calls under way."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callpipeline.config import Settings


def workspace(settings: Settings) -> Path:
    """The folder for the files of calls under way; what a killed run leaves lies here."""
    folder = settings.home / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def workspace_of(settings: Settings, run_id: str | None) -> Iterator[Path]:
    """A run's own folder in it, which goes with the run."""
    folder = workspace(settings) / (run_id or "no-run")
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_workspace(settings: Settings, run_id: str) -> None:
    """Remove what a dead run left, where that was on this machine."""
    shutil.rmtree(workspace(settings) / run_id, ignore_errors=True)
