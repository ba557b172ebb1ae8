"""The ledger: registered recordings, the states of their calls, and retries.

The writes of runs are in `claims`, the pending calls in `queue`.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.call import (
    CallState,
    DuplicatePolicy,
    Lane,
    Recording,
    RegisteredCall,
    Registration,
)
from callpipeline.errors import UnknownCall
from callpipeline.storage.calls.claims import own_content
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.reading.call_detail import StoredTranscripts
from callpipeline.storage.reading.calls import summaries_by_id

REQUESTED_PRIORITY = 1
"""Priority of calls that a person requested."""
MAX_LIVE_RETRIES = 50
"""Retries of more calls at once go to the bulk lane, so that they do not delay new calls."""


class Ledger:
    """Registers recordings, finds calls and retries them: table `calls`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, registrations: Iterable[Registration]) -> list[RegisteredCall]:
        """Register recordings and return the result for each, in the order given.

        Registered recordings are left unchanged. Duplicates are found here if the content hash
        (`sha256`) is given, otherwise when the recording is read. Either way each content has one
        call that owns it.
        """
        given = list(registrations)
        if not given:
            return []
        return self._database.with_retry(lambda c: register_all(c, given))

    def unknown(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Return those recordings (of one bucket) that are not registered."""
        if not recordings:
            return []
        identity = {
            "bucket": recordings[0].bucket,
            "keys": [recording.key for recording in recordings],
            "etags": [recording.etag for recording in recordings],
            "call_ids": [recording.call_id for recording in recordings],
        }
        rows = self._database.rows("calls/registered_objects", identity)
        registered = {(row["key"], row["etag"]) for row in rows}
        return [r for r in recordings if (r.key, r.etag) not in registered]

    def call_of_content(self, sha256: str) -> str | None:
        """Return the call that owns this content, if any."""
        rows = self._database.rows("calls/find_by_content", {"sha256": sha256})
        return rows[0]["call_id"] if rows else None

    def waiting_recording(self, sha256: str, bucket: str) -> tuple[str, str] | None:
        """Return the waiting call that owns this content in a bucket, and its recording's key."""
        rows = self._database.rows(
            "calls/find_waiting_recording", {"sha256": sha256, "bucket": bucket}
        )
        return (rows[0]["call_id"], rows[0]["key"]) if rows else None

    def move_recording(self, call_id: str, recording: Recording) -> None:
        """Let a call that still waits refer to another object with the same content."""
        about = {"size_bytes": recording.size_bytes, "last_modified": recording.last_modified}
        parameters = _identity(recording) | about | {"call_id": call_id}
        self._database.rows("calls/move_recording", parameters)

    def find(self, call_id: str) -> CallSummary:
        """Return the call with this id, UUID, unique id prefix, or unique file name.

        Raises UnknownCall.
        """
        call_id = StoredTranscripts(self._database).call_of_job(call_id) or call_id
        found = self._select(prefix=call_id, limit=3)
        exact = [record for record in found if record.call_id == call_id]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise UnknownCall(f"Several call ids start with {call_id!r}: give more of the id.")
        named = self._database.rows("calls/find_by_name", {"name": call_id})
        if len(named) == 1:
            return self._select(call_ids=[named[0]["call_id"]], limit=1)[0]
        if named:
            raise UnknownCall(f"Several recordings are named {call_id!r}: give the call id.")
        raise UnknownCall(f"Call {call_id!r} not found: `callpipeline status` lists calls.")

    def calls(
        self,
        *,
        states: Collection[CallState] | None = None,
        call_ids: Collection[str] | None = None,
        limit: int = 1_000_000,
    ) -> list[CallSummary]:
        """Return calls, newest first."""
        return self._select(
            states=None if states is None else [str(state) for state in states],
            call_ids=None if call_ids is None else list(call_ids),
            limit=limit,
        )

    def _select(self, **filters: object) -> list[CallSummary]:
        parameters = {"call_ids": None, "prefix": None, "states": None} | filters
        rows = self._database.rows("calls/list_ids", parameters)
        found = summaries_by_id(self._database, [row["call_id"] for row in rows])
        calls = {call.call_id: call for call in found}
        return [calls[row["call_id"]] for row in rows if row["call_id"] in calls]

    def count(self) -> dict[CallState, int]:
        rows = self._database.rows("calls/count_by_state")
        return {CallState(row["state"]): row["calls"] for row in rows}

    def failed(self, *, since: datetime | None = None, error_class: str | None = None) -> list[str]:
        """Return the ids of failed calls, oldest failure first."""
        filters = {"since": since, "error_class": error_class}
        return [row["call_id"] for row in self._database.rows("calls/list_failed", filters)]

    def retry(self, call_ids: Collection[str]) -> set[str]:
        """Queue failed and delayed calls to be retried now; return which.

        Stored stages are kept, and the retry counters are reset. A duplicate is processed if the
        call that owns its content failed. Missing sentiment of a complete call is computed. A
        service that one of the calls waits for is probed.
        """
        lane = Lane.BULK if len(call_ids) > MAX_LIVE_RETRIES else Lane.LIVE
        wanted = {"call_ids": list(call_ids), "priority": REQUESTED_PRIORITY, "lane": lane}
        failed = self._database.rows("calls/retry_failed", wanted)
        waiting = self._database.rows("calls/retry_now", wanted)
        self._database.rows("calls/probe_now", wanted)
        duplicates = self._database.rows("calls/retry_duplicates", wanted)
        missing = self._database.rows("unjudged/retry_now", wanted)
        return {row["call_id"] for row in (*failed, *waiting, *duplicates, *missing)}


def move_objects(
    database: Database,
    bucket: str,
    to_bucket: str,
    moved: Iterable[tuple[str, str, Recording]],
) -> None:
    """Let calls refer to restored objects, given with their former key and etag."""
    for key, etag, now in moved:
        parameters: Row = {"bucket": bucket, "key": key, "etag": etag, "to_bucket": bucket}
        parameters |= {"to_etag": now.etag, "last_modified": now.last_modified}
        database.with_retry(lambda c, p=parameters: c.execute(query("calls/move_object"), p))
    if bucket != to_bucket:
        names = {"bucket": bucket, "to_bucket": to_bucket}
        database.with_retry(lambda c: c.execute(query("calls/move_bucket"), names))


def register_all(
    connection: Connection[DictRow], given: Sequence[Registration]
) -> list[RegisteredCall]:
    """Register recordings in a transaction; return the result for each, in the order given."""
    # In a fixed order: concurrent registrations of the same calls or content would deadlock.
    by_id = sorted(given, key=lambda registration: registration.recording.call_id)
    rows = connection.execute(query("calls/register"), _columns(by_id)).fetchall()
    new = {row["call_id"] for row in rows}
    results = [_result(connection, registration, new) for registration in given]
    hashed = [n for n, each in enumerate(given) if results[n].is_new and each.sha256]
    for number in sorted(hashed, key=lambda number: given[number].sha256 or ""):
        results[number] = _deduplicate(connection, given[number])
    return results


def _result(
    connection: Connection[DictRow], registration: Registration, new: set[str]
) -> RegisteredCall:
    recording = registration.recording
    if recording.call_id in new:
        # A recording that is given twice is new the first time only.
        new.remove(recording.call_id)
        return RegisteredCall(recording.call_id, is_new=True)
    known = connection.execute(query("calls/find_by_object"), _identity(recording)).fetchone()
    if known is None:  # another object has the same call id
        return RegisteredCall(recording.call_id, is_new=False)
    return RegisteredCall(known["call_id"], is_new=False, duplicate_of=known["duplicate_of"])


def _deduplicate(connection: Connection[DictRow], registration: Registration) -> RegisteredCall:
    """Check whether the content of a new call is a duplicate. A refused one fails in its run."""
    call_id, sha256 = registration.recording.call_id, registration.sha256
    owner = own_content(connection, call_id, sha256 or "")
    policy = owner.policy(registration.duplicates)
    if owner.call_id == call_id or policy is DuplicatePolicy.PROCESS:
        return RegisteredCall(call_id, is_new=True)
    if policy is DuplicatePolicy.LINK:
        duplicate = {"call_id": call_id, "run_id": None, "first": owner.call_id}
        connection.execute(query("calls/mark_duplicate"), duplicate)
    return RegisteredCall(call_id, is_new=True, duplicate_of=owner.call_id)


def _identity(recording: Recording) -> Row:
    return {"bucket": recording.bucket, "key": recording.key, "etag": recording.etag}


def _columns(registrations: Sequence[Registration]) -> Row:
    """Return the values of each column of `calls`, in the order of the registrations."""
    rows = [_row(registration) for registration in registrations]
    return {column: [row[column] for row in rows] for column in rows[0]}


def _row(registration: Registration) -> Row:
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
        "beginning_sha256": recording.beginning_sha256,
    }
