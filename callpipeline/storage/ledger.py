"""The ledger: which recordings there are, what state each is in, and what people want of them.

What a run does to the calls it holds is in `claims`, what waits for a run in `queue`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.call import (
    CallState,
    DuplicatePolicy,
    Lane,
    Recording,
    Registered,
    Registration,
    Stage,
)
from callpipeline.errors import UnknownCall
from callpipeline.storage.contents import own_content
from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query

ASKED = 1
"""The priority of calls that a person waits for."""
ASKED_AT_ONCE = 50
"""Nobody waits for more: those are tried again without keeping the calls of today waiting."""


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
    duplicate_of: str | None
    lane: Lane
    retries: int
    not_before: datetime | None
    started_at: datetime | None
    metadata: Mapping[str, str]
    duration_s: float | None
    stages: tuple[Stage, ...]
    flags: tuple[Mapping[str, Any], ...] = field(default=())


class Ledger:
    """Table `calls`, as those see it who bring recordings and those who ask about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, registrations: Iterable[Registration]) -> list[Registered]:
        """Enter recordings; those known already are left as they are.

        Where the bytes are known (`sha256`), a call of the same bytes is found here; else when
        the recording is read. Either way each set of bytes has one call that owns it. Returns
        what became of each, in the order given.
        """
        given = list(registrations)
        if not given:
            return []
        return self._database.patiently(lambda c: enter_all(c, given))

    def unknown(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Those recordings (of one bucket) that the ledger does not have."""
        if not recordings:
            return []
        identity = {
            "bucket": recordings[0].bucket,
            "keys": [recording.key for recording in recordings],
            "etags": [recording.etag for recording in recordings],
            "call_ids": [recording.call_id for recording in recordings],
        }
        rows = self._database.rows("calls/known_objects", identity)
        known = {(row["key"], row["etag"]) for row in rows}
        return [r for r in recordings if (r.key, r.etag) not in known]

    def call_of_content(self, sha256: str) -> str | None:
        """The call that was made of these very bytes, if any."""
        rows = self._database.rows("calls/by_content", {"sha256": sha256})
        return rows[0]["call_id"] if rows else None

    def find(self, call_id: str) -> CallRecord:
        """The call with this id, or the only one that begins so, or whose recording is named so.

        Raises UnknownCall.
        """
        found = self._select(prefix=call_id, limit=3)
        exact = [record for record in found if record.call_id == call_id]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise UnknownCall(f"Several calls begin with {call_id!r}: write more of the id.")
        named = self._database.rows("calls/by_name", {"name": call_id})
        if len(named) == 1:
            return self._select(call_ids=[named[0]["call_id"]], limit=1)[0]
        if named:
            raise UnknownCall(f"Several recordings are named {call_id!r}: write the call's id.")
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

    def failed(self, *, since: datetime | None = None, error_class: str | None = None) -> list[str]:
        """Ids of the calls that failed, oldest first."""
        wanted = {"since": since, "error_class": error_class}
        return [row["call_id"] for row in self._database.rows("calls/failed", wanted)]

    def retry(self, call_ids: Collection[str]) -> set[str]:
        """Let calls that FAILED, or wait for their next try, be tried now; returns which.

        Stages that are stored are kept, and the count of tries begins anew. A duplicate is tried
        where the call that had its bytes first failed. Of a complete call the mentions are judged
        that could not be. A service for which calls wait is tried now too.
        """
        lane = Lane.BULK if len(call_ids) > ASKED_AT_ONCE else Lane.LIVE
        wanted = {"call_ids": list(call_ids), "priority": ASKED, "lane": lane}
        failed = self._database.rows("calls/retry", wanted)
        waiting = self._database.rows("calls/hurry", wanted)
        self._database.rows("outages/hurry", wanted)
        duplicates = self._database.rows("calls/retry_duplicates", wanted)
        missing = self._database.rows("unjudged/hurry", wanted)
        return {row["call_id"] for row in (*failed, *waiting, *duplicates, *missing)}


def enter_all(connection: Connection[DictRow], given: Sequence[Registration]) -> list[Registered]:
    """Enter recordings in a transaction; returns what became of each, in the order given."""
    # In one order everywhere, else two that register the same calls, or bytes, wait for each other.
    by_id = sorted(given, key=lambda registration: registration.recording.call_id)
    rows = connection.execute(query("calls/register"), _columns(by_id)).fetchall()
    new = {row["call_id"] for row in rows}
    entered = [_entered(connection, registration, new) for registration in given]
    read = [n for n, each in enumerate(given) if entered[n].is_new and each.sha256]
    for number in sorted(read, key=lambda number: given[number].sha256 or ""):
        entered[number] = _compare(connection, given[number])
    return entered


def _entered(
    connection: Connection[DictRow], registration: Registration, new: set[str]
) -> Registered:
    recording = registration.recording
    if recording.call_id in new:
        # Given twice at once, it is new the first time only.
        new.remove(recording.call_id)
        return Registered(recording.call_id, is_new=True)
    known = connection.execute(query("calls/by_object"), _identity(recording)).fetchone()
    if known is None:  # two objects have one id: a known one is told by its id then
        return Registered(recording.call_id, is_new=False)
    return Registered(known["call_id"], is_new=False, duplicate_of=known["duplicate_of"])


def _compare(connection: Connection[DictRow], registration: Registration) -> Registered:
    """Look whether the bytes of a new call are known. What is to be refused fails in its run."""
    call_id, sha256 = registration.recording.call_id, registration.sha256
    owner = own_content(connection, call_id, sha256 or "")
    policy = owner.policy(registration.duplicates)
    if owner.call_id == call_id or policy is DuplicatePolicy.PROCESS:
        return Registered(call_id, is_new=True)
    if policy is DuplicatePolicy.LINK:
        link = {"call_id": call_id, "run_id": None, "first": owner.call_id}
        connection.execute(query("calls/link"), link)
    return Registered(call_id, is_new=True, duplicate_of=owner.call_id)


def _identity(recording: Recording) -> Row:
    return {"bucket": recording.bucket, "key": recording.key, "etag": recording.etag}


def _columns(registrations: Sequence[Registration]) -> Row:
    """The values of each column of `calls`, in the order of the registrations."""
    rows = [_entry(registration) for registration in registrations]
    return {column: [row[column] for row in rows] for column in rows[0]}


def _entry(registration: Registration) -> Row:
    recording = registration.recording
    return _identity(recording) | {
        "call_id": recording.call_id,
        "size_bytes": recording.size_bytes,
        "last_modified": recording.last_modified,
        "agent_channel": registration.agent_channel,
        "sha256": registration.sha256,
        "started_at": registration.started_at,
        "metadata": Jsonb(dict(registration.metadata)),
        "lane": registration.lane,
        "priority": registration.priority,
        "duplicates": registration.duplicates,
    }


def _record(row: Row) -> CallRecord:
    typed = {
        "state": CallState(row["state"]),
        "lane": Lane(row["lane"]),
        "stages": tuple(Stage(stage) for stage in row["stages"]),
        "flags": tuple(row["flags"] or ()),
    }
    return CallRecord(**(row | typed))
