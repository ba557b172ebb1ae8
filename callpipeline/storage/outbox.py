"""The outbox: what people are to be told, put into messages, and each try to deliver these.

Events of calls are written by the statements that make them true (`calls/complete`, and a trigger
for whatever lets a call end FAILED). Times are given by who asks, so that trials can let hours
pass; which message tells which event is decided by one process at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.notification import (
    EventKind,
    NotificationChannel,
    Occurrence,
    Policy,
    Severity,
)
from callpipeline.storage.database import Database, Row, storable, storable_json
from callpipeline.storage.sql import query

LEASE_S = 120.0
"""Longer than any try to deliver takes: after that another process may try."""
AT_ONCE = 20_000
"""Events that are put into messages at one look."""
MOST_EVENTS = 1000
"""Of one message; it says how many there are in all."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A message that this process delivers; `tries` counts from when it was last asked for."""

    notification_id: str
    attempts: int
    tries: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event as a message tells it; `key` is that of the call's recording."""

    event_id: str
    severity: Severity
    title: str
    message: str
    call_id: str | None
    key: str | None
    run_id: str | None
    stage: str | None
    error_class: str | None
    error_message: str | None
    metadata: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. `events` are the first MOST_EVENTS of `count`, the last at `last_at`.

    `first_receipt` and `first_id` are those of the first message of its incident to its channel;
    None for that one itself. `passed_at` is when the incident was seen to be over.
    """

    notification_id: str
    channel: NotificationChannel
    part: str
    created_at: datetime
    incident_id: int
    kind: EventKind
    stage: str | None
    recovers: bool
    opened_at: datetime
    events: tuple[Told, ...]
    count: int
    last_at: datetime
    severity: Severity
    events_in_all: int
    calls_still_failed: int
    passed_at: datetime | None
    first_receipt: str | None
    first_id: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: an answer, and when it is tried again; None is never."""

    lease: Lease
    at: datetime
    took_s: float
    accepted: bool
    code: str
    answer: str
    again_at: datetime | None = None
    receipt: str | None = None


class Outbox:
    """Tables `outbox`, `incidents`, `notifications` and `deliveries`."""

    lease_s = LEASE_S

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, occurrence: Occurrence, at: datetime | None = None) -> str | None:
        """Enter an event; returns its id, None where its subject was told already."""
        return self._database.patiently(lambda c: _add(c, occurrence, at))

    def report(self, occurrence: Occurrence, at: datetime | None = None) -> bool:
        """Something is wrong: an event, unless it was told and is not over. Whether it is new."""

        def enter(connection: Connection[DictRow]) -> bool:
            group = {"group_key": occurrence.group_key}
            connection.execute(query("outbox/lock_group"), group)
            if connection.execute(query("outbox/is_told"), group).fetchone():
                return False
            return _add(connection, occurrence, at) is not None

        return self._database.patiently(enter)

    def open_groups(self, kind: EventKind) -> set[str]:
        """What was reported of a kind, and is not over."""
        rows = self._database.rows("outbox/open_groups", {"kind": kind})
        return {row["group_key"] for row in rows}

    def clear(self, group_keys: Collection[str], now: datetime) -> None:
        """What was reported is well again."""
        if group_keys:
            over = {"group_keys": sorted(group_keys), "now": now}
            self._database.rows("outbox/clear", over)

    def gather(self, policy: Policy, now: datetime) -> None:
        """Put what waits into messages, as many as are due by the policy."""
        routing, held_until = policy.routing, policy.held_until(now)
        wanted = {
            "now": now,
            "window_s": policy.window_s,
            "limit": AT_ONCE,
            "configured": sorted(routing.configured),
            "rules": Jsonb({kind: routing.channels(kind) for kind in EventKind}),
            "least_rank": (Severity.CRITICAL if held_until else Severity.INFO).rank,
            "not_before": held_until or now,
        }

        def put(connection: Connection[DictRow]) -> None:
            connection.execute(query("outbox/lock_gathering"))
            for step in ("adopt", "gather", "recover", "close"):
                connection.execute(query(f"outbox/{step}"), wanted)

        self._database.patiently(put)

    def lease(self, channel: NotificationChannel, now: datetime) -> Lease | None:
        """The next message to a channel that is due, for this process to deliver."""
        wanted = {"channel": channel, "now": now, "lease_s": self.lease_s}
        rows = self._database.rows("outbox/lease", wanted)
        return Lease(**rows[0]) if rows else None

    def content(self, notification_id: str) -> Content:
        """What a message says."""
        named = {"notification_id": notification_id, "limit": MOST_EVENTS}
        [about] = self._database.rows("outbox/content", named)
        events = self._database.rows("outbox/events", named)
        return _content(about, events)

    def record(self, outcome: Outcome) -> None:
        """Note what came of a try."""
        state = "DELIVERED" if outcome.accepted else "PENDING" if outcome.again_at else "GAVE_UP"
        self._database.rows(
            "outbox/record",
            {
                "notification_id": outcome.lease.notification_id,
                "attempt": outcome.lease.attempts,
                "now": outcome.at,
                "not_before": outcome.again_at,
                "state": state,
                **{n: getattr(outcome, n) for n in ("took_s", "accepted", "code", "receipt")},
                "answer": storable(outcome.answer),
            },
        )

    def hurry(self, channel: NotificationChannel, now: datetime) -> None:
        """The channel works: what waits for its next try is due now."""
        self._database.rows("outbox/hurry", {"channel": channel, "now": now})

    def turn_off(
        self, channel: NotificationChannel, address: str, answer: str, now: datetime
    ) -> None:
        """The receiver at an address (a hash of it) wants nothing any more."""
        gone = {"channel": channel, "address": address, "answer": storable(answer), "now": now}
        self._database.rows("outbox/turn_off", gone)

    def turn_on(self, channel: NotificationChannel) -> bool:
        """Send to a receiver again that wanted nothing; whether it was off."""
        return bool(self._database.rows("outbox/turn_on", {"channel": channel}))

    def off(self) -> dict[NotificationChannel, Row]:
        """The receivers that want nothing: `address`, `since` and `answer`."""
        rows = self._database.rows("outbox/off")
        return {NotificationChannel(row["channel"]): row for row in rows}


def _add(
    connection: Connection[DictRow], occurrence: Occurrence, at: datetime | None
) -> str | None:
    entry = asdict(occurrence) | {"metadata": Jsonb(storable_json(occurrence.metadata)), "at": at}
    texts = {name: storable(text) for name, text in entry.items() if isinstance(text, str)}
    channels = occurrence.channels
    entry |= texts | {"channels": None if channels is None else list(channels)}
    row = connection.execute(query("outbox/add"), entry).fetchone()
    return row["event_id"] if row else None


def _content(about: Row, events: Sequence[Row]) -> Content:
    own = ("notification_id", "part", "created_at")
    of_incident = ("incident_id", "stage", "recovers", "opened_at")
    kept = (*own, *of_incident, "events_in_all", "calls_still_failed", "first_receipt", "first_id")
    last = events[0] if events else {"events": 0, "last_at": about["last_event_at"], "rank": 1}
    return Content(
        **{name: about[name] for name in kept},
        channel=NotificationChannel(about["channel"]),
        kind=EventKind(about["kind"]),
        events=tuple(map(_told, events)),
        count=last["events"],
        last_at=last["last_at"],
        severity=list(Severity)[last["rank"] - 1],
        passed_at=about["cleared_at"],
    )


def _told(row: Row) -> Told:
    own: Row = {name: row[name] for name in Told.__dataclass_fields__}
    own["severity"] = Severity(row["severity"])
    return Told(**own)
