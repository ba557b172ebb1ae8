"""The outbox: events, the notifications created from them, and their deliveries."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.filters import MomentId
from callpipeline.domain.notifications import (
    AlertKind,
    AlertRule,
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Severity,
)
from callpipeline.errors import AlertRuleOutdated, UnknownNotification
from callpipeline.storage.ports.notifications import (
    DeliveryLease,
    DeliveryOutcome,
    NotificationContent,
    OutboxEvent,
)
from callpipeline.storage.postgres.database import Database, Row, sanitize_json, sanitize_text
from callpipeline.storage.postgres.sql import query

LEASE_S = 120.0
"""Longer than any delivery takes; then another process may deliver the notification."""
BATCH_SIZE = 20_000
"""Events that are processed at once."""
STEPS = (
    "drop_unconfigured",
    "assign_incidents",
    "withdraw_recoveries",
    "create_messages",
    "close_recovered",
    "give_up_unconfigured",
    "close_quiet",
)
MAX_EVENTS = 1000
"""Most events of one notification; it states their total number."""


class Outbox:
    """Events and notifications: tables `outbox`, `incidents`, `notifications` and `deliveries`."""

    lease_s = LEASE_S

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, occurrence: NotificationEvent, at: datetime | None = None) -> str | None:
        """Add an event and return its id, or None if its subject is already recorded."""
        event_id = str(uuid.uuid4())
        added = self._database.with_retry(lambda c: add_event(c, event_id, occurrence, at))
        # Without a subject the only conflict is its own row, from before the connection was cut.
        return event_id if added or occurrence.subject is None else None

    def report(self, occurrence: NotificationEvent, at: datetime | None = None) -> bool:
        """Add an event unless its group is open; return whether it was added."""

        def enter(connection: Connection[DictRow]) -> bool:
            group = {"group_key": occurrence.group_key, "kind": occurrence.kind}
            connection.execute(query("notifications/lock_group"), group)
            if connection.execute(query("notifications/is_reported"), group).fetchone():
                return False
            return add_event(connection, event_id, occurrence, at)

        event_id = str(uuid.uuid4())
        return self._database.with_retry(enter)

    def suppress(self, call_ids: Collection[str]) -> None:
        """Send no notifications about these calls, which were created for demonstration."""
        self._database.rows("notifications/suppress", {"call_ids": list(call_ids)})

    def open_groups(self, kind: EventKind) -> set[str]:
        """Return the groups of a kind that were reported and are not over."""
        rows = self._database.rows("notifications/open_groups", {"kind": kind})
        return {row["group_key"] for row in rows}

    def clear(self, group_keys: Collection[str], now: datetime) -> None:
        """Record that the conditions of these groups are over."""
        if group_keys:
            over = {"group_keys": sorted(group_keys), "now": now}
            self._database.rows("notifications/clear", over)

    def create_notifications(
        self, policy: NotificationPolicy, now: datetime, working: Collection[NotificationChannel]
    ) -> None:
        """Create the notifications that are due according to the policy.

        Those to channels that are not `working` are given up; they can be resent manually. Events
        of kinds, and channels, that only a newer version knows are left to it.
        """
        routing, held_until = policy.routing, policy.quiet_until(now)
        parameters = {
            "now": now,
            "window_s": policy.window_s,
            "limit": BATCH_SIZE,
            "configured": sorted(routing.configured),
            "working": sorted(working),
            "known_channels": list(NotificationChannel),
            "rules": Jsonb({kind: routing.channels(kind) for kind in EventKind}),
            "least_rank": (Severity.CRITICAL if held_until else Severity.INFO).rank,
            "next_attempt_at": held_until or now,
        }

        def create(connection: Connection[DictRow]) -> None:
            connection.execute(query("notifications/lock_gathering"))
            for step in STEPS:
                connection.execute(query(f"notifications/{step}"), parameters)

        self._database.with_retry(create)

    def lease(self, channel: NotificationChannel, now: datetime) -> DeliveryLease | None:
        """Lease the next due notification to a channel, for this process to deliver."""
        parameters = {"channel": channel, "now": now, "lease_s": self.lease_s}
        rows = self._database.rows("notifications/lease", parameters | {"kinds": list(EventKind)})
        return DeliveryLease(**rows[0]) if rows else None

    def content(self, notification_id: str) -> NotificationContent:
        """Return the content of a notification."""
        named = {"notification_id": notification_id, "limit": MAX_EVENTS}
        [about] = self._database.rows("notifications/content", named)
        events = self._database.rows("notifications/events", named)
        return content_of(about, events)

    def record(self, outcome: DeliveryOutcome) -> None:
        """Record the outcome of an attempt."""
        state = "DELIVERED" if outcome.accepted else "PENDING" if outcome.retry_at else "GAVE_UP"
        self._database.rows(
            "notifications/record_attempt",
            {
                "notification_id": outcome.lease.notification_id,
                "attempt": outcome.lease.attempts,
                "now": outcome.at,
                "next_attempt_at": outcome.retry_at,
                "asked_until": outcome.asked_until,
                "state": state,
                **{n: getattr(outcome, n) for n in ("took_s", "accepted", "code", "receipt")},
                "answer": sanitize_text(outcome.answer),
            },
        )

    def retry_now(self, channel: NotificationChannel, now: datetime) -> None:
        """Retry delayed notifications now, because the channel works again."""
        self._database.rows("notifications/retry_now", {"channel": channel, "now": now})

    def unsubscribe(
        self, channel: NotificationChannel, address: str, answer: str, now: datetime
    ) -> None:
        """Record that a receiver unsubscribed; `address` is a hash."""
        gone = {"channel": channel, "address": address, "answer": sanitize_text(answer), "now": now}
        self._database.rows("notifications/unsubscribe", gone)

    def resubscribe(self, channel: NotificationChannel) -> bool:
        """Send to a receiver again; return whether it had unsubscribed."""
        return bool(self._database.rows("notifications/resubscribe", {"channel": channel}))

    def quotes(self, moments: Sequence[MomentId], limit: int) -> list[str]:
        """Return the words of mentions that still count, unless they were deleted."""
        wanted: Row = {
            "calls": [each.call_id for each in moments],
            "mentions": [each.mention_id for each in moments],
            "limit": limit,
        }
        return [row["quote"] for row in self._database.rows("notifications/quotes", wanted)]

    def unsubscribed(self) -> dict[NotificationChannel, Row]:
        """Return the unsubscribed receivers: `address`, `since` and `answer`."""
        rows = self._database.rows("notifications/list_unsubscribed")
        return {row["channel"]: row for row in _of_known_channels(rows)}


def add_event(
    connection: Connection[DictRow],
    event_id: str,
    occurrence: NotificationEvent,
    at: datetime | None,
) -> bool:
    """Add an event in the transaction; return whether it was added."""
    entry = asdict(occurrence) | {"event_id": event_id, "at": at}
    entry["metadata"] = Jsonb(sanitize_json(occurrence.metadata))
    texts = {name: sanitize_text(text) for name, text in entry.items() if isinstance(text, str)}
    channels = occurrence.channels
    entry |= texts | {"channels": None if channels is None else list(channels)}
    return connection.execute(query("notifications/insert"), entry).fetchone() is not None


class AlertRules:
    """Rules of alerts on what is said in calls: tables `alert_rules` and `reported_alerts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Sequence[AlertRule]:
        """Return the rules that this version knows, oldest first."""
        rows = self._database.rows("notifications/alert_rules", {"kinds": list(AlertKind)})
        return [_alert_rule(row) for row in rows]

    def due(self, now: datetime, every_s: float) -> Sequence[AlertRule]:
        """Take the rules to check now: each once in `every_s` seconds, by one process."""
        due: Row = {"now": now, "every_s": every_s, "kinds": list(AlertKind)}
        rows = self._database.rows("notifications/alert_rules_due", due)
        return [_alert_rule(row) for row in rows]

    def report(self, rule: AlertRule, found: NotificationEvent, now: datetime) -> bool:
        """Add what a rule found to the outbox; return whether it was added.

        A subject is reported once, or again when the days are over after which the rule repeats.
        That is remembered for as long as the rule exists: events are deleted after a while.
        """
        event_id = str(uuid.uuid4())
        reported = {"rule_id": rule.rule_id, "subject": sanitize_text(found.subject or "")}
        reported |= {"now": now, "repeats_after_days": rule.repeats_after_days}

        def enter(connection: Connection[DictRow]) -> bool:
            due = connection.execute(query("notifications/report_alert"), reported).fetchone()
            return bool(due) and add_event(connection, event_id, replace(found, subject=None), now)

        return self._database.with_retry(enter)

    def save(self, rule: AlertRule, seen_at: datetime | None = None) -> None:
        """Store a rule; one with an id is changed. Raises AlertRuleOutdated.

        `seen_at` is when the rule was made that the person saw.
        """
        names = ("rule_id", "kind", "threshold", "days", "min_calls", "has_quotes", "is_enabled")
        row: Row = {name: getattr(rule, name) for name in names}
        row |= {"channels": list(rule.channels), "seen_at": seen_at}
        row |= {"competitor": rule.competitor and sanitize_text(rule.competitor)}
        row |= {"made_by": rule.made_by and sanitize_text(rule.made_by)}
        what = "insert_alert_rule" if rule.rule_id is None else "update_alert_rule"
        if not self._database.rows(f"notifications/{what}", row):
            raise AlertRuleOutdated("Someone else changed or deleted this rule meanwhile.")

    def delete(self, rule_id: int) -> bool:
        """Delete a rule; return whether it existed."""
        return bool(self._database.rows("notifications/delete_alert_rule", {"rule_id": rule_id}))


def _alert_rule(row: Row) -> AlertRule:
    channels = tuple(map(NotificationChannel, row["channels"]))
    return AlertRule(**row | {"kind": AlertKind(row["kind"]), "channels": channels})


@dataclass(frozen=True, slots=True)
class ChannelBacklog:
    """Undelivered notifications of a channel, or events in the outbox if `channel` is None.

    `given_up` counts notifications of the last week that were rejected for a day; `tries` is the
    highest number of attempts of a waiting one; `oldest_s` is the age of the oldest.
    """

    channel: NotificationChannel | None
    waiting: int
    given_up: int
    tries: int
    oldest_s: float | None


class Notifications:
    """Notifications and their deliveries: tables `notifications` and `deliveries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        *,
        channel: NotificationChannel | None = None,
        state: str | None = None,
        limit: int = 20,
    ) -> Sequence[Row]:
        """Return notifications, newest first, with the last answer to each."""
        parameters = {"channel": channel, "state": state, "limit": limit}
        return self._database.rows("notifications/list", parameters)

    def attempts(self, notification_id: str) -> Sequence[Row]:
        """Return the attempts to deliver a notification, with the receiver's answers."""
        return self._database.rows(
            "notifications/list_attempts", {"notification_id": notification_id}
        )

    def of_event(self, event_id: str) -> Sequence[Row]:
        """Return the notifications of an event: `channel`, `state`, and the last `answer`."""
        rows = self._database.rows("notifications/messages_of_event", {"event_id": event_id})
        return _of_known_channels(rows)

    def find(self, prefix: str) -> Sequence[str]:
        """Return the ids of the notification, or of an event, with this id prefix.

        Raises UnknownNotification.
        """
        rows = self._database.rows("notifications/find", {"prefix": prefix.lower()})
        if len({row["found"] for row in rows}) == 1:
            return [row["notification_id"] for row in rows]
        if rows:
            raise UnknownNotification(f"Several ids start with {prefix!r}: give more of the id.")
        raise UnknownNotification(
            f"Notification {prefix!r} not found: `callpipeline notifications list` lists them."
        )

    def count_held(self) -> int:
        """Count the events that wait for others of their group, or for the end of quiet hours."""
        return self._database.rows("notifications/count_held")[0]["events"]

    def resend(
        self, notification_ids: Collection[str], *, undelivered: bool = False, now: datetime
    ) -> Sequence[str]:
        """Make notifications due again, or with `undelivered` all that failed; return their ids."""
        parameters = {"notification_ids": list(notification_ids), "undelivered": undelivered}
        rows = self._database.rows("notifications/resend", parameters | {"now": now})
        return [row["notification_id"] for row in rows]

    def backlog(self) -> Sequence[ChannelBacklog]:
        """Return the backlog of the outbox, followed by that of each channel with any."""
        known: Row = {"known_channels": list(NotificationChannel)}
        rows = self._database.rows("notifications/backlog", known)
        return [_backlog(**row) for row in rows]


