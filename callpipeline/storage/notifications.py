"""Messages as people look at them afterwards, and ask for them again."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callpipeline.domain.notification import NotificationChannel
from callpipeline.errors import UnknownNotification
from callpipeline.storage.database import Database, Row


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one channel (None: the outbox itself) has not been told. `oldest_s` is in seconds.

    `given_up` are messages of the last week that were refused for a day; `tries` the most that a
    waiting one has had.
    """

    channel: NotificationChannel | None
    waiting: int
    given_up: int
    tries: int
    oldest_s: float | None


class Notifications:
    """Tables `notifications` and `deliveries`, for who asks what became of a message."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(
        self,
        *,
        channel: NotificationChannel | None = None,
        state: str | None = None,
        limit: int = 20,
    ) -> list[Row]:
        """Messages, newest first, each with the last answer to it."""
        wanted = {"channel": channel, "state": state, "limit": limit}
        return self._database.rows("outbox/list", wanted)

    def tries(self, notification_id: str) -> list[Row]:
        """Each try to deliver a message, with the receiver's answer."""
        return self._database.rows("outbox/tries", {"notification_id": notification_id})

    def of_event(self, event_id: str) -> list[Row]:
        """The messages that tell an event: `channel`, `state`, and the last `answer`."""
        rows = self._database.rows("outbox/of_event", {"event_id": event_id})
        return [row | {"channel": NotificationChannel(row["channel"])} for row in rows]

    def find(self, prefix: str) -> list[str]:
        """The message whose id begins so, or those of the event. Raises UnknownNotification."""
        rows = self._database.rows("outbox/find", {"prefix": prefix.lower()})
        if len({row["found"] for row in rows}) == 1:
            return [row["notification_id"] for row in rows]
        if rows:
            raise UnknownNotification(f"Several notifications begin with {prefix!r}: write more.")
        raise UnknownNotification(
            f"There is no notification {prefix!r}: `callpipeline notifications list` lists them."
        )

    def held(self) -> int:
        """Events that wait to be told with others, or for the end of quiet hours."""
        return self._database.rows("outbox/held")[0]["events"]

    def resend(
        self, notification_ids: Collection[str], *, undelivered: bool = False, now: datetime
    ) -> list[str]:
        """Let messages be delivered, also again; with `undelivered` all that were not."""
        wanted = {"notification_ids": list(notification_ids), "undelivered": undelivered}
        rows = self._database.rows("outbox/resend", wanted | {"now": now})
        return [row["notification_id"] for row in rows]

    def backlog(self) -> list[Backlog]:
        """What is not told yet: first the outbox itself, then each channel that has any."""
        rows = self._database.rows("outbox/backlog")
        return [_backlog(**row) for row in rows]


def _backlog(channel: str | None, **counts: Any) -> Backlog:
    return Backlog(NotificationChannel(channel) if channel else None, **counts)
