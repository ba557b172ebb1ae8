"""Who is told, counted at a receiver and in the database: UNTOLD and TWICE."""

from collections import Counter
from dataclasses import dataclass, field

import psycopg

from callpipeline.storage.sql import SCHEMA
from tests.fakes.receivers import HttpReceiver

_FAILED = f"""
SELECT o.event_id::text, bool_or(n.state = 'DELIVERED') AS delivered
FROM {SCHEMA}.outbox o
LEFT JOIN {SCHEMA}.notification_events e USING (event_id)
LEFT JOIN {SCHEMA}.notifications n USING (notification_id)
WHERE o.kind = 'call_failed' GROUP BY o.event_id
"""
_UNNOTED = f"""
SELECT call_id FROM {SCHEMA}.calls c WHERE state = 'FAILED'
  AND NOT EXISTS (SELECT FROM {SCHEMA}.outbox o
                  WHERE o.call_id = c.call_id AND o.kind = 'call_failed')
"""


@dataclass
class Telling:
    """`untold`: failed calls and events of which the receiver heard nothing. `twice`: events that
    came under two ids. `again`: messages that came twice under their id, where a process died."""

    messages: int = 0
    events: int = 0
    untold: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    again: int = 0

    def __str__(self) -> str:
        return (
            f"UNTOLD {len(self.untold)}  TWICE {len(self.twice)}  ({self.events} failures in "
            f"{self.messages} messages, {self.again} of which came again under their id)"
        )

    @property
    def is_clean(self) -> bool:
        return not (self.untold or self.twice)


def telling(database_url: str, receiver: HttpReceiver) -> Telling:
    """What a receiver that took messages heard of the calls that failed."""
    heard: dict[str, set[str]] = {}
    ids = Counter(request.headers["webhook-id"] for request in receiver.taken)
    for request in receiver.taken:
        told = request.json
        if told["metadata"]["event"] == "call_failed" and told["metadata"]["part"] != "recovery":
            for event_id in told["metadata"]["event_ids"]:
                heard.setdefault(event_id, set()).add(request.headers["webhook-id"])
    with psycopg.connect(database_url) as connection:
        failed = connection.execute(_FAILED.encode()).fetchall()
        unnoted = connection.execute(_UNNOTED.encode()).fetchall()
    return Telling(
        messages=len(ids),
        events=len(failed),
        untold=[
            event_id for event_id, delivered in failed if not delivered or event_id not in heard
        ]
        + [call_id for (call_id,) in unnoted],
        twice=[event_id for event_id, messages in heard.items() if len(messages) > 1],
        again=sum(count > 1 for count in ids.values()),
    )
