"""Mentions of complete calls that could not be judged, and how they are judged after all.

The call stays COMPLETED all the while: a run takes its missing mentions and not the call, so that
nothing that becomes of the run can change the call's state. Each write locks the call's row and
checks that it is complete and that the run has the mentions still.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.sentiment import Unjudged, Verdict, judged, unjudged
from callpipeline.errors import ClaimLost
from callpipeline.storage import rows, tables
from callpipeline.storage.database import Database, Row, storable
from callpipeline.storage.ports import StageWrite
from callpipeline.storage.sql import query
from callpipeline.storage.tries import OUTAGE_PATIENCE_S, jittered

WAITS_S = (120.0, 600.0, 3600.0, *(21_600.0,) * 8)
"""Waits before each new try of a mention: 2 and 10 minutes, an hour, then six hours; two days."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A mention that is not judged yet; `not_before` is None where it is not tried any more."""

    call_id: str
    mention_id: str
    competitor: str
    reason: str
    error_class: str
    transient: bool
    tries: int
    not_before: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MissingCounts:
    """How many mentions of complete calls wait to be judged, and how many were given up."""

    waiting: int
    waiting_calls: int
    next_at: datetime | None
    given_up: int
    given_up_calls: int


class UnjudgedMentions:
    """Table `unjudged`."""

    def __init__(
        self,
        database: Database,
        *,
        waits_s: Sequence[float] = WAITS_S,
        outage_patience_s: float = OUTAGE_PATIENCE_S,
    ) -> None:
        self._database = database
        self._outage_patience_s = outage_patience_s
        self._waits_s = waits_s

    def due(self, limit: int) -> list[str]:
        """Calls with mentions that are to be judged now."""
        return [row["call_id"] for row in self._database.rows("unjudged/due", {"limit": limit})]

    def enter_run(self, run_id: str) -> None:
        """Let a run be watched that will take mentions; it is to give signs of life."""
        run = {"run_id": run_id}
        self._database.patiently(lambda c: c.execute(query("unjudged/enter_run"), run))

    def take(self, call_id: str, run_id: str) -> frozenset[str]:
        """See `MissingJudgements`. A try counts whatever becomes of the run, unless
        it finds a service away."""
        waits_s = [jittered(wait_s) for wait_s in self._waits_s]
        claim = {"call_id": call_id, "run_id": run_id}
        tries = {"waits_s": waits_s, "most": len(waits_s)}

        def take(connection: Connection[DictRow]) -> frozenset[str]:
            taken = connection.execute(query("unjudged/take"), claim | tries).fetchall()
            connection.execute(query("unjudged/tell"), claim)
            return frozenset(row["mention_id"] for row in taken if row["is_taken"])

        return self._database.patiently(take)

    def save(self, write: StageWrite, verdicts: Sequence[Verdict]) -> datetime | None:
        """See `MissingJudgements`. What is given up by this is told."""
        return self._database.patiently(lambda c: self._save(c, write, verdicts))

    def _save(
        self, connection: Connection[DictRow], write: StageWrite, verdicts: Sequence[Verdict]
    ) -> datetime | None:
        claim = {"call_id": write.call_id, "run_id": write.run_id, "stage": write.stage}
        asked = _asked(connection, claim)
        found = [verdict for verdict in verdicts if verdict.mention_id in asked]
        new = [rows.of_judgement(write.call_id, judgement) for judgement in judged(found)]
        missing = unjudged(found)
        if new:
            tables.upsert(connection, "sentiment", ("call_id", "mention_id"), new)
            ids = {"mention_ids": [row["mention_id"] for row in new], "took_s": write.took_s}
            connection.execute(query("unjudged/judged"), claim | ids)
        if missing:
            late = claim | _columns(missing) | {"most": len(self._waits_s)}
            late |= {"patience_s": self._outage_patience_s}
            connection.execute(query("unjudged/put_off"), late)
        connection.execute(query("unjudged/tell"), claim)
        left = [m.not_before for m in _of_calls(connection, [write.call_id]) if m.not_before]
        return min(left, default=None)

    def of_calls(self, call_ids: Collection[str]) -> list[Missing]:
        """The mentions of calls that are not judged yet, call by call in order of time."""
        return self._database.patiently(lambda c: _of_calls(c, call_ids))

    def count(self) -> MissingCounts:
        return MissingCounts(**self._database.rows("unjudged/count")[0])


def replace(
    connection: Connection[DictRow], write: StageWrite, missing: Sequence[Unjudged]
) -> None:
    """Note what is missing of a call that was just judged, in the caller's transaction."""
    tables.replace(connection, "unjudged", "call_id", [write.call_id], [])
    if not missing:
        return
    claim = {"call_id": write.call_id, "run_id": write.run_id}
    entered = claim | _columns(missing) | {"wait_s": jittered(WAITS_S[0])}
    connection.execute(query("unjudged/enter"), entered)
    connection.execute(query("unjudged/tell"), claim)


def _asked(connection: Connection[DictRow], claim: Row) -> set[str]:
    """What the run may write of. Raises ClaimLost, but not where it has written all: the
    connection may have been cut after that."""
    if connection.execute(query("unjudged/hold"), claim).fetchone():
        found = connection.execute(query("unjudged/asked"), claim).fetchall()
        if asked := {row["mention_id"] for row in found}:
            return asked
        if connection.execute(query("unjudged/stored_by"), claim).fetchone():
            return set()
    raise ClaimLost(f"The mentions of call {claim['call_id']} are not this run's any more.")


def _of_calls(connection: Connection[DictRow], call_ids: Collection[str]) -> list[Missing]:
    wanted = {"call_ids": list(call_ids)}
    found = connection.execute(query("unjudged/of_calls"), wanted).fetchall()
    return [Missing(**row) for row in found]


def _columns(missing: Sequence[Unjudged]) -> Row:
    return {
        "mention_id": [one.mention_id for one in missing],
        "competitor": [one.competitor for one in missing],
        "reason": [storable(one.reason) for one in missing],
        "error_class": [one.error_class for one in missing],
        "transient": [one.transient for one in missing],
        "away_from": [one.away_from for one in missing],
    }
