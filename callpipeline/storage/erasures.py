"""Erasing calls: a tombstone in the ledger first, then all that is kept elsewhere.

The tombstone is made in one transaction with the deletion of every row, so that from then on no run
writes anything more of the call. What lies in other places (objects, Dagster, logs) is deleted
after that, as often as it takes: `open` lists what is not known to be finished.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.call import CallState
from callpipeline.storage.database import Database, Row
from callpipeline.storage.names import Names
from callpipeline.storage.sql import query

AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that is to be erased, as a person may want to see it before.

    `is_asked_for` is False where it is there since it is of the same bytes as one that is.
    """

    call_id: str
    state: CallState
    took_place_at: datetime
    key: str
    customer: str | None
    is_asked_for: bool


@dataclass(frozen=True, slots=True)
class Erasure:
    """A call that was erased, and what is not known to be gone yet.

    `bucket`, `key` and `etag` are those of its recording, None when it is gone; its bytes are to be
    read first where it `is_unread`. `is_under_way` is whether the run that was at work on it may
    still write of it; `age_s` is since it was erased.
    """

    call_id: str
    keep_recording: bool
    by_retention: bool
    bucket: str | None
    key: str | None
    etag: str | None
    is_unread: bool
    trouble: str | None
    asked_at: datetime
    age_s: float
    is_under_way: bool


class Erasures:
    """Table `erasures`, and the rows of calls in all the others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wanted(
        self, call_ids: Collection[str] = (), *, customer: str | None = None
    ) -> list[Wanted]:
        """These calls, or those of a customer, and all of the same bytes; oldest first."""
        asked = {"call_ids": list(call_ids), "customer": customer}
        return [_wanted(row) for row in self._database.rows("erasures/wanted", asked)]

    def returned(self) -> list[str]:
        """Calls of bytes that somebody had erased: they came in again."""
        return [row["call_id"] for row in self._database.rows("erasures/returned")]

    def begin(
        self,
        call_ids: Collection[str],
        *,
        keep_recording: bool,
        because: str = "",
        ended_before: datetime | None = None,
    ) -> list[str]:
        """Delete every row of calls and leave tombstones; returns which were not erased before.

        Some at a time: each is locked as long as those beside it are buried. Where calls go by
        their age, `ended_before` leaves those alone that are under way again.
        """
        how = {"keep_recording": keep_recording, "because": because, "ended_before": ended_before}
        how |= {"by_retention": ended_before is not None}
        ids, buried = list(call_ids), list[str]()
        for start in range(0, len(ids), AT_ONCE):
            some = how | {"call_ids": ids[start : start + AT_ONCE]}
            buried += self._database.patiently(partial(_bury, how=some))
        return buried

    def open(
        self, call_ids: Collection[str] | None = None, *, limit: int = 1_000_000
    ) -> list[Erasure]:
        """Erasures that are not known to be finished, of these calls or all."""
        asked = {"call_ids": None if call_ids is None else list(call_ids), "limit": limit}
        return [Erasure(**row) for row in self._database.rows("erasures/open", asked)]

    def forget_told(self, erasures: Sequence[Erasure]) -> int:
        """Delete what others wrote of calls for people to be told; returns how many events.

        By ids, and by keys and file names as far as no other call has them too.
        """
        asked_for = [erasure for erasure in erasures if not erasure.by_retention]
        keys = [erasure.key for erasure in asked_for if erasure.key]
        mine = {*keys, *(key.rpartition("/")[2] for key in keys)}
        shared = self._database.rows("erasures/shared_names", {"names": sorted(mine)})
        ids = (erasure.call_id for erasure in asked_for)
        names = Names({*ids, *mine} - {row["name"] for row in shared})
        told = self._database.rows("erasures/telling") if names else []
        event_ids = [
            row["event_id"] for row in told if names.stand_in(row["text"], row["file_name"])
        ]
        if event_ids:
            gone = {"call_ids": [], "event_ids": event_ids}
            self._database.patiently(lambda c: c.execute(query("erasures/forget_told"), gone))
        return len(event_ids)

    def shares_place(self, bucket: str, key: str, call_id: str) -> bool:
        """Whether a recording, or a transcript beside it, is that of another call than this too."""
        place = {"bucket": bucket, "key": key, "call_id": call_id}
        return self._database.rows("erasures/beside", place)[0]["is_shared"]

    def forget_positions(self) -> None:
        """Let looking for recordings begin anew: an erased key may stand in any position."""
        self._database.patiently(lambda c: c.execute(query("erasures/positions")))

    def keep_out(self, call_id: str, sha256: str) -> None:
        """Note of which bytes an erased call was, that nobody had read before."""
        read = {"call_id": call_id, "sha256": sha256}
        self._database.patiently(lambda c: c.execute(query("erasures/read"), read))

    def looked(
        self, call_id: str, *, trouble: str | None, objects_gone: bool, finished: bool
    ) -> None:
        """Note what came of a look at an erasure."""
        came = {"trouble": trouble, "objects_gone": objects_gone, "finished": finished}
        self._database.rows("erasures/looked", {"call_id": call_id} | came)

    def lift(self, call_ids: Collection[str]) -> set[str]:
        """Let the recordings of calls come in again whose erasure is finished; returns which, with
        the other tombstones of the same bytes."""
        rows = self._database.rows("erasures/lift", {"call_ids": list(call_ids)})
        return {row["call_id"] for row in rows}


def _wanted(row: Row) -> Wanted:
    typed: Row = row | {"state": CallState(row["state"])}
    return Wanted(**typed)


def _bury(connection: Connection[DictRow], how: Row) -> list[str]:
    locked = connection.execute(query("erasures/lock"), how).fetchall()
    ids = [row["call_id"] for row in locked]
    if not ids:
        return []
    these = how | {"call_ids": ids, "event_ids": []}
    for step in ("begin", "forget_results", "forget_address", "forget_told", "bury", "pass_on"):
        connection.execute(query(f"erasures/{step}"), these)
    why = "retention" if how["by_retention"] else "erasure"
    noted = {"what": "call", "why": why, "items": [1] * len(ids)}
    noted |= {"older_than": how["ended_before"], "call_ids": ids}
    connection.execute(query("erasures/note_deletion"), noted)
    return ids
