"""Mentions of completed calls that could not be judged, and retries of them.

The call stays COMPLETED: a run claims its unjudged mentions and not the call, so that the outcome
of the run cannot change the call's state. Each write locks the call's row and checks that the call
is completed and that the run still has the claim.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.sentiment import JudgeResult, UnjudgedMention, judged, unjudged
from callpipeline.errors import ClaimLost
from callpipeline.storage.calls.claims import OUTAGE_PATIENCE_S, jittered
from callpipeline.storage.ports.results import MissingJudgement, StageWrite
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization
from callpipeline.storage.results.decisions import corrections

WAITS_S = (120.0, 600.0, 3600.0, *(21_600.0,) * 8)
"""Waits between attempts: 2 and 10 minutes, an hour, then six hours each; two days in all."""


@dataclass(frozen=True, slots=True)
class UnjudgedCounts:
    """Unjudged mentions of completed calls: those that wait for an attempt, and those given up."""

    waiting: int
    waiting_calls: int
    next_at: datetime | None
    given_up: int
    given_up_calls: int


class UnjudgedStore:
    """Unjudged mentions: table `unjudged`."""

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
        """Return calls with mentions that are due."""
        return [
            row["call_id"] for row in self._database.rows("unjudged/list_due", {"limit": limit})
        ]

    def register_run(self, run_id: str) -> None:
        """Register a run that will claim mentions; it must send heartbeats."""
        run = {"run_id": run_id}
        self._database.with_retry(lambda c: c.execute(query("unjudged/register_run"), run))

    def claim(self, call_id: str, run_id: str) -> frozenset[str]:
        """Claim the mentions of a call that are due, for this run alone, and return their ids.

        The attempt counts whatever happens to the run, unless a service is unavailable.
        """
        waits_s = [jittered(wait_s) for wait_s in self._waits_s]
        claim = {"call_id": call_id, "run_id": run_id}
        limits = {"waits_s": waits_s, "most": len(waits_s)}

        def take(connection: Connection[DictRow]) -> frozenset[str]:
            rows = connection.execute(query("unjudged/claim"), claim | limits).fetchall()
            connection.execute(query("unjudged/report_given_up"), claim)
            return frozenset(row["mention_id"] for row in rows if row["is_taken"])

        return self._database.with_retry(take)

    def save(self, write: StageWrite, verdicts: Sequence[JudgeResult]) -> datetime | None:
        """Store judgements of the claimed mentions; return the time of the next attempt.

        Mentions that are given up are reported. Raises ClaimLost.
        """
        return self._database.with_retry(lambda c: self._save(c, write, verdicts))

    def _save(
        self, connection: Connection[DictRow], write: StageWrite, verdicts: Sequence[JudgeResult]
    ) -> datetime | None:
        claim = {"call_id": write.call_id, "run_id": write.run_id, "stage": write.stage}
        claimed = _claimed(connection, claim)
        found = [verdict for verdict in verdicts if verdict.mention_id in claimed]
        new = [serialization.judgement_row(write.call_id, judgement) for judgement in judged(found)]
        missing = unjudged(found)
        if new:
            tables.upsert(connection, "sentiment", ("call_id", "mention_id"), new)
            ids = {"mention_ids": [row["mention_id"] for row in new], "took_s": write.took_s}
            connection.execute(query("unjudged/save_judged"), claim | ids)
            corrections.apply(connection, write.call_id)
        if missing:
            late = claim | _columns(missing) | {"most": len(self._waits_s)}
            late |= {"patience_s": self._outage_patience_s}
            connection.execute(query("unjudged/reschedule"), late)
        connection.execute(query("unjudged/report_given_up"), claim)
        left = [
            m.next_attempt_at for m in _of_calls(connection, [write.call_id]) if m.next_attempt_at
        ]
        return min(left, default=None)

    def of_calls(self, call_ids: Collection[str]) -> list[MissingJudgement]:
        """Return the unjudged mentions of calls, by call and in order of time."""
        return self._database.with_retry(lambda c: _of_calls(c, call_ids))

    def count(self) -> UnjudgedCounts:
        return UnjudgedCounts(**self._database.rows("unjudged/count")[0])


def replace(
    connection: Connection[DictRow], write: StageWrite, missing: Sequence[UnjudgedMention]
) -> None:
    """Replace the unjudged mentions of a call, in the caller's transaction."""
    tables.replace(connection, "unjudged", "call_id", [write.call_id], [])
    insert(connection, write.call_id, write.run_id, missing)


def insert(
    connection: Connection[DictRow],
    call_id: str,
    run_id: str,
    missing: Sequence[UnjudgedMention],
) -> None:
    """Insert mentions of a call that could not be judged, in the caller's transaction."""
    if not missing:
        return
    claim = {"call_id": call_id, "run_id": run_id}
    entered = claim | _columns(missing) | {"wait_s": jittered(WAITS_S[0])}
    connection.execute(query("unjudged/insert"), entered)
    connection.execute(query("unjudged/report_given_up"), claim)


def _claimed(connection: Connection[DictRow], claim: Row) -> set[str]:
    """Return the mentions that the run has claimed. Raises ClaimLost.

    Returns nothing if the run has stored them all already: the connection may have been cut after
    the commit.
    """
    if connection.execute(query("unjudged/lock_call"), claim).fetchone():
        found = connection.execute(query("unjudged/list_claimed"), claim).fetchall()
        if claimed := {row["mention_id"] for row in found}:
            return claimed
        if connection.execute(query("unjudged/is_stored_by"), claim).fetchone():
            return set()
    raise ClaimLost(f"The mentions of call {claim['call_id']} are not claimed by this run.")


def _of_calls(connection: Connection[DictRow], call_ids: Collection[str]) -> list[MissingJudgement]:
    parameters = {"call_ids": list(call_ids)}
    found = connection.execute(query("unjudged/list"), parameters).fetchall()
    return [MissingJudgement(**row) for row in found]


def _columns(missing: Sequence[UnjudgedMention]) -> Row:
    return {
        "mention_id": [one.mention_id for one in missing],
        "competitor": [one.competitor for one in missing],
        "reason": [sanitize_text(one.reason) for one in missing],
        "error_class": [one.error_class for one in missing],
        "transient": [one.transient for one in missing],
        "unavailable_service": [one.unavailable_service for one in missing],
    }
