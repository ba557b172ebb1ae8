"""The outbox: what people are to be told, put into messages, and each try to deliver these.

Events of calls are written by the statements that make them true (`calls/complete`, and a trigger
for whatever lets a call end FAILED). Times are given by who asks, so that trials can let hours
pass; which message tells which event is decided by one process at a time.
"""

import uuid
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

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
from callpipeline.storage.messages import Content, Lease, Outcome, content_of
from callpipeline.storage.sql import query

LEASE_S = 120.0
"""Longer than any try to deliver takes: after that another process may try."""
AT_ONCE = 20_000
"""Events that are put into messages at one look."""
GATHERING = (
    "forget_channels",
    "adopt",
    "withdraw",
    "gather",
    "recover",
    "give_up_channels",
    "close",
)
MOST_EVENTS = 1000
"""Of one message; it says how many there are in all."""


class Outbox:
    """Tables `outbox`, `incidents`, `notifications` and `deliveries`."""

    lease_s = LEASE_S

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, occurrence: Occurrence, at: datetime | None = None) -> str | None:
        """Enter an event; returns its id, None where its subject was told already."""
        event_id = str(uuid.uuid4())
        added = self._database.patiently(lambda c: _add(c, event_id, occurrence, at))
        # Without a subject nothing else is in its way than itself, before a cut connection.
        return event_id if added or occurrence.subject is None else None

    def report(self, occurrence: Occurrence, at: datetime | None = None) -> bool:
        """Something is wrong: an event, unless it was told and is not over. Whether it is new."""

        def enter(connection: Connection[DictRow]) -> bool:
            group = {"group_key": occurrence.group_key, "kind": occurrence.kind}
            connection.execute(query("outbox/lock_group"), group)
            if connection.execute(query("outbox/is_told"), group).fetchone():
                return False
            return _add(connection, event_id, occurrence, at)

        event_id = str(uuid.uuid4())
        return self._database.patiently(enter)

    def keep_quiet(self, call_ids: Collection[str]) -> None:
        """Tell nobody of calls that were made for show."""
        self._database.rows("outbox/keep_quiet", {"call_ids": list(call_ids)})

    def open_groups(self, kind: EventKind) -> set[str]:
        """What was reported of a kind, and is not over."""
        rows = self._database.rows("outbox/open_groups", {"kind": kind})
        return {row["group_key"] for row in rows}

    def clear(self, group_keys: Collection[str], now: datetime) -> None:
        """What was reported is well again."""
        if group_keys:
            over = {"group_keys": sorted(group_keys), "now": now}
            self._database.rows("outbox/clear", over)

    def gather(
        self, policy: Policy, now: datetime, working: Collection[NotificationChannel]
    ) -> None:
        """Put what waits into messages, as many as are due by the policy.

        Messages to a channel that is not `working` are given up at once: a person can send them.
        """
        routing, held_until = policy.routing, policy.held_until(now)
        wanted = {
            "now": now,
            "window_s": policy.window_s,
            "limit": AT_ONCE,
            "configured": sorted(routing.configured),
            "working": sorted(working),
            "rules": Jsonb({kind: routing.channels(kind) for kind in EventKind}),
            "least_rank": (Severity.CRITICAL if held_until else Severity.INFO).rank,
            "not_before": held_until or now,
        }

        def put(connection: Connection[DictRow]) -> None:
            connection.execute(query("outbox/lock_gathering"))
            for step in GATHERING:
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
        return content_of(about, events)

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
                "asked_until": outcome.asked_until,
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
    connection: Connection[DictRow], event_id: str, occurrence: Occurrence, at: datetime | None
) -> bool:
    """Whether it is new."""
    entry = asdict(occurrence) | {"event_id": event_id, "at": at}
    entry["metadata"] = Jsonb(storable_json(occurrence.metadata))
    texts = {name: storable(text) for name, text in entry.items() if isinstance(text, str)}
    channels = occurrence.channels
    entry |= texts | {"channels": None if channels is None else list(channels)}
    return connection.execute(query("outbox/add"), entry).fetchone() is not None
