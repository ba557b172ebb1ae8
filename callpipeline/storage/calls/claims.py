"""Claims of runs on calls and the heartbeats that keep them, and the retry policy."""

import logging
import random
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.calls.call import Call, CallState, DuplicatePolicy, Recording, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DownloadFailed,
    DuplicateRecording,
    MissingObject,
    PoisonCall,
    SameRecording,
    ServiceUnavailable,
    TransientError,
    UnexpectedError,
)
from callpipeline.storage.postgres.database import (
    Database,
    Row,
    run_application_name,
    sanitize_text,
)
from callpipeline.storage.postgres.sql import query

MAX_ATTEMPTS = 3
"""Lost runs after which a call is considered to be what kills its runs."""

RETRY_WAITS_S = (30.0, 120.0, 480.0)
"""Wait before each retry after a transient error: ten and a half minutes in total."""

IDLE_RUN_WAITS = {"first_wait_s": 5.0, "longest_wait_s": 600.0}
"""Backoff for calls whose run ended before they did; doubles with each consecutive run."""

MAX_RELEASES = 10
"""Consecutive runs that may end normally while they hold a call, before the call ends FAILED."""

OUTAGE_PATIENCE_S = 86_400.0
"""Longest wait of a call for an unavailable service; after it, the call ends FAILED."""

JITTER = 0.2
"""Fraction by which waits vary, so that calls which failed together do not retry together."""

POISON_CALL = (
    f"The run that processed this call died {MAX_ATTEMPTS} times. The recording may be the cause: "
    "see the log of the last run in Dagster."
)

RELEASED_TOO_OFTEN = (
    f"The runs that processed this call ended {MAX_RELEASES} times before it was done: see the "
    "last run in Dagster. Run `callpipeline retry` to try again."
)

