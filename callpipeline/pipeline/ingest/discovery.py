"""Discovery of new recordings in a folder or bucket, one time-limited scan at a time.

The ledger is the truth: a lost or wrong cursor makes discovery slower, but loses nothing. No
single listing is trusted to be complete, since keys appear in any order; full sweeps repeat.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path, PurePosixPath

from callpipeline.domain.calls.call import Recording, RegisteredCall
from callpipeline.domain.calls.sources import Source
from callpipeline.domain.calls.wav_header import read_wav_header
from callpipeline.errors import CallpipelineError, StoreUnavailable
from callpipeline.pipeline.ingest.cursor import (
    HOURLY,
    DiscoveryCursor,
    NewestKeys,
    Sweep,
    recent_folders,
)
from callpipeline.pipeline.ingest.registration import AUDIO_SUFFIXES, register
from callpipeline.storage.objects.keys import is_upload
from callpipeline.storage.objects.ports import resume_key
from callpipeline.storage.ports.calls import CallRegistry, ListableStore, RangeReader

IGNORED_SUFFIXES = frozenset(
    # sidecars, checksums, and the unfinished files of copying programs
    {".json", ".srt", ".vtt", ".txt", ".md", ".yaml", ".yml", ".csv", ".py", ".pyc", ".xml", ".tsv"}
    | {".md5", ".sha1", ".sha256", ".sha512", ".sig", ".log", ".jsonl"}
    | {".part", ".partial", ".tmp", ".crdownload", ".filepart", ".download", ".inprogress"}
)
_WRAPPED = frozenset({".pgp", ".gpg", ".asc", ".enc", ".aes", ".gz", ".bz2", ".xz", ".zst", ".zip"})
"""Suffixes after that of the recording; such a file fails with a reason."""
_FOLDER_MARKER = "_$folder$"
EMPTY_SETTLE_S = 60.0
"""Recorders create a file when a call begins, and may not write to it before the call ends."""
WAV_SUFFIXES = frozenset({".wav", ".wave"})
MAX_HEADER_CHECKS = 200
"""Headers read per scan, so that a burst of recordings does not take all of its time."""
INCOMPLETE_WAIT = timedelta(minutes=5)
"""Longest wait for a WAV file shorter than its header says: it may have been cut off for good."""
HEADER_BYTES = 4096
BEGINNING = range(2048, 2048 + 32 * 1024)
"""Bytes that stay the same while a recording grows: behind what is rewritten in its header."""
MAX_FUTURE_DATED = 1000
FUTURE_DATED_TTL = timedelta(days=1)


@dataclass(slots=True)
class ScanResult:
    """Counts of one scan, and the calls it registered.

    `skipped` objects are not recordings by their name, `unsettled` ones may still be written to.
    `unreadable` counts objects that can never be read, by reason.
    """

    listed: int = 0
    registered: list[RegisteredCall] = field(default_factory=list[RegisteredCall])
    skipped: int = 0
    unsettled: int = 0
    unreadable: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Discovery:
    """The result of a scan, and the cursor for the next one.

    `failure` is the error of a listing that broke off after its first page; the cursor still
    advances past the pages that were listed.
    """

    cursor: DiscoveryCursor
    result: ScanResult
    finished_sweep: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class ScanBudget:
    """The time of a scan, its limit, and how long a recording must have been unchanged.

    The page on which time runs out is finished. That takes up to 3 s on a busy machine, and a
    sensor tick should take no more than 20 s of the 60 s that Dagster allows.
    """

    now: datetime
    settle_s: float
    budget_s: float = 15.0
    clock: Callable[[], float] = time.monotonic


def discover(
    source: Source,
    store: ListableStore,
    registry: CallRegistry,
    cursor: DiscoveryCursor,
    budget: ScanBudget,
) -> Discovery:
    """Register recordings that the ledger doesn't have, within a time budget.

    Scans first where new recordings are likely (the folders of the last days, or the last keys),
    then continues the full sweep. Raises StoreUnavailable if nothing could be listed.
    """
    settle_filter = SettleFilter(cursor.future_dated, budget.settle_s, budget.now)
    scan = Scan(source, store, registry, cursor, budget, settle_filter, began=budget.clock())
    failure = None
    try:
        for step in (scan.scan_recent_folders, scan.scan_newest_keys, scan.sweep_all):
            if not scan.is_out_of_time:
                step()
    except StoreUnavailable as error:
        if not scan.pages:
            raise
        failure = str(error)
    cursor = replace(scan.cursor, future_dated=settle_filter.future_dated)
    return Discovery(cursor, scan.result, scan.finished_sweep, failure)


@dataclass(slots=True)
class Scan:
    """One scan of a source; `cursor` is up to date after each page."""

    source: Source
    store: ListableStore
    registry: CallRegistry
    cursor: DiscoveryCursor
    budget: ScanBudget
    settle_filter: "SettleFilter"
    began: float
    pages: int = 0
    header_checks: int = 0
    beginnings_read: int = 0
    result: ScanResult = field(default_factory=ScanResult)
    finished_sweep: bool = False
    newest: NewestKeys = field(default_factory=NewestKeys)

    @property
    def is_out_of_time(self) -> bool:
        return self.elapsed_s >= self.budget.budget_s

    @property
    def elapsed_s(self) -> float:
        return self.budget.clock() - self.began

    def scan_recent_folders(self) -> None:
        if not self.source.day_folders or not self.cursor.recent_sweep.is_due(self.budget.now):
            return
        folders = recent_folders(self.source, self.budget.now)
        for sweep in self._sweep(self.cursor.recent_sweep, folders):
            self.cursor = replace(self.cursor, recent_sweep=sweep)

    def scan_newest_keys(self) -> None:
        if self.source.day_folders or self.cursor.newest_after is None:
            return
        for _ in self._pages([""], self.cursor.newest_after):
            self.cursor = replace(self.cursor, newest_after=self.newest.resume_after)
            # The full sweep gets its share of each scan, however many new keys there are.
            if self.elapsed_s >= self.budget.budget_s / 2:
                return

    def sweep_all(self) -> None:
        if not self.cursor.full_sweep.is_due(self.budget.now):
            return
        every = HOURLY if self.source.day_folders else timedelta()
        for sweep in self._sweep(self.cursor.full_sweep, [""], every):
            self.cursor = replace(self.cursor, full_sweep=sweep)
        self.finished_sweep = not self.cursor.full_sweep.in_progress
        if self.finished_sweep and not self.source.day_folders:
            self.cursor = replace(self.cursor, newest_after=self.newest.resume_after)

    def _sweep(
        self, sweep: Sweep, folders: Iterable[str], every: timedelta = timedelta()
    ) -> Iterator[Sweep]:
        """Yield the sweep after each page; the last one is finished unless time ran out."""
        sweep = sweep.started(self.budget.now)
        for page, took_s in self._pages(folders, sweep.after):
            after = resume_key(page) or sweep.after
            sweep = sweep.advanced(after, listed=len(page), took_s=took_s)
            yield sweep
            if self.is_out_of_time:
                return
        yield sweep.finished(self.budget.now + timedelta(seconds=self.elapsed_s), every=every)

    def _pages(
        self, folders: Iterable[str], after: str | None
    ) -> Iterator[tuple[list[Recording], float]]:
        """Yield each page, its new recordings registered, and the seconds that listing it took.

        A page is empty if S3 listed only folder markers; that took time as well.
        """
        self.newest = NewestKeys(after)
        for folder in folders:
            pages = self.store.pages(folder, after, self._count_unreadable)
            while True:
                started = self.budget.clock()
                page = next(pages, None)
                if page is None:
                    break
                new = self._new_in(page)
                took_s = self.budget.clock() - started
                new = [self._with_beginning(recording) for recording in new]
                self.result.registered += register(self.registry, self.source, new) if new else ()
                self.pages += 1
                yield page, took_s

    def _new_in(self, page: list[Recording]) -> list[Recording]:
        """Return the settled recordings of a page that the ledger doesn't have."""
        named = [recording for recording in page if is_included(self.source, recording.key)]
        unknown = self.registry.unknown(named) if named else []
        settled = list(filter(self._is_complete, self.settle_filter.settled(unknown)))
        self.result.listed += len(page)
        self.result.skipped += len(page) - len(named)
        self.result.unsettled += len(unknown) - len(settled)
        unsettled = {recording.key for recording in unknown} - {each.key for each in settled}
        self.newest.add(page, first_unsettled=min(unsettled, default=None))
        return settled

    def _is_complete(self, recording: Recording) -> bool:
        """Return false for a file that is being written, and for a recent WAV file that is shorter
        than its header says.
        """
        if self.store.is_being_written(recording):
            return False
        is_wav = PurePosixPath(recording.key).suffix.lower() in WAV_SUFFIXES
        age = self.budget.now - recording.last_modified
        is_recent = timedelta() <= age <= INCOMPLETE_WAIT
        if not is_wav or not is_recent or self.header_checks >= MAX_HEADER_CHECKS:
            return True
        if not isinstance(self.store, RangeReader):
            return True
        self.header_checks += 1
        try:
            head = self.store.read_range(recording.key, 0, HEADER_BYTES)
        except CallpipelineError:
            return True
        header = read_wav_header(BytesIO(head))
        return header is None or (header.data_end or 0) <= recording.size_bytes

    def _with_beginning(self, recording: Recording) -> Recording:
        """Add the hash of the beginning, by which a later version may be another recording.

        Some stay without: they are short, or there are too many to read in a scan.
        """
        is_late = self.elapsed_s > self.budget.budget_s / 2
        is_short = recording.size_bytes < BEGINNING.stop
        if is_short or is_late or self.beginnings_read >= MAX_HEADER_CHECKS:
            return recording
        if not isinstance(self.store, RangeReader):
            return recording
        self.beginnings_read += 1
        try:
            content = self.store.read_range(recording.key, BEGINNING.start, len(BEGINNING))
        except CallpipelineError:
            return recording
        return replace(recording, beginning_sha256=hashlib.sha256(content).hexdigest())

    def _count_unreadable(self, reason: str) -> None:
        self.result.unreadable[reason] = self.result.unreadable.get(reason, 0) + 1


