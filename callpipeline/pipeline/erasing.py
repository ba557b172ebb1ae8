"""Erasing calls everywhere: what the ledger does not hold itself, as often as it takes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.pipeline.ingest import sha256_of
from callpipeline.pipeline.removal import Place, remove_recording
from callpipeline.storage import keys
from callpipeline.storage.erasures import Erasure, Erasures
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.recordings import Arrivals, Recordings

QUIET_S = 120.0
"""While somebody is at work, an erasure is finished when nothing is found so long after it began:
whoever had begun before it (a look for recordings, a run, a message) has ended by then."""
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Traces:
    """What was found of calls elsewhere: `removed` pieces; `busy` where a run of theirs goes on."""

    removed: int
    busy: bool


Elsewhere = Callable[[Sequence[str], bool], Traces]
"""Deletes what Dagster, and logs, hold of calls; the second says whether to read every text."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look at an erasure: `trouble` is what is in its way, None where nothing is."""

    call_id: str
    finished: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Eraser:
    """Deletes what is kept of erased calls."""

    erasures: Erasures
    recordings: Recordings
    store: ObjectStore
    elsewhere: Elsewhere
    workspace: Path
    quiet_s: float = QUIET_S

    def take_returned(self) -> list[str]:
        """Erase what has the bytes of an erased call, which came in again; returns which."""
        why = "the same recording was erased before"
        return self.erasures.begin(self.erasures.returned(), keep_recording=False, because=why)

    def finish(self, call_ids: Collection[str] | None = None) -> list[Looked]:
        """Look once at each erasure that is not known to be finished, AT_ONCE at most."""
        unfinished = self.erasures.open(call_ids, limit=AT_ONCE)
        if not unfinished:
            return []
        # What went by its age is old, and long out of Dagster's texts: no reason to read them all.
        asked = [each.call_id for each in unfinished if not each.by_retention]
        aged = [each.call_id for each in unfinished if each.by_retention]
        traces = self.elsewhere(asked, True), self.elsewhere(aged, False)
        told = self.erasures.forget_told(unfinished)
        deleted = {each.call_id: self._delete_objects(each) for each in unfinished}
        if any(each.key and not each.keep_recording for each in unfinished):
            # Before anything is noted as gone; a look for recordings may have met them just now.
            self.erasures.forget_positions()
        return [
            self._note(each, deleted[each.call_id], traces[each.by_retention], told)
            for each in unfinished
        ]

    def _note(self, erasure: Erasure, deleted: "_Deleted", traces: Traces, told: int) -> Looked:
        at_work = traces.busy or erasure.is_under_way or erasure.age_s < self.quiet_s
        found = deleted.items or traces.removed or told
        finished = not (deleted.trouble or found or at_work)
        self.erasures.looked(
            erasure.call_id,
            trouble=deleted.trouble,
            objects_gone=deleted.trouble is None,
            finished=finished,
        )
        return Looked(erasure.call_id, finished, deleted.trouble)

    def _delete_objects(self, erasure: Erasure) -> "_Deleted":
        """Channel audio, transcripts, and the recording with a transcript beside it."""
        items = 0
        try:
            items += self.store.delete_below(keys.of_call(erasure.call_id))
            if erasure.bucket is not None and erasure.key is not None:
                place = self.recordings.store(erasure.bucket)
                if erasure.is_unread:
                    self._read(erasure, place, erasure.key)
                if not erasure.keep_recording:
                    of = Place(erasure.call_id, erasure.bucket, erasure.key, erasure.etag)
                    items += remove_recording(self.recordings, self.erasures, of)
                    place.tidy(erasure.key)
        except (StoreUnavailable, MissingObject) as error:
            return _Deleted(items, str(error))
        return _Deleted(items, None)

    def _read(self, erasure: Erasure, place: Arrivals, key: str) -> None:
        """Learn of which bytes the call is, so that they are known when they come in again."""
        # Always the same: should this process be killed, the next look removes what it left.
        copy = self.workspace / f"erasing-{erasure.call_id}"
        try:
            place.fetch(key, copy, erasure.etag)
            self.erasures.keep_out(erasure.call_id, sha256_of(copy))
        except MissingObject:
            return  # nobody can read it any more
        finally:
            copy.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Deleted:
    """How many objects went, and what was in the way."""

    items: int
    trouble: str | None
