"""Deleting what has been kept long enough: recordings, audio, transcripts, calls, messages."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from callpipeline.domain.audio import Channel
from callpipeline.domain.retention import Kept, Periods
from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.pipeline.removal import Place, remove_recording
from callpipeline.storage import keys
from callpipeline.storage.announced import Announcements
from callpipeline.storage.database import Row
from callpipeline.storage.erasures import Erasures
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.recordings import Recordings
from callpipeline.storage.retention import Retained

IN_A_ROW = 3
"""Calls of a bucket that does not answer, one after the other, before its others are let be."""
ERASED_AT_ONCE = 500
BECAUSE = "kept long enough"
ADDRESSES_KEPT = timedelta(days=30)
"""Of recordings that could not be fetched, for a person to try again; signatures end sooner."""
CALL_BY_CALL = (Kept.RECORDINGS, Kept.AUDIO, Kept.TRANSCRIPTS)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What went, or with a dry run would go: `items` are calls, or events of notifications.

    `trouble` is what was in the way; the rest is tried the next time.
    """

    what: str
    older_than: datetime
    items: int
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes by age. Recordings are deleted where they arrived: the period is to be asked for."""

    retained: Retained
    erasures: Erasures
    recordings: Recordings
    store: ObjectStore
    periods: Periods
    announcements: Announcements

    def plan(self, now: datetime) -> list[Deleted]:
        """What would go now."""
        by_call = (*CALL_BY_CALL, Kept.RESULTS)
        due = [
            Deleted(kept, older_than, sum(1 for _ in self.retained.due(kept, older_than)))
            for kept, older_than in self.periods.due(now, *by_call)
        ]
        told = self.periods.due(now, Kept.NOTIFICATIONS)
        return due + [
            Deleted(kept, older_than, self.retained.due_notifications(older_than))
            for kept, older_than in told
        ]

    def apply(self, now: datetime) -> list[Deleted]:
        """Delete all that is due. What is in the way of one kind keeps nothing of the others."""
        done = [self._objects(kept, then) for kept, then in self.periods.due(now, *CALL_BY_CALL)]
        done += [self._calls(then) for _, then in self.periods.due(now, Kept.RESULTS)]
        for kept, older_than in self.periods.due(now, Kept.NOTIFICATIONS):
            gone = self.retained.delete_notifications(older_than)
            done.append(Deleted(kept, older_than, gone))
        self.announcements.forget_old(now - ADDRESSES_KEPT)
        return done

    def _objects(self, kept: Kept, older_than: datetime) -> Deleted:
        remove = {
            Kept.RECORDINGS: self._remove_recording,
            Kept.AUDIO: self._remove_audio,
            Kept.TRANSCRIPTS: lambda row: self._remove(row["transcripts"]),
        }[kept]
        items, troubles = 0, dict[str, str]()
        silent = Counter[str]()
        for due in self.retained.due(kept, older_than):
            if silent[due.bucket] >= IN_A_ROW:
                continue
            try:
                items += self.retained.delete(kept, due.call_id, older_than, remove)
                silent[due.bucket] = 0
            except StoreUnavailable as error:
                silent[due.bucket] += 1
                troubles[due.bucket] = str(error)
            except MissingObject as error:  # its source is gone: the others are not
                troubles[due.bucket] = str(error)
        return Deleted(kept, older_than, items, " ".join(troubles.values()).rstrip(".") or None)

    def _remove_recording(self, row: Row) -> int:
        place = Place(row["call_id"], row["bucket"], row["key"], row["etag"])
        return remove_recording(self.recordings, self.erasures, place)

    def _remove_audio(self, row: Row) -> int:
        """The sound of each channel, and its waveform, which is not counted."""
        peaks = [keys.peaks(row["call_id"], Channel(channel)) for channel in row["channels"]]
        self._remove(peaks)
        return self._remove(row["channel_audio"])

    def _remove(self, names: Iterable[str]) -> int:
        items = 0
        for key in names:
            self.store.delete(key)
            items += 1
        return items

    def _calls(self, older_than: datetime) -> Deleted:
        """Erase calls. With a period of their own, recordings are gone by then."""
        keep = self.periods.days.get(Kept.RECORDINGS) is None
        ripe, items = self.retained.due(Kept.RESULTS, older_than), 0
        while some := list(islice(ripe, ERASED_AT_ONCE)):
            gone = self.erasures.begin(
                [due.call_id for due in some],
                keep_recording=keep,
                because=BECAUSE,
                ended_before=older_than,
            )
            items += len(gone)
        return Deleted(Kept.RESULTS, older_than, items)