class SettleFilter:
    """Selects recordings that are no longer written to, by the store's clock and ours.

    A recording is settled after `settle_s` without a change, an empty one after EMPTY_SETTLE_S.
    One dated in the future (clocks differ, or its date was set) is settled after it was seen
    unchanged for as long; `future_dated` maps call ids to the time each was first seen.
    """

    def __init__(self, future_dated: Mapping[str, float], settle_s: float, now: datetime) -> None:
        self._settle_s = settle_s
        self._now = now
        oldest, newest = (now - FUTURE_DATED_TTL).timestamp(), now.timestamp()
        self.future_dated = {
            id_: seen for id_, seen in future_dated.items() if oldest < seen <= newest
        }

    def settled(self, recordings: Iterable[Recording]) -> list[Recording]:
        return [recording for recording in recordings if self._is_settled(recording)]

    def _is_settled(self, recording: Recording) -> bool:
        settle_s = self._settle_s if recording.size_bytes else max(self._settle_s, EMPTY_SETTLE_S)
        age_s = (self._now - recording.last_modified).total_seconds()
        unchanged_s = age_s if age_s >= 0 else self._seen_for_s(recording.call_id)
        is_settled = unchanged_s >= settle_s
        if is_settled or age_s >= 0:
            self.future_dated.pop(recording.call_id, None)
        return is_settled

    def _seen_for_s(self, call_id: str) -> float:
        now = self._now.timestamp()
        # None is evicted to make room: each must be remembered until it is seen again.
        if call_id not in self.future_dated and len(self.future_dated) < MAX_FUTURE_DATED:
            self.future_dated[call_id] = now
        return now - self.future_dated.get(call_id, now)


