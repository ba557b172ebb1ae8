"""The ledger: which recordings there are, what state each is in, and which run holds it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callpipeline.domain.call import Call, CallState, Recording, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    PoisonCall,
    TransientError,
    UnknownCall,
)
from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query

MAX_ATTEMPTS = 3
"""Runs that may be lost while holding a call before it is taken to be what kills them."""

_POISON = (
    f"The run that processed this call died {MAX_ATTEMPTS} times. The recording may be what kills "
    "it: look at the last run's log in Dagster."
)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call as the ledger shows it to a person."""

    call_id: str
    key: str
    state: CallState
    attempts: int
    claimed_by: str | None
    error_stage: str | None
    error_class: str | None
    error_message: str | None
    error_transient: bool | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    duration_s: float | None
    stages: tuple[Stage, ...]
    flags: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Batch:
    """Waiting calls for which one run is asked."""

    batch_id: str
    call_ids: tuple[str, ...]


class Ledger:
    """Reads and compare-and-set writes of table `calls`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self,
        recordings: Iterable[Recording],
        *,
        agent_channel: str = "left",
        sha256: str | None = None,
    ) -> list[str]:
        """Enter recordings; those known already are left as they are. Returns the new call ids."""
        new: list[str] = []
        with self._database.transaction() as connection:
            # In one order everywhere, else two that register the same calls wait for each other.
            for recording in sorted(recordings, key=lambda recording: recording.call_id):
                entry = _entry(recording) | {"agent_channel": agent_channel, "sha256": sha256}
                entered = connection.execute(query("calls/register"), entry)
                new += [row["call_id"] for row in entered]
                if sha256:
                    connection.execute(query("calls/note_content"), entry)
        return new

    def unknown(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Those recordings (of one bucket) that the ledger does not have."""
        if not recordings:
            return []
        identity = {
            "bucket": recordings[0].bucket,
            "keys": [recording.key for recording in recordings],
            "etags": [recording.etag for recording in recordings],
        }
        rows = self._database.rows("calls/known_objects", identity)
        known = {(row["key"], row["etag"]) for row in rows}
        return [r for r in recordings if (r.key, r.etag) not in known]

    def call_of_content(self, sha256: str) -> str | None:
        """The call that was made of these very bytes, if any."""
        rows = self._database.rows("calls/by_content", {"sha256": sha256})
        return rows[0]["call_id"] if rows else None

    def find(self, call_id: str) -> CallRecord:
        """The call with this id, or the only one that begins so. Raises UnknownCall."""
        found = self._select(prefix=call_id, limit=3)
        exact = [record for record in found if record.call_id == call_id]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise UnknownCall(f"Several calls begin with {call_id!r}: write more of the id.")
        raise UnknownCall(f"There is no call {call_id!r}: `callpipeline status` lists them.")

    def calls(
        self,
        *,
        states: Collection[CallState] | None = None,
        call_ids: Collection[str] | None = None,
        limit: int = 1_000_000,
    ) -> list[CallRecord]:
        """Calls, newest first."""
        return self._select(
            states=None if states is None else [str(state) for state in states],
            call_ids=None if call_ids is None else list(call_ids),
            limit=limit,
        )

    def _select(self, **filters: object) -> list[CallRecord]:
        parameters = {"call_ids": None, "prefix": None, "states": None} | filters
        return [_record(row) for row in self._database.rows("calls/select", parameters)]

    def count(self) -> dict[CallState, int]:
        rows = self._database.rows("calls/count_by_state")
        return {CallState(row["state"]): row["calls"] for row in rows}

    def assign_batch(self, batch_id: str, limit: int) -> Batch | None:
        """Put up to `limit` waiting calls into a batch; None when none waits."""
        rows = self._database.rows("calls/assign_batch", {"batch_id": batch_id, "limit": limit})
        call_ids = tuple(sorted(row["call_id"] for row in rows))
        return Batch(batch_id, call_ids) if call_ids else None

    def open_batches(self) -> list[Batch]:
        """Batches of which calls still wait for their run."""
        rows = self._database.rows("calls/open_batches")
        return [Batch(row["batch_id"], tuple(row["call_ids"])) for row in rows]

    def forget_batches(self, batch_ids: Collection[str]) -> None:
        """Let the waiting calls of these batches be put into new ones."""
        self._database.rows("calls/forget_batches", {"batch_ids": list(batch_ids)})

    def claim(
        self, call_ids: Collection[str], run_id: str, *, anew: Collection[Stage] = ()
    ) -> list[Call]:
        """Take calls for a run; those that another run holds, or that are erased, stay out.

        Stages that are stored count as done, save those that are to be made `anew`.
        """
        stages = [str(stage) for stage in anew]
        rows = self._database.rows(
            "calls/claim", {"call_ids": list(call_ids), "run_id": run_id, "anew": stages}
        )
        return sorted((_call(row) for row in rows), key=lambda call: call.call_id)

    def begin(self, call_id: str, run_id: str) -> None:
        """Count an attempt at the call. Raises ClaimLost when another run holds it."""
        if not self._database.rows("calls/begin", {"call_id": call_id, "run_id": run_id}):
            raise ClaimLost(f"Call {call_id} belongs to another run now.")

    def give_back(self, run_id: str) -> int:
        """Let go of the calls that a run still holds as it ends; returns how many."""
        return len(self._database.rows("calls/give_back", {"run_id": run_id}))

    def complete(self, call_id: str, run_id: str) -> CallState:
        """Give the call back after its last stage; COMPLETED when every stage is stored."""
        claim = {"call_id": call_id, "run_id": run_id, "stage_count": len(Stage)}
        rows = self._database.rows("calls/complete", claim)
        if not rows:
            raise ClaimLost(f"Call {call_id} belongs to another run now.")
        return CallState(rows[0]["state"])

    def fail(self, call_id: str, run_id: str, stage: str, error: CallpipelineError) -> None:
        """End the call with a reason. Raises ClaimLost when another run holds it."""
        failure = {
            "call_id": call_id,
            "run_id": run_id,
            "stage": stage,
            "error_class": type(error).__name__,
            "message": str(error),
            "transient": isinstance(error, TransientError),
        }
        if not self._database.rows("calls/fail", failure):
            raise ClaimLost(f"Call {call_id} belongs to another run now.")

    def claiming_runs(self) -> list[str]:
        """Ids of the runs that hold calls."""
        return [row["claimed_by"] for row in self._database.rows("calls/claiming_runs")]

    def release(self, run_ids: Collection[str]) -> dict[str, CallState]:
        """Take back the calls of runs that are gone: PENDING, or FAILED after MAX_ATTEMPTS."""
        poison = {"error_class": PoisonCall.__name__, "message": _POISON}
        lost = {"run_ids": list(run_ids), "max_attempts": MAX_ATTEMPTS} | poison
        rows = self._database.rows("calls/release", lost)
        return {row["call_id"]: CallState(row["state"]) for row in rows}


def _entry(recording: Recording) -> Row:
    return {
        "call_id": recording.call_id,
        "bucket": recording.bucket,
        "key": recording.key,
        "etag": recording.etag,
        "size_bytes": recording.size_bytes,
        "last_modified": recording.last_modified,
    }


def _call(row: Row) -> Call:
    recording = Recording(
        row["bucket"], row["key"], row["etag"], row["size_bytes"], row["last_modified"]
    )
    stages_done = frozenset(Stage(stage) for stage in row["stages_done"])
    return Call(row["call_id"], recording, row["agent_channel"], stages_done)


def _record(row: Row) -> CallRecord:
    typed = {
        "state": CallState(row["state"]),
        "stages": tuple(Stage(stage) for stage in row["stages"]),
        "flags": tuple(row["flags"] or ()),
    }
    return CallRecord(**(row | typed))
