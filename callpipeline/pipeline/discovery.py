"""Which objects in the recordings folder or bucket are recordings, and the entry of new ones."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol

from callpipeline.domain.call import Recording

PAGE = 1000

NOT_RECORDINGS = frozenset(
    # what lies beside recordings, and what a copying program has not finished
    {".json", ".srt", ".vtt", ".txt", ".md", ".yaml", ".yml", ".csv", ".py", ".pyc"}
    | {".part", ".partial", ".tmp", ".crdownload"}
)


class Registry(Protocol):
    """The part of the ledger that discovery needs."""

    def unknown(self, recordings: list[Recording]) -> list[Recording]: ...

    def register(
        self,
        recordings: Iterable[Recording],
        *,
        agent_channel: str = "left",
        sha256: str | None = None,
    ) -> list[str]: ...


RECORDINGS = frozenset(
    {".wav", ".wave", ".flac", ".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".webm"}
    | {".amr", ".awb", ".3gp", ".gsm", ".wma", ".spx", ".aif", ".aiff", ".au", ".caf", ".mka"}
)
"""Taken from a folder that a person hands over, which may hold anything else besides."""


def is_recording_name(key: str) -> bool:
    """Whether an object may be a recording, by its name: hidden files and sidecars are not.

    Anything else is taken, so that a file that turns out not to be audio ends with a reason.
    """
    path = PurePosixPath(key)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() not in NOT_RECORDINGS


def settled(found: Iterable[Recording], *, settle_s: float, now: datetime) -> Iterator[Recording]:
    """Recordings that nobody wrote to for `settle_s` seconds; the others are found again later."""
    newest = now - timedelta(seconds=settle_s)
    for recording in found:
        if is_recording_name(recording.key) and recording.last_modified <= newest:
            yield recording


def register_new(
    registry: Registry, found: Iterable[Recording], *, settle_s: float, agent_channel: str
) -> list[str]:
    """Enter what the ledger does not have yet, a page at a time; returns the new call ids."""
    recordings = settled(found, settle_s=settle_s, now=datetime.now(UTC))
    new: list[str] = []
    while page := list(islice(recordings, PAGE)):
        new += registry.register(registry.unknown(page), agent_channel=agent_channel)
    return new


def recordings_below(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and the recordings, by their names, below those that are folders."""
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.is_file())
            yield from (file for file in below if _is_recording(file, path))
        else:
            yield path


def _is_recording(file: Path, folder: Path) -> bool:
    is_audio = file.suffix.lower() in RECORDINGS
    return is_audio and is_recording_name(file.relative_to(folder).as_posix())
