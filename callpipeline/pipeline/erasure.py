"""Erasure of calls, and deletion by retention period."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import RetentionClass, RetentionPeriods
from callpipeline.domain.calls.sources import Source
from callpipeline.errors import MissingObject, PathRefused, StoreUnavailable
from callpipeline.pipeline.ingest.beside import named_metadata_file, side_files, stem_of
from callpipeline.pipeline.ingest.registration import sha256_of
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.calls import AnnouncedUrls, RecordingStore, RecordingStores
from callpipeline.storage.ports.erasure import Erasure, ErasureStore, ExpiryStore

QUIET_S = 120.0
"""An erasure is finished when nothing is found this long after it began: scans, runs and deliveries
that were in progress then have ended."""
BATCH_SIZE = 200

MAX_CONSECUTIVE_FAILURES = 3
"""After this many failures in a row, the remaining calls of a bucket are skipped."""
ERASE_BATCH_SIZE = 500
REASON = "kept long enough"
ADDRESS_RETENTION = timedelta(days=30)
"""Lifetime of URLs that could not be downloaded, for manual retries; signatures expire sooner."""
CALL_BY_CALL = (RetentionClass.RECORDINGS, RetentionClass.AUDIO, RetentionClass.TRANSCRIPTS)


@dataclass(frozen=True, slots=True)
class ExternalTraces:
    """Number of traces removed outside our storage; `busy` if a run of the calls is in progress."""

    removed: int
    busy: bool


ExternalEraser = Callable[[Sequence[str], bool], ExternalTraces]
"""Deletes calls from Dagster and logs: (call ids, whether to search all texts) -> traces."""


@dataclass(frozen=True, slots=True)
class ErasureAttempt:
    """An attempt to finish an erasure; `trouble` is the error that prevents it."""

    call_id: str
    finished: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class RecordingLocation:
    """The recording object of a call."""

    call_id: str
    bucket: str
    key: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Eraser:
    """Deletes everything stored of erased calls."""

    erasures: ErasureStore
    recordings: RecordingStores
    store: ObjectStore
    external: ExternalEraser
    workspace: Path
    quiet_s: float = QUIET_S
    sources: Mapping[str, Source] = field(default_factory=dict[str, Source])
    """By bucket."""

    def erase_returned(self) -> list[str]:
        """Erase calls with the content of an erased call; return their ids."""
        reason = "the same recording was erased before"
        return self.erasures.begin(self.erasures.returned(), keep_recording=False, because=reason)

    def finish(self, call_ids: Collection[str] | None = None) -> list[ErasureAttempt]:
        """Attempt to finish up to BATCH_SIZE unfinished erasures."""
        unfinished = self.erasures.open(call_ids, limit=BATCH_SIZE)
        if not unfinished:
            return []
        # Calls erased by age are old and no longer in Dagster's texts: no need to search them all.
        requested = [each.call_id for each in unfinished if not each.by_retention]
        aged = [each.call_id for each in unfinished if each.by_retention]
        traces = self.external(requested, True), self.external(aged, False)
        events = self.erasures.delete_events(unfinished)
        deleted = {each.call_id: self._delete_objects(each) for each in unfinished}
        if any(each.key and not each.keep_recording for each in unfinished):
            # Before any object is recorded as deleted: a scan may just have listed it.
            self.erasures.reset_discovery()
        return [
            self._record(each, deleted[each.call_id], traces[each.by_retention], events)
            for each in unfinished
        ]

    def _record(
        self, erasure: Erasure, deleted: "_Deleted", traces: ExternalTraces, events: int
    ) -> ErasureAttempt:
        is_busy = traces.busy or erasure.is_under_way or erasure.age_s < self.quiet_s
        found = deleted.items or traces.removed or events
        finished = not (deleted.trouble or found or is_busy)
        self.erasures.record_attempt(
            erasure.call_id,
            trouble=deleted.trouble,
            objects_gone=deleted.trouble is None,
            finished=finished,
        )
        return ErasureAttempt(erasure.call_id, finished, deleted.trouble)

    def _delete_objects(self, erasure: Erasure) -> "_Deleted":
        """Delete channel audio, transcripts, and the recording with a transcript beside it."""
        items = 0
        try:
            items += self.store.delete_below(keys.call_folder(erasure.call_id))
            if erasure.bucket is not None and erasure.key is not None:
                store = self.recordings.store(erasure.bucket)
                if erasure.is_unread:
                    self._record_content(erasure, store, erasure.key)
                if not erasure.keep_recording:
                    location = RecordingLocation(
                        erasure.call_id, erasure.bucket, erasure.key, erasure.etag
                    )
                    source = self.sources.get(erasure.bucket)
                    items += remove_recording(self.recordings, self.erasures, location, source)
                    store.remove_empty_folders(erasure.key)
        except (StoreUnavailable, MissingObject, PathRefused) as error:
            return _Deleted(items, str(error))
        return _Deleted(items, None)

    def _record_content(self, erasure: Erasure, store: RecordingStore, key: str) -> None:
        """Record the content hash of a call, to recognise the content if it is imported again."""
        # A fixed name: if this process is killed, the next attempt removes its file.
        copy = self.workspace / f"erasing-{erasure.call_id}"
        try:
            store.fetch(key, copy, erasure.etag)
            self.erasures.record_content(erasure.call_id, sha256_of(copy))
        except (MissingObject, PathRefused):
            return  # it can no longer be imported
        finally:
            copy.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Deleted:
    """The number of deleted objects, and the error that stopped the deletion."""

    items: int
    trouble: str | None


def remove_recording(
    recordings: RecordingStores,
    erasures: ErasureStore,
    location: RecordingLocation,
    source: Source | None = None,
) -> int:
    """Delete a recording unless it was replaced; return the number of deleted objects.

    Transcripts and metadata that belong to it alone are deleted too; those beside it not if they
    are also beside another call's recording.
    Raises StoreUnavailable, and MissingObject if the source was removed.
    """
    store = recordings.store(location.bucket)
    try:
        is_replaced = store.recording(location.key).etag != location.etag
    except (MissingObject, PathRefused):  # a link that leads out is deleted, not its target
        is_replaced = False
    if is_replaced:
        return 0
    is_shared = erasures.is_shared_object(location.bucket, location.key, location.call_id)
    beside = () if is_shared else store.beside(stem_of(location.key))
    named = [] if is_shared else named_metadata_file(source, location.key)
    object_keys = dict.fromkeys([location.key, *side_files(location.key, beside), *named])
    existing = [key for key in object_keys if store.exists(key)]
    for key in existing:
        store.delete(key)
    return len(existing)


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """A deletion, or what is due in a dry run; `items` counts calls, or events of notifications.

    `trouble` is the error that stopped the deletion; the rest is retried next time.
    """

    what: str
    older_than: datetime
    items: int
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes by age. Recordings are deleted at their source, only if a period is configured."""

    retained: ExpiryStore
    erasures: ErasureStore
    recordings: RecordingStores
    store: ObjectStore
    periods: RetentionPeriods
    announcements: AnnouncedUrls
    sources: Mapping[str, Source] = field(default_factory=dict[str, Source])
    """By bucket."""

    def plan(self, now: datetime) -> list[DeletionResult]:
        """Return what is due for deletion."""
        by_call = (*CALL_BY_CALL, RetentionClass.RESULTS)
        due = [
            DeletionResult(
                data_class,
                older_than,
                sum(1 for _ in self.retained.due(data_class, older_than)),
            )
            for data_class, older_than in self.periods.cutoffs(now, *by_call)
        ]
        notifications = self.periods.cutoffs(now, RetentionClass.NOTIFICATIONS)
        due += [
            DeletionResult(data_class, older_than, self.retained.due_notifications(older_than))
            for data_class, older_than in notifications
        ]
        return due + [
            DeletionResult(data_class, older_than, self.retained.due_audit(older_than))
            for data_class, older_than in self.periods.cutoffs(now, RetentionClass.AUDIT)
        ]

    def apply(self, now: datetime) -> list[DeletionResult]:
        """Delete everything that is due. An error with one class does not affect the others."""
        done = [
            self._delete_objects(data_class, then)
            for data_class, then in self.periods.cutoffs(now, *CALL_BY_CALL)
        ]
        done += [
            self._erase_calls(then) for _, then in self.periods.cutoffs(now, RetentionClass.RESULTS)
        ]
        for data_class, older_than in self.periods.cutoffs(now, RetentionClass.NOTIFICATIONS):
            count = self.retained.delete_notifications(older_than)
            done.append(DeletionResult(data_class, older_than, count))
        for data_class, older_than in self.periods.cutoffs(now, RetentionClass.AUDIT):
            count = self.retained.delete_audit(older_than)
            done.append(DeletionResult(data_class, older_than, count))
        self.announcements.delete_old_urls(now - ADDRESS_RETENTION)
        return done

    def _delete_objects(self, data_class: RetentionClass, older_than: datetime) -> DeletionResult:
        remove = {
            RetentionClass.RECORDINGS: self._delete_recording,
            RetentionClass.AUDIO: self._delete_audio,
            RetentionClass.TRANSCRIPTS: self._delete_transcripts,
        }[data_class]
        items, troubles = 0, dict[str, str]()
        failures = Counter[str]()
        for due in self.retained.due(data_class, older_than):
            if failures[due.bucket] >= MAX_CONSECUTIVE_FAILURES:
                continue
            try:
                items += self.retained.delete(data_class, due.call_id, older_than, remove)
                failures[due.bucket] = 0
            except StoreUnavailable as error:
                failures[due.bucket] += 1
                troubles[due.bucket] = str(error)
            # The source of this bucket was removed, or a link leads out of it.
            except (MissingObject, PathRefused) as error:
                troubles[due.bucket] = str(error)
        return DeletionResult(
            data_class, older_than, items, " ".join(troubles.values()).rstrip(".") or None
        )

    def _delete_recording(self, row: dict[str, Any]) -> int:
        location = RecordingLocation(row["call_id"], row["bucket"], row["key"], row["etag"])
        source = self.sources.get(location.bucket)
        return remove_recording(self.recordings, self.erasures, location, source)

    def _delete_audio(self, row: dict[str, Any]) -> int:
        """Delete the audio of each channel, and its waveform, which is not counted."""
        peaks = [keys.peaks(row["call_id"], Channel(channel)) for channel in row["channels"]]
        self._delete(peaks)
        return self._delete(row["channel_audio"])

    def _delete_transcripts(self, row: dict[str, Any]) -> int:
        return self._delete(row["transcripts"])

    def _delete(self, names: Iterable[str]) -> int:
        items = 0
        for key in names:
            self.store.delete(key)
            items += 1
        return items

    def _erase_calls(self, older_than: datetime) -> DeletionResult:
        """Erase calls; recordings with a retention period of their own are deleted by then."""
        keep_recording = self.periods.days.get(RetentionClass.RECORDINGS) is None
        due_calls, items = self.retained.due(RetentionClass.RESULTS, older_than), 0
        while batch := list(islice(due_calls, ERASE_BATCH_SIZE)):
            erased = self.erasures.begin(
                [due.call_id for due in batch],
                keep_recording=keep_recording,
                because=REASON,
                ended_before=older_than,
            )
            items += len(erased)
        return DeletionResult(RetentionClass.RESULTS, older_than, items)