HEARTBEAT_S = 5.0
STALE_AFTER_S = 30.0
"""Age of the last heartbeat at which a run is considered dead: six beats are missing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimingRun:
    """A run that holds calls, and the age of its last heartbeat."""

    run_id: str
    heartbeat_age_s: float


class Claims:
    """Compare-and-set writes to table `calls`, on behalf of runs."""

    def __init__(
        self,
        database: Database,
        *,
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
        outage_patience_s: float = OUTAGE_PATIENCE_S,
        notify_completed: bool = False,
    ) -> None:
        self._database = database
        self._retry_waits_s = retry_waits_s
        self._outage_patience_s = outage_patience_s
        self._notify_completed = notify_completed

    def claim(
        self,
        call_ids: Collection[str],
        run_id: str,
        *,
        recompute: Collection[Stage] = (),
        only_pending: bool = False,
        required: Collection[Stage] = (),
    ) -> list[Call]:
        """Claim calls for a run and return them; skip erased calls and those of other runs.

        Stored stages count as done, except those in `recompute`. With `only_pending`, skip calls
        that have ended in the meantime. Calls without a stored `required` stage are skipped too:
        the run could only fail them.
        """
        parameters = {
            "call_ids": list(call_ids),
            "run_id": run_id,
            "recompute": [str(stage) for stage in recompute],
            "only_pending": only_pending,
            "required": [str(stage) for stage in required],
        }
        rows = self._database.rows("calls/claim", parameters)
        return sorted((_call(row) for row in rows), key=lambda call: call.call_id)

    def begin(self, call_id: str, run_id: str) -> None:
        """Count an attempt at the call. Raises ClaimLost when another run holds it."""
        self._write("calls/begin_attempt", {"call_id": call_id, "run_id": run_id})

    def own_content(self, call: Call, run_id: str, sha256: str) -> None:
        """Record the hash of the call's recording.

        If an earlier call has the same content, the policy of the call's source decides: raises
        SameRecording when the call ended as a duplicate, DuplicateRecording when it must fail. In
        both cases the stored results of the call are deleted. A call with erased content always
        ends as a duplicate. Raises ClaimLost when another run holds the call.
        """
        owner = self._database.with_retry(lambda c: self._deduplicate(c, call, run_id, sha256))
        first, policy = owner.call_id, owner.policy(call.duplicates)
        if first == call.call_id or policy is DuplicatePolicy.PROCESS:
            return
        if policy is DuplicatePolicy.REFUSE:
            raise DuplicateRecording(
                f"The recording is identical to that of call {first}, and its source refuses "
                "duplicates."
            )
        raise SameRecording(first)

    @staticmethod
    def _deduplicate(
        connection: Connection[DictRow], call: Call, run_id: str, sha256: str
    ) -> "ContentOwner":
        """Link a duplicate in the transaction that finds its owner, which cannot fail meanwhile."""
        claim = {"call_id": call.call_id, "run_id": run_id}
        if connection.execute(query("calls/lock_claim"), claim).fetchone() is None:
            raise _claim_lost(call.call_id)
        owner = own_content(connection, call.call_id, sha256)
        policy = owner.policy(call.duplicates)
        if owner.call_id != call.call_id and policy is not DuplicatePolicy.PROCESS:
            connection.execute(query("calls/delete_results"), claim)
            if policy is DuplicatePolicy.LINK:
                duplicate = claim | {"first": owner.call_id}
                connection.execute(query("calls/mark_duplicate"), duplicate)
        return owner

    def complete(self, call_id: str, run_id: str) -> CallState:
        """Release the call after its last stage; COMPLETED when every stage is stored."""
        claim = {"call_id": call_id, "run_id": run_id, "stage_count": len(Stage)}
        claim |= {"notify": self._notify_completed}
        return CallState(self._write("calls/complete", claim)["state"])

    def fail(
        self, call_id: str, run_id: str, stage: str, error: CallpipelineError
    ) -> datetime | None:
        """Fail the call or schedule a retry; return the time of the retry, None if it failed.

        After ServiceUnavailable the call waits for the service without using up a retry. If the
        error may not affect another copy of the same content, a duplicate is promoted to be
        processed instead. Raises ClaimLost when another run holds the call.
        """
        least_s = (error.retry_after_s or 0.0) if isinstance(error, DownloadFailed) else 0.0
        service = error.service if isinstance(error, ServiceUnavailable) else None
        failure = {
            "call_id": call_id,
            "run_id": run_id,
            "stage": stage,
            "error_class": type(error).__name__,
            "message": sanitize_text(str(error)),
            "transient": isinstance(error, TransientError),
            "retry_waits_s": [max(jittered(wait_s), least_s) for wait_s in self._retry_waits_s],
            "outage_wait_s": _outage_wait_s(error),
            "unavailable_service": service,
            "patience_s": self._outage_patience_s,
        }
        may_promote = isinstance(error, TransientError | MissingObject)
        return self._database.with_retry(lambda c: _fail(c, failure, may_promote))

    def release(self, run_id: str) -> int:
        """Release the calls that a run still holds when it ends, and return how many.

        A call that MAX_RELEASES consecutive runs have released ends FAILED.
        """
        failure = {"error_class": UnexpectedError.__name__, "message": RELEASED_TOO_OFTEN}
        parameters = {"run_id": run_id, "max_releases": MAX_RELEASES, **IDLE_RUN_WAITS, **failure}
        return self._end_run("calls/release", parameters)

    def hand_back(self, run_id: str) -> int:
        """Return the calls of an interrupted run to the queue at once, and return how many.

        Nothing is counted against them, however often a deployment interrupts their runs.
        """
        return self._end_run("calls/hand_back", {"run_id": run_id})

    def _end_run(self, statement: str, parameters: Row) -> int:
        def end_run(connection: Connection[DictRow]) -> int:
            released = connection.execute(query(statement), parameters).rowcount
            connection.execute(query("calls/delete_run"), parameters)
            return released

        return self._database.with_retry(end_run)

    def beat(self, run_id: str) -> bool:
        """Send a heartbeat; return False when the run's calls were reclaimed already."""
        return bool(self._database.rows("calls/beat", {"run_id": run_id}))

    @contextmanager
    def dedicated_connection(self, *, timeout_s: float) -> Iterator["Claims"]:
        """Yield claims on a separate connection; slow writes may occupy the pool."""
        with self._database.dedicated_connection(timeout_s=timeout_s) as database:
            yield Claims(
                database,
                retry_waits_s=self._retry_waits_s,
                outage_patience_s=self._outage_patience_s,
                notify_completed=self._notify_completed,
            )

    def claiming_runs(self) -> list[ClaimingRun]:
        return [ClaimingRun(**row) for row in self._database.rows("calls/claiming_runs")]

    def reclaim(self, run_ids: Collection[str]) -> dict[str, CallState]:
        """Reclaim the calls of dead runs: PENDING, or FAILED after MAX_ATTEMPTS."""
        names = [run_application_name(run_id) for run_id in run_ids]
        self._database.rows("calls/terminate_connections", {"names": names})
        failure = {"error_class": PoisonCall.__name__, "message": POISON_CALL}
        parameters = {"run_ids": list(run_ids), "max_attempts": MAX_ATTEMPTS} | failure
        rows = self._database.rows("calls/reclaim", parameters)
        return {row["call_id"]: CallState(row["state"]) for row in rows}

    def completed_stages(self, run_ids: Collection[str]) -> list[tuple[str, str, Stage]]:
        """Return (run id, call id, stage) of what these runs stored of completed calls."""
        rows = self._database.rows("calls/completed_stages", {"run_ids": list(run_ids)})
        return [(row["run_id"], row["call_id"], Stage(row["stage"])) for row in rows]

    def _write(self, name: str, claim: Row) -> Row:
        """Run a write that checks the claim. Raises ClaimLost when it changed nothing."""
        rows = self._database.rows(name, claim)
        if not rows:
            raise _claim_lost(claim["call_id"])
        return rows[0]


