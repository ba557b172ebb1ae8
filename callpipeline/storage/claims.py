"""A run's hold on calls: taken at once, checked by every write, lost when the run is gone."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.call import Call, CallState, DuplicatePolicy, Recording, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DownloadFailed,
    DuplicateRecording,
    EngineAway,
    MissingObject,
    PoisonCall,
    SameRecording,
    TransientError,
    UnexpectedError,
)
from callpipeline.storage.contents import Owner, own_content
from callpipeline.storage.database import Database, Row, name_of_run, storable
from callpipeline.storage.sql import query
from callpipeline.storage.tries import (
    FRUITLESS_WAITS,
    GIVEN_UP,
    MAX_ATTEMPTS,
    MAX_GIVEN_BACK,
    OUTAGE_PATIENCE_S,
    POISON,
    RETRY_WAITS_S,
    jittered,
)


@dataclass(frozen=True, slots=True)
class ClaimingRun:
    """A run that holds calls; `silent_s` is how long ago it gave a sign of life."""

    run_id: str
    silent_s: float


class Claims:
    """Compare-and-set writes of table `calls`, on behalf of runs."""

    def __init__(
        self,
        database: Database,
        *,
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
        outage_patience_s: float = OUTAGE_PATIENCE_S,
        tells_completed: bool = False,
    ) -> None:
        self._database = database
        self._retry_waits_s = retry_waits_s
        self._outage_patience_s = outage_patience_s
        self._tells_completed = tells_completed

    def claim(
        self,
        call_ids: Collection[str],
        run_id: str,
        *,
        anew: Collection[Stage] = (),
        only_waiting: bool = False,
        needed: Collection[Stage] = (),
    ) -> list[Call]:
        """Take calls for a run; those that another run holds, or that are erased, stay out.

        Stages that are stored count as done, save those that are to be made `anew`. With
        `only_waiting`, calls that have ended meanwhile stay out too. So do those that lack a
        stage that is `needed`: the run could only fail them, for what they still wait for.
        """
        wanted = {
            "call_ids": list(call_ids),
            "run_id": run_id,
            "anew": [str(stage) for stage in anew],
            "only_waiting": only_waiting,
            "needed": [str(stage) for stage in needed],
        }
        rows = self._database.rows("calls/claim", wanted)
        return sorted((_call(row) for row in rows), key=lambda call: call.call_id)

    def begin(self, call_id: str, run_id: str) -> None:
        """Count an attempt at the call. Raises ClaimLost when another run holds it."""
        self._held("calls/begin", {"call_id": call_id, "run_id": run_id})

    def own_content(self, call: Call, run_id: str, sha256: str) -> None:
        """Note of which bytes the call is made.

        Where an earlier call is made of them, the policy of the call's source decides: raises
        SameRecording when the call has ended as a duplicate, DuplicateRecording when it is to
        fail; what is stored of the call is forgotten then. Bytes that were erased always end so,
        as a duplicate. Raises ClaimLost when another run holds it.
        """
        owner = self._database.patiently(lambda c: self._compare(c, call, run_id, sha256))
        first, policy = owner.call_id, owner.policy(call.duplicates)
        if first == call.call_id or policy is DuplicatePolicy.PROCESS:
            return
        if policy is DuplicatePolicy.REFUSE:
            raise DuplicateRecording(
                f"The recording is the same, byte for byte, as that of call {first}, and its "
                "source refuses duplicates."
            )
        raise SameRecording(first)

    @staticmethod
    def _compare(connection: Connection[DictRow], call: Call, run_id: str, sha256: str) -> Owner:
        """Whose the bytes are; linked in the same transaction, that call cannot fail meanwhile."""
        claim = {"call_id": call.call_id, "run_id": run_id}
        if connection.execute(query("calls/hold_claim"), claim).fetchone() is None:
            raise _lost(call.call_id)
        owner = own_content(connection, call.call_id, sha256)
        policy = owner.policy(call.duplicates)
        if owner.call_id != call.call_id and policy is not DuplicatePolicy.PROCESS:
            connection.execute(query("calls/forget_results"), claim)
            if policy is DuplicatePolicy.LINK:
                connection.execute(query("calls/link"), claim | {"first": owner.call_id})
        return owner

    def complete(self, call_id: str, run_id: str) -> CallState:
        """Give the call back after its last stage; COMPLETED when every stage is stored."""
        claim = {"call_id": call_id, "run_id": run_id, "stage_count": len(Stage)}
        claim |= {"tell": self._tells_completed}
        return CallState(self._held("calls/complete", claim)["state"])

    def fail(
        self, call_id: str, run_id: str, stage: str, error: CallpipelineError
    ) -> datetime | None:
        """End the call with a reason, or let it wait for another try; returns for when.

        Where a service is away (EngineAway) the call waits for it and loses no try. Where it ends
        for what another copy of its bytes may not share, a duplicate of it waits to be tried
        instead. Raises ClaimLost when another run holds it.
        """
        least_s = (error.retry_after_s or 0.0) if isinstance(error, DownloadFailed) else 0.0
        failure = {
            "call_id": call_id,
            "run_id": run_id,
            "stage": stage,
            "error_class": type(error).__name__,
            "message": storable(str(error)),
            "transient": isinstance(error, TransientError),
            "waits_s": [max(jittered(wait_s), least_s) for wait_s in self._retry_waits_s],
            "away_s": _away_s(error),
            "away_from": error.service if isinstance(error, EngineAway) else None,
            "patience_s": self._outage_patience_s,
        }
        may_pass_on = isinstance(error, TransientError | MissingObject)
        return self._database.patiently(lambda c: _fail(c, failure, may_pass_on))

    def give_back(self, run_id: str) -> int:
        """Let go of the calls that a run still holds as it ends; returns how many.

        Those of which MAX_GIVEN_BACK runs in a row let go end FAILED.
        """
        given_up = {"error_class": UnexpectedError.__name__, "message": GIVEN_UP}
        held = {"run_id": run_id, "most": MAX_GIVEN_BACK, **FRUITLESS_WAITS, **given_up}

        def end(connection: Connection[DictRow]) -> int:
            given = connection.execute(query("calls/give_back"), held).rowcount
            connection.execute(query("calls/end_run"), {"run_id": run_id})
            return given

        return self._database.patiently(end)

    def alive(self, run_id: str) -> bool:
        """Give a sign of life; False when the run was taken for dead and its calls are gone."""
        return bool(self._database.rows("calls/alive", {"run_id": run_id}))

    @contextmanager
    def apart(self, *, patience_s: float) -> Iterator["Claims"]:
        """The same on a connection of its own: the others may be busy with slow writes."""
        with self._database.apart(patience_s=patience_s) as database:
            yield Claims(
                database,
                retry_waits_s=self._retry_waits_s,
                outage_patience_s=self._outage_patience_s,
                tells_completed=self._tells_completed,
            )

    def claiming_runs(self) -> list[ClaimingRun]:
        """The runs that hold calls."""
        return [ClaimingRun(**row) for row in self._database.rows("calls/claiming_runs")]

    def release(self, run_ids: Collection[str]) -> dict[str, CallState]:
        """Take back the calls of runs that are gone: PENDING, or FAILED after MAX_ATTEMPTS."""
        names = [name_of_run(run_id) for run_id in run_ids]
        self._database.rows("calls/cut_off", {"names": names})
        poison = {"error_class": PoisonCall.__name__, "message": POISON}
        lost = {"run_ids": list(run_ids), "max_attempts": MAX_ATTEMPTS} | poison
        rows = self._database.rows("calls/release", lost)
        return {row["call_id"]: CallState(row["state"]) for row in rows}

    def stored_by(self, run_ids: Collection[str]) -> list[tuple[str, str, Stage]]:
        """What runs stored of calls that are complete: run, call and stage."""
        rows = self._database.rows("calls/completed_stages", {"run_ids": list(run_ids)})
        return [(row["run_id"], row["call_id"], Stage(row["stage"])) for row in rows]

    def _held(self, name: str, claim: Row) -> Row:
        """What a write under the claim returns. Raises ClaimLost when it changed nothing."""
        rows = self._database.rows(name, claim)
        if not rows:
            raise _lost(claim["call_id"])
        return rows[0]


def _fail(connection: Connection[DictRow], failure: Row, may_pass_on: bool) -> datetime | None:
    """Under the lock on its bytes: a call that is to be linked to this one sees that it failed."""
    call_id = failure["call_id"]
    content = {"call_id": call_id, "sha256": None}
    connection.execute(query("calls/lock_content"), content)
    failed = connection.execute(query("calls/fail"), failure).fetchone()
    if failed is None:
        raise _lost(call_id)
    if failed["not_before"] is None and may_pass_on:
        connection.execute(query("calls/try_duplicate"), {"call_id": call_id})
    return failed["not_before"]


def _lost(call_id: str) -> ClaimLost:
    return ClaimLost(f"Call {call_id} belongs to another run now.")


def _away_s(error: CallpipelineError) -> float | None:
    """The wait for a service. Where all runs know of it they come one by one, so to the second."""
    if not isinstance(error, EngineAway):
        return None
    return error.again_s if error.service else jittered(error.again_s)


def _call(row: Row) -> Call:
    recording = Recording(
        row["bucket"], row["key"], row["etag"], row["size_bytes"], row["last_modified"]
    )
    stages_done = frozenset(Stage(stage) for stage in row["stages_done"])
    duplicates = DuplicatePolicy(row["duplicates"])
    agent_channel, sha256 = row["agent_channel"], row["sha256"]
    return Call(row["call_id"], recording, agent_channel, stages_done, duplicates, sha256)
