"""Count of notifications that were missed or duplicated: MISSED and TWICE."""

from collections import Counter
from dataclasses import dataclass, field

import psycopg

from callpipeline.storage.postgres.sql import SCHEMA
from tests.fakes.receivers import HttpReceiver

_FAILED = f"""
SELECT o.event_id::text, bool_or(n.state = 'DELIVERED') AS delivered
FROM {SCHEMA}.outbox o
LEFT JOIN {SCHEMA}.notification_events e USING (event_id)
LEFT JOIN {SCHEMA}.notifications n USING (notification_id)
WHERE o.kind = 'call_failed' GROUP BY o.event_id
"""
_WITHOUT_EVENT = f"""
SELECT call_id FROM {SCHEMA}.calls c WHERE state = 'FAILED'
  AND NOT EXISTS (SELECT FROM {SCHEMA}.outbox o
                  WHERE o.call_id = c.call_id AND o.kind = 'call_failed')
"""


@dataclass
class NotificationTally:
    """Notifications of failed calls, by what went wrong.

    `missed`: calls and events that the receiver never got. `twice`: events that came under two
    IDs. `repeated`: messages that came twice under one ID, because a process died.
    """

    messages: int = 0
    events: int = 0
    missed: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    repeated: int = 0

    def __str__(self) -> str:
        return (
            f"MISSED {len(self.missed)}  TWICE {len(self.twice)}  ({self.events} failures in "
            f"{self.messages} messages, {self.repeated} of which came twice under one ID)"
        )

    @property
    def is_clean(self) -> bool:
        return not (self.missed or self.twice)


def tally_notifications(database_url: str, receiver: HttpReceiver) -> NotificationTally:
    """Compare the messages that a receiver accepted with the calls that failed."""
    received: dict[str, set[str]] = {}
    ids = Counter(request.headers["webhook-id"] for request in receiver.accepted)
    for request in receiver.accepted:
        document = request.json
        if (
            document["metadata"]["event"] == "call_failed"
            and document["metadata"]["part"] != "recovery"
        ):
            for event_id in document["metadata"]["event_ids"]:
                received.setdefault(event_id, set()).add(request.headers["webhook-id"])
    with psycopg.connect(database_url) as connection:
        failed = connection.execute(_FAILED.encode()).fetchall()
        without_event = connection.execute(_WITHOUT_EVENT.encode()).fetchall()
    return NotificationTally(
        messages=len(ids),
        events=len(failed),
        missed=[
            event_id for event_id, delivered in failed if not delivered or event_id not in received
        ]
        + [call_id for (call_id,) in without_event],
        twice=[event_id for event_id, messages in received.items() if len(messages) > 1],
        repeated=sum(count > 1 for count in ids.values()),
    )