@dataclass(frozen=True, slots=True)
class ContentOwner:
    """The call that had some content first."""

    call_id: str
    is_erased: bool

    def policy(self, of_source: DuplicatePolicy) -> DuplicatePolicy:
        """Return the policy for duplicates; erased content is never processed again."""
        return DuplicatePolicy.LINK if self.is_erased else of_source


def own_content(connection: Connection[DictRow], call_id: str, sha256: str) -> ContentOwner:
    """Record the content hash of a call, and return the call that had this content first."""
    content = {"call_id": call_id, "sha256": sha256}
    connection.execute(query("calls/lock_content"), content)
    owner = connection.execute(query("calls/own_content"), content).fetchone()
    assert owner  # the statement inserts a row or updates one
    return ContentOwner(**owner)


def jittered(wait_s: float) -> float:
    """Return the wait, randomly up to JITTER shorter or longer."""
    return wait_s * random.uniform(1 - JITTER, 1 + JITTER)


def _fail(connection: Connection[DictRow], failure: Row, may_promote: bool) -> datetime | None:
    """Fail under the content lock, so that a concurrent duplicate sees the failure."""
    call_id = failure["call_id"]
    connection.execute(query("calls/lock_content"), {"call_id": call_id, "sha256": None})
    failed = connection.execute(query("calls/fail"), failure).fetchone()
    if failed is None:
        raise _claim_lost(call_id)
    if failed["next_attempt_at"] is None and may_promote:
        connection.execute(query("calls/promote_duplicate"), {"call_id": call_id})
    return failed["next_attempt_at"]


def _claim_lost(call_id: str) -> ClaimLost:
    return ClaimLost(f"Call {call_id} is claimed by another run now.")


def _outage_wait_s(error: CallpipelineError) -> float | None:
    """Return the wait for a service; without jitter if its outage is shared between runs.

    The calls of a shared outage are released one by one, by a probe.
    """
    if not isinstance(error, ServiceUnavailable):
        return None
    return error.retry_after_s if error.service else jittered(error.retry_after_s)


def _call(row: Row) -> Call:
    recording = Recording(
        row["bucket"], row["key"], row["etag"], row["size_bytes"], row["last_modified"]
    )
    stages_done = frozenset(Stage(stage) for stage in row["stages_done"])
    duplicates = DuplicatePolicy(row["duplicates"])
    agent_channel, sha256 = row["agent_channel"], row["sha256"]
    return Call(row["call_id"], recording, agent_channel, stages_done, duplicates, sha256)


@contextmanager
def heartbeat(claims: Claims, run_id: str, *, every_s: float = HEARTBEAT_S) -> Iterator[None]:
    """Send heartbeats of a run from a thread with a dedicated connection.

    So a busy event loop does not stop them, nor do writes that wait for a slow object store and
    occupy all connections of the pool.
    """
    ended = threading.Event()

    def send() -> None:
        with claims.dedicated_connection(timeout_s=every_s) as dedicated:
            while not ended.wait(every_s):
                try:
                    dedicated.beat(run_id)
                except Exception as error:
                    # The next beat may succeed, and the run notices a lost claim when it writes.
                    # If the thread ended here, a live run would be considered dead.
                    kind = type(error).__name__
                    log.warning("run %s could not send a heartbeat: %s", run_id, kind)

    thread = threading.Thread(target=send, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
