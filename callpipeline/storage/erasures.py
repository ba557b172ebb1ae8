"""Erasing calls: a tombstone in the ledger first, then all that is kept elsewhere.

The tombstone is made in one transaction with the deletion of every row, so that from then on no run
writes anything more of the call. What lies in other places (objects, Dagster, logs) is deleted
after that, as often as it takes: `open` lists what is not known to be finished.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.call import CallState
from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query

SHORTEST_NAME = 6


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

    `bucket` and `key` are where its recording was, None when it is gone; `is_under_way` whether
    the run that was at work on it may still write of it; `age_s` is since it was erased.
    """

    call_id: str
    keep_recording: bool
    by_retention: bool
    bucket: str | None
    key: str | None
    trouble: str | None
    asked_at: datetime
    age_s: float
    is_under_way: bool


class Erasures:
    """Table `erasures`, and the rows of calls in all the others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wanted(
        self,
        call_ids: Collection[str] = (),
        *,
        customer: str | None = None,
        returned: bool = False,
    ) -> list[Wanted]:
        """These calls, those of a customer, and with `returned` those whose bytes were erased
        before they came in; each with all that are of the same bytes. Oldest first."""
        asked = {"call_ids": list(call_ids), "customer": customer, "returned": returned}
        rows = self._database.rows("erasures/wanted", asked)
        return [_wanted(row) for row in rows]

    def begin(
        self,
        call_ids: Collection[str],
        *,
        keep_recording: bool,
        because: str = "",
        ended_before: datetime | None = None,
    ) -> list[str]:
        """Delete every row of calls and leave tombstones; returns which were not erased before.

        Where calls go by their age, `ended_before` leaves those alone that are under way again.
        """
        how = {"keep_recording": keep_recording, "because": because, "ended_before": ended_before}
        how |= {"by_retention": ended_before is not None}
        return self._database.patiently(lambda c: _bury(c, call_ids, how))

    def open(
        self, call_ids: Collection[str] | None = None, *, limit: int = 1_000_000
    ) -> list[Erasure]:
        """Erasures that are not known to be finished, of these calls or all."""
        asked = {"call_ids": None if call_ids is None else list(call_ids), "limit": limit}
        return [Erasure(**row) for row in self._database.rows("erasures/open", asked)]

    def forget_told(self, call_ids: Sequence[str]) -> None:
        """Delete what was written for people since, by those who had begun before."""
        named = _names([{"call_id": call_id} for call_id in call_ids])
        self._database.patiently(lambda c: c.execute(query("erasures/forget_told"), named))

    def forget_positions(self) -> None:
        """Let looking for recordings begin anew: an erased key may stand in any position."""
        wherever: dict[str, list[str]] = {"places": []}
        self._database.patiently(lambda c: c.execute(query("erasures/positions"), wherever))

    def looked(
        self, call_id: str, *, trouble: str | None, objects_gone: bool, finished: bool
    ) -> None:
        """Note what came of a look at an erasure."""
        came = {"trouble": trouble, "objects_gone": objects_gone, "finished": finished}
        self._database.rows("erasures/looked", {"call_id": call_id} | came)

    def lift(self, call_ids: Collection[str]) -> set[str]:
        """Let the recordings of calls come in again whose erasure is finished; returns which."""
        rows = self._database.rows("erasures/lift", {"call_ids": list(call_ids)})
        return {row["call_id"] for row in rows}


def _wanted(row: Row) -> Wanted:
    typed: Row = row | {"state": CallState(row["state"])}
    return Wanted(**typed)


def _bury(
    connection: Connection[DictRow], call_ids: Collection[str], how: dict[str, object]
) -> list[str]:
    wanted = how | {"call_ids": list(call_ids)}
    locked = connection.execute(query("erasures/lock"), wanted).fetchall()
    if not locked:
        return []
    # What is old enough to go is not searched for in messages: these go by their own age.
    old = [{"call_id": row["call_id"]} for row in locked] if how["by_retention"] else None
    named = _names(old or _told_apart(connection, locked))
    connection.execute(query("erasures/begin"), named | how)
    connection.execute(query("erasures/forget_results"), named)
    connection.execute(query("erasures/forget_told"), named)
    connection.execute(query("erasures/positions"), named)
    connection.execute(query("erasures/bury"), named)
    why = "retention" if how["by_retention"] else "erasure"
    noted = {"what": "call", "why": why, "items": [1] * len(locked)}
    noted |= {"older_than": how["ended_before"]}
    connection.execute(query("erasures/note_deletion"), named | noted)
    return named["call_ids"]


def _told_apart(connection: Connection[DictRow], locked: Sequence[Row]) -> list[Row]:
    """The rows with the name of the file, where no other call has a file of that name."""
    ours = {row["call_id"] for row in locked}

    def has_name(row: Row) -> bool:
        name = {"name": row["name"]}
        found = connection.execute(query("calls/by_name"), name).fetchall()
        return {one["call_id"] for one in found} <= ours

    named = [row | {"name": PurePosixPath(row["key"]).name} for row in locked]
    return [row if has_name(row) else row | {"name": None} for row in named]


def _names(rows: Sequence[Row]) -> dict[str, list[str]]:
    """How calls are told of in texts: exactly (`names`), within others (`patterns`), in positions
    (`places`)."""
    ids, keys = [row["call_id"] for row in rows], [row["key"] for row in rows if row.get("key")]
    names = [*ids, *keys, *(row["name"] for row in rows if row.get("name"))]
    forms = {form for name in names if _is_distinct(name) for form in _written(name)}
    return {
        "call_ids": ids,
        "names": names,
        "patterns": sorted(rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms),
        "places": [*(f'"{id_}"' for id_ in ids), *(json.dumps(key[:-1])[:-1] for key in keys)],
    }


def _is_distinct(name: str) -> bool:
    """Whether text that has it in it tells of that call: `a` and `call` stand in many."""
    return len(name) >= SHORTEST_NAME and re.search(r"[\d./_-]", name) is not None


def _written(name: str) -> set[str]:
    """A name as it stands in text, and in JSON with ASCII characters or any."""
    return {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}