def _of_known_channels(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of channels that this version knows; a newer one may have others."""
    known = [row for row in rows if row["channel"] in set(NotificationChannel)]
    return [row | {"channel": NotificationChannel(row["channel"])} for row in known]


def _backlog(channel: str | None, **counts: Any) -> ChannelBacklog:
    return ChannelBacklog(NotificationChannel(channel) if channel else None, **counts)


def content_of(row: Row, events: Sequence[Row]) -> NotificationContent:
    """Return the content of a notification from rows of `outbox/content` and `outbox/events`."""
    own = ("notification_id", "part", "created_at")
    of_incident = ("incident_id", "stage", "recovers", "opened_at", "events_in_all", "calls_in_all")
    columns = (*own, *of_incident, "calls_still_failed", "first_receipt", "first_id")
    last = events[0] if events else {"events": 0, "last_at": row["last_event_at"], "rank": 1}
    return NotificationContent(
        **{name: row[name] for name in columns},
        channel=NotificationChannel(row["channel"]),
        kind=EventKind(row["kind"]),
        events=tuple(map(_event, events)),
        count=last["events"],
        last_at=last["last_at"],
        severity=list(Severity)[last["rank"] - 1],
        passed_at=row["cleared_at"],
    )


def _event(row: Row) -> OutboxEvent:
    own: Row = {name: row[name] for name in OutboxEvent.__dataclass_fields__}
    own |= {"kind": EventKind(row["kind"]), "severity": Severity(row["severity"])}
    return OutboxEvent(**own)
