"""Queue of pending calls, the batches of runs, and the outages for which calls wait."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from callpipeline.domain.calls.call import Lane
from callpipeline.domain.egress import Outage
from callpipeline.storage.calls.claims import IDLE_RUN_WAITS, MAX_ATTEMPTS, OUTAGE_PATIENCE_S
from callpipeline.storage.postgres.database import Database

PROBE_TIMEOUT_S = 60.0
"""Time after which a run that should probe a service, and has not, is replaced by another one."""

CHANNEL = "callpipeline_waiting"
"""Postgres notifies this channel when a call waits: a trigger of table `calls`."""
LISTEN_S, RECONNECT_S = 5.0, 5.0

CLOCK_JUMP_S = 60.0
"""Smaller corrections of the clock make nothing wait for long."""

EXPIRY_S = 900.0
"""An outage that no call waits for is hidden this long after its probe was due."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pending calls that were assigned to one run, `age_s` seconds ago."""

    batch_id: str
    call_ids: tuple[str, ...]
    lane: Lane = Lane.LIVE
    priority: int = 0
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LaneBacklog:
    """The pending calls of a lane; `delayed` of them are not due yet.

    `oldest_s` is how long the oldest due call has waited, None without one. `idle_runs` is the
    highest number of consecutive runs that ended before a call did, through no fault of the call.
    """

    lane: Lane
    calls: int
    delayed: int
    idle_runs: int
    oldest_s: float | None


class CallQueue:
    """The pending calls of table `calls`."""

    def __init__(self, database: Database, *, outage_patience_s: float = OUTAGE_PATIENCE_S) -> None:
        self._database = database
        self._outage_patience_s = outage_patience_s

    def assign_batch(self, batch_id: str, limit: int, *, lane: Lane = Lane.LIVE) -> Batch | None:
        """Assign up to `limit` due calls of a lane to a batch; return None if there are none.

        A call that may have killed its last runs gets a batch of its own. Of the calls that wait
        for an unavailable service, one is included as a probe when the service is due for one.
        """
        parameters = {
            "batch_id": batch_id,
            "limit": limit,
            "lane": lane,
            "suspect_attempts": MAX_ATTEMPTS - 1,
            "probe_timeout_s": PROBE_TIMEOUT_S,
            "patience_s": self._outage_patience_s,
        }
        rows = self._database.rows("calls/assign_batch", parameters)
        call_ids = tuple(sorted(row["call_id"] for row in rows))
        priority = max((row["priority"] for row in rows), default=0)
        return Batch(batch_id, call_ids, lane, priority) if call_ids else None

    def open_batches(self) -> list[Batch]:
        """Return batches with calls that their run has not begun."""
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

    def cancel_batches(self, batch_ids: Collection[str]) -> int:
        """Return the pending calls of these batches to the queue; return how many."""
        parameters = {"batch_ids": list(batch_ids), **IDLE_RUN_WAITS}
        return len(self._database.rows("calls/cancel_batches", parameters))

    def settle_clock(self) -> float:
        """Set back what is due in the future as much as the clock was; return by how many seconds.

        Call it often: what was stored since the last call may be due too early.
        """
        rows = self._database.rows("clock/settle", {"least_s": CLOCK_JUMP_S})
        return rows[0]["back_s"] if rows else 0.0

    def backlog(self) -> list[LaneBacklog]:
        """Return the backlog of each lane with pending calls."""
        rows = self._database.rows("calls/count_pending")
        return [LaneBacklog(lane=Lane(row.pop("lane")), **row) for row in rows]


@dataclass(frozen=True, slots=True)
class OutageStatus:
    """An outage for display, with the number of calls that wait for the service."""

    service: str
    reason: str
    since: datetime
    retry_at: datetime
    calls: int


class Outages:
    """Table `outages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[OutageStatus]:
        rows = self._database.rows("calls/list_outages", {"expiry_s": EXPIRY_S})
        return [OutageStatus(**row) for row in rows]

    def find(self, service: str) -> Outage | None:
        """Return the outage of a service, None if it is available."""
        rows = self._database.rows("calls/find_outage", {"service": service})
        return Outage(**rows[0]) if rows else None

    def begin(self, service: str, reason: str, attempts: int, retry_after_s: float) -> None:
        """Record that a service is unavailable, or still unavailable."""
        outage = {"service": service, "reason": reason, "attempts": attempts}
        self._database.rows("calls/begin_outage", outage | {"retry_after_s": retry_after_s})

    def acquire_probe(self, service: str, retry_after_s: float) -> bool:
        """Acquire the probe of a service if it is due; it is due again in `retry_after_s`."""
        probe = {"service": service, "retry_after_s": retry_after_s}
        return bool(self._database.rows("calls/acquire_probe", probe))

    def end(self, service: str) -> None:
        """End an outage: the calls that wait for the service are due now."""
        self._database.rows("calls/end_outage", {"service": service})


def listen_for_waiting_calls(
    url: str, on_waiting: Callable[[], object], stop: threading.Event
) -> None:
    """Call `on_waiting` whenever calls wait in the ledger, until `stop` is set.

    A lost connection is opened again; what was missed meanwhile is reported as one notification.
    """
    while not stop.is_set():
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                on_waiting()
                while not stop.is_set():
                    if list(connection.notifies(timeout=LISTEN_S, stop_after=1)):
                        on_waiting()
        except psycopg.Error:
            stop.wait(RECONNECT_S)
