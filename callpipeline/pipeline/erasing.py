"""Erasing calls everywhere: what the ledger does not hold itself, as often as it takes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.pipeline.sidecar import keys_beside
from callpipeline.storage import keys
from callpipeline.storage.erasures import Erasure, Erasures
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.recordings import Recordings

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
    """Deletes what is kept of erased calls; `inbox` is the bucket of what people hand over."""

    erasures: Erasures
    recordings: Recordings
    store: ObjectStore
    inbox: str
    elsewhere: Elsewhere
    quiet_s: float = QUIET_S

    def take_returned(self) -> list[str]:
        """Erase what has the bytes of an erased call, which came in again; returns which."""
        found = [wanted.call_id for wanted in self.erasures.wanted(returned=True)]
        why = "the same recording was erased before"
        return self.erasures.begin(found, keep_recording=False, because=why) if found else []

    def finish(self, call_ids: Collection[str] | None = None) -> list[Looked]:
        """Look once at each erasure that is not known to be finished, AT_ONCE at most."""
        unfinished = self.erasures.open(call_ids, limit=AT_ONCE)
        if not unfinished:
            return []
        # What went by its age is old, and long out of Dagster's texts: no reason to read them all.
        asked = [each.call_id for each in unfinished if not each.by_retention]
        aged = [each.call_id for each in unfinished if each.by_retention]
        traces = self.elsewhere(asked, True), self.elsewhere(aged, False)
        self.erasures.forget_told([*asked, *aged])
        looked = [self._look(each, traces[each.by_retention]) for each in unfinished]
        finished = {one.call_id for one in looked if one.finished}
        # A look for recordings that had begun before may have written its position after that.
        if self.quiet_s and any(
            not each.keep_recording for each in unfinished if each.call_id in finished
        ):
            self.erasures.forget_positions()
        return looked

    def _look(self, erasure: Erasure, traces: Traces) -> Looked:
        found, trouble = 0, None
        try:
            found = self._delete_objects(erasure)
        except (StoreUnavailable, MissingObject) as error:
            trouble = str(error)
        at_work = traces.busy or erasure.is_under_way or erasure.age_s < self.quiet_s
        finished = not (trouble or found or traces.removed or at_work)
        gone = trouble is None
        self.erasures.looked(erasure.call_id, trouble=trouble, objects_gone=gone, finished=finished)
        return Looked(erasure.call_id, finished, trouble)

    def _delete_objects(self, erasure: Erasure) -> int:
        """Channel audio, transcripts, and the recording with a transcript beside it."""
        found = self.store.delete_below(keys.of_call(erasure.call_id))
        if erasure.keep_recording or erasure.bucket is None or erasure.key is None:
            return found
        place = self.recordings.store(erasure.bucket)
        for key in (erasure.key, *keys_beside(erasure.key)):
            if place.exists(key):
                place.delete(key)
                found += 1
        if place.name == self.inbox and keys.is_inbox(erasure.key):
            found += place.delete_below(erasure.key.partition("/")[0])
        return found
