"""Which objects in a folder or bucket are recordings, and the entry of new ones, look by look.

What is known is only what the ledger has: a position that is lost or wrong makes looking slower,
and loses nothing. No listing of one look is trusted to be complete, since keys appear in any
order; a sweep over everything comes round again and again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Protocol

from callpipeline.domain.call import Recording, Registered
from callpipeline.domain.source import Source
from callpipeline.errors import StoreUnavailable
from callpipeline.pipeline.progress import HOURLY, Newest, Progress, Sweep, recent_folders
from callpipeline.pipeline.registration import Registry, register
from callpipeline.pipeline.settling import Settling
from callpipeline.storage.object_store import end_of

NOT_RECORDINGS = frozenset(
    # what lies beside recordings, and what a copying program has not finished
    {".json", ".srt", ".vtt", ".txt", ".md", ".yaml", ".yml", ".csv", ".py", ".pyc"}
    | {".part", ".partial", ".tmp", ".crdownload"}
)
RECORDINGS = frozenset(
    {".wav", ".wave", ".flac", ".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".webm"}
    | {".amr", ".awb", ".3gp", ".gsm", ".wma", ".spx", ".aif", ".aiff", ".au", ".caf", ".mka"}
)
"""Taken from a folder that a person hands over, which may hold anything else besides."""


class Listing(Protocol):
    """The part of an object store that discovery needs."""

    def pages(
        self, prefix: str = "", after: str | None = None, unreadable: Callable[[str], None] = ...
    ) -> Iterator[list[Recording]]: ...


@dataclass(slots=True)
class Found:
    """What one look met: new calls, names that are none of recordings, and what is not taken yet.

    `unreadable` are reasons why something can never be taken, each with how often it was met.
    """

    listed: int = 0
    registered: list[Registered] = field(default_factory=list)
    skipped: int = 0
    unsettled: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Discovery:
    """A look's end: what it found, and where the next one goes on.

    `failure` tells why a listing broke off after some of it was seen; where it goes on is kept.
    """

    progress: Progress
    found: Found
    finished_sweep: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """When a look happens, how long it may take, and how long a recording must have lain still.

    The page at which time is up is finished: that is up to 3 s more on a busy machine, and a tick
    is to take no more than 20 s of the 60 that Dagster gives it.
    """

    now: datetime
    settle_s: float
    budget_s: float = 15.0
    clock: Callable[[], float] = time.monotonic


def discover(
    source: Source, store: Listing, registry: Registry, progress: Progress, tick: Tick
) -> Discovery:
    """Look for recordings that the ledger does not have, as long as the tick may, and enter them.

    First where new ones are likely (the folders of the last days, or the keys that sort last),
    then on with the sweep over everything. Raises StoreUnavailable when nothing could be listed.
    """
    settling = Settling(progress.doubtful, tick.settle_s, tick.now)
    look = _Look(source, store, registry, progress, tick, settling, began=tick.clock())
    failure = None
    try:
        for step in (look.at_recent_folders, look.at_newest_names, look.at_everything):
            if not look.is_over:
                step()
    except StoreUnavailable as error:
        if not look.pages:
            raise
        failure = str(error)
    progress = replace(look.progress, doubtful=settling.doubtful)
    return Discovery(progress, look.found, look.finished_sweep, failure)


@dataclass(slots=True)
class _Look:
    """One look at a source; `progress` is true after each page."""

    source: Source
    store: Listing
    registry: Registry
    progress: Progress
    tick: Tick
    settling: Settling
    began: float
    pages: int = 0
    found: Found = field(default_factory=Found)
    finished_sweep: bool = False
    newest: Newest = field(default_factory=Newest)

    @property
    def is_over(self) -> bool:
        return self.took_s >= self.tick.budget_s

    @property
    def took_s(self) -> float:
        return self.tick.clock() - self.began

    def at_recent_folders(self) -> None:
        if not self.source.day_folders or not self.progress.recent.is_due(self.tick.now):
            return
        folders = recent_folders(self.source, self.tick.now)
        for sweep in self._walk(self.progress.recent, folders):
            self.progress = replace(self.progress, recent=sweep)

    def at_newest_names(self) -> None:
        if self.source.day_folders or self.progress.newest_after is None:
            return
        for _ in self._pages([""], self.progress.newest_after):
            self.progress = replace(self.progress, newest_after=self.newest.names_after)
            # The sweep has its turn at each tick, however much there is at the end.
            if self.took_s >= self.tick.budget_s / 2:
                return

    def at_everything(self) -> None:
        if not self.progress.everything.is_due(self.tick.now):
            return
        every = HOURLY if self.source.day_folders else timedelta()
        for sweep in self._walk(self.progress.everything, [""], every):
            self.progress = replace(self.progress, everything=sweep)
        self.finished_sweep = not self.progress.everything.is_under_way
        if self.finished_sweep and not self.source.day_folders:
            self.progress = replace(self.progress, newest_after=self.newest.names_after)

    def _walk(
        self, sweep: Sweep, folders: Iterable[str], every: timedelta = timedelta()
    ) -> Iterator[Sweep]:
        """The sweep after each page; the last one has finished, unless time was up before."""
        sweep = sweep.started(self.tick.now)
        for page, took_s in self._pages(folders, sweep.after):
            after = end_of(page) or sweep.after
            sweep = sweep.advanced(after, listed=len(page), took_s=took_s)
            yield sweep
            if self.is_over:
                return
        yield sweep.finished(self.tick.now + timedelta(seconds=self.took_s), every=every)

    def _pages(
        self, folders: Iterable[str], after: str | None
    ) -> Iterator[tuple[list[Recording], float]]:
        """Each page, its new recordings entered, and the seconds it took to look at it.

        A page is empty where S3 had nothing but markers of folders on it; it took its time too.
        """
        self.newest = Newest(after)
        for folder in folders:
            pages = self.store.pages(folder, after, self._note_unreadable)
            while True:
                started = self.tick.clock()
                page = next(pages, None)
                if page is None:
                    break
                new = self._new_in(page)
                took_s = self.tick.clock() - started
                self.found.registered += register(self.registry, self.source, new) if new else ()
                self.pages += 1
                yield page, took_s

    def _new_in(self, page: list[Recording]) -> list[Recording]:
        """The page's recordings that the ledger does not have and that nobody writes to."""
        named = [recording for recording in page if is_recording_name(recording.key)]
        unknown = self.registry.unknown(named) if named else []
        settled = self.settling.settled(unknown)
        self.found.listed += len(page)
        self.found.skipped += len(page) - len(named)
        self.found.unsettled += len(unknown) - len(settled)
        unsettled = {recording.key for recording in unknown} - {each.key for each in settled}
        self.newest.met(page, first_unsettled=min(unsettled, default=None))
        return settled

    def _note_unreadable(self, reason: str) -> None:
        self.found.unreadable[reason] = self.found.unreadable.get(reason, 0) + 1


def is_recording_name(key: str) -> bool:
    """Whether an object may be a recording, by its name: hidden files and sidecars are not.

    Anything else is taken, so that a file that turns out not to be audio ends with a reason.
    """
    path = PurePosixPath(key)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() not in NOT_RECORDINGS


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