def is_recording_name(key: str) -> bool:
    """Return whether an object may be a recording: hidden files, sidecars and markers are not."""
    path = PurePosixPath(key)
    hidden = any(part.startswith(".") for part in path.parts)
    is_marker = key.endswith((_FOLDER_MARKER, "/"))
    return not hidden and not is_marker and path.suffix.lower() not in IGNORED_SUFFIXES


def is_included(source: Source, key: str) -> bool:
    """Return whether a source takes an object as a recording, by its name.

    Without patterns in the source, these are files with the suffix of an audio format, and uploads.
    Such a file that isn't audio fails with a reason.
    """
    if not is_recording_name(key) or source.excludes(key):
        return False
    if source.include:
        return source.includes(key)
    return is_audio_name(key) or is_upload(key)


def is_audio_name(key: str) -> bool:
    """Return whether a name has the suffix of audio, perhaps below one of a wrapper."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(key).suffixes]
    if len(suffixes) > 1 and (suffixes[-1] in _WRAPPED or suffixes[-1][1:].isdecimal()):
        suffixes.pop()
    return suffixes[-1:] != [] and suffixes[-1] in AUDIO_SUFFIXES


def find_recordings(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files among `paths`, and the audio files (by suffix) below the folders."""
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.is_file())
            yield from (file for file in below if _is_audio_file(file, path))
        else:
            yield path


def _is_audio_file(file: Path, folder: Path) -> bool:
    is_audio = file.suffix.lower() in AUDIO_SUFFIXES
    return is_audio and is_recording_name(file.relative_to(folder).as_posix())
