"""What waits for a run: calls, and batches of calls for which a run was asked."""

from collections.abc import Collection
from dataclasses import dataclass

from callpipeline.domain.call import Lane
from callpipeline.storage.database import Database
from callpipeline.storage.tries import FRUITLESS_WAITS, MAX_ATTEMPTS, OUTAGE_PATIENCE_S

UNASKED_S = 60.0
"""A run that was to try a service, and has not after so long, has gone astray: another one does."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Waiting calls for which one run is asked; `age_s` is how long ago."""

    batch_id: str
    call_ids: tuple[str, ...]
    lane: Lane = Lane.LIVE
    priority: int = 0
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """The calls that wait in a lane. `later` of them wait for their next try.

    `oldest_s` is how long the oldest of the others waits, None where there is none; `fruitless`
    the most runs in a row that ended before a call did, through no fault of the call.
    """

    lane: Lane
    calls: int
    later: int
    fruitless: int
    oldest_s: float | None


class Queue:
    """The waiting calls of table `calls`."""

    def __init__(self, database: Database, *, outage_patience_s: float = OUTAGE_PATIENCE_S) -> None:
        self._database = database
        self._outage_patience_s = outage_patience_s

    def assign_batch(self, batch_id: str, limit: int, *, lane: Lane = Lane.LIVE) -> Batch | None:
        """Put up to `limit` waiting calls of a lane into a batch; None when none waits.

        A call that may be what killed its last runs is alone in its batch; of those that wait for
        a service which is away, one goes, when it is to be tried.
        """
        alone = {"suspect_attempts": MAX_ATTEMPTS - 1}
        away = {"unasked_s": UNASKED_S, "patience_s": self._outage_patience_s}
        wanted = {"batch_id": batch_id, "limit": limit, "lane": lane} | alone | away
        rows = self._database.rows("calls/assign_batch", wanted)
        call_ids = tuple(sorted(row["call_id"] for row in rows))
        priority = max((row["priority"] for row in rows), default=0)
        return Batch(batch_id, call_ids, lane, priority) if call_ids else None

    def open_batches(self) -> list[Batch]:
        """Batches of which calls still wait for their run."""
        return [
            Batch(
                row["batch_id"],
                tuple(row["call_ids"]),
                Lane(row["lane"]),
                row["priority"],
                row["age_s"],
            )
            for row in self._database.rows("calls/open_batches")
        ]

    def forget_batches(self, batch_ids: Collection[str]) -> int:
        """Let the waiting calls of these batches be put into new ones; returns how many."""
        forgotten = {"batch_ids": list(batch_ids), **FRUITLESS_WAITS}
        rows = self._database.rows("calls/forget_batches", forgotten)
        return len(rows)

    def waiting(self) -> list[Waiting]:
        """What waits, by lane."""
        return [
            Waiting(
                Lane(row["lane"]), row["calls"], row["later"], row["fruitless"], row["oldest_s"]
            )
            for row in self._database.rows("calls/count_waiting")
        ]
