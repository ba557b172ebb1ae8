"""What has been kept long enough: found, deleted, and recorded as deleted."""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from callpipeline.domain.call import Stage
from callpipeline.domain.retention import Kept
from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query

AT_ONCE = 1000
WHAT = {
    Kept.RECORDINGS: "recording",
    Kept.AUDIO: Stage.CHANNEL_AUDIO.value,
    Kept.TRANSCRIPTS: Stage.TRANSCRIPTS.value,
    Kept.RESULTS: "call",
}
"""How table `deletions` names what goes call by call."""


class Due(NamedTuple):
    """A call of which something is to go, and the bucket that its recording came from."""

    call_id: str
    bucket: str


class Retained:
    """Calls by age, and table `deletions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, kept: Kept, older_than: datetime) -> Iterator[Due]:
        """Calls that first ended before a time and of which something of a kind is there still."""
        after = ""
        while True:
            wanted = {"older_than": older_than, "after": after, "limit": AT_ONCE}
            rows = self._database.rows(f"retention/due_{WHAT[kept]}", wanted)
            yield from (Due(**row) for row in rows)
            if len(rows) < AT_ONCE:
                return
            after = rows[-1]["call_id"]

    def delete(
        self, kept: Kept, call_id: str, older_than: datetime, remove: Callable[[Row], int]
    ) -> bool:
        """Have `remove` delete objects of a call and record it; False where it is under way again.

        `remove` is given the call's row, with the keys of its objects; it may be called twice.
        """
        with self._database.transaction() as connection:
            wanted = {"call_id": call_id, "older_than": older_than}
            row = connection.execute(query("retention/lock"), wanted).fetchone()
            if row is None:
                return False
            items = remove(row)
            if kept is Kept.TRANSCRIPTS:
                connection.execute(query("retention/forget_segments"), wanted)
            noted = {"what": WHAT[kept], "why": "retention", "call_ids": [call_id]}
            noted |= {"items": [items], "older_than": older_than}
            connection.execute(query("erasures/note_deletion"), noted)
        return True

    def due_notifications(self, older_than: datetime) -> int:
        [row] = self._database.rows("retention/due_notifications", {"older_than": older_than})
        return row["items"]

    def delete_notifications(self, older_than: datetime) -> int:
        """Delete events that were told, and messages of what is over; returns how many events."""
        some = {"older_than": older_than, "limit": AT_ONCE}
        deleted = 0
        while gone := self._database.rows("retention/delete_notifications", some)[0]["items"]:
            deleted += gone
            self.record("notifications", gone, older_than)
        [over] = self._database.rows("retention/delete_messages", some)
        self._database.rows("retention/delete_incidents", {"incidents": over["incidents"]})
        return deleted

    def keys_to_retire(self, keys: Collection[str], older_than: datetime) -> list[str]:
        """Those partition keys of which the call has ended before a time, or was erased."""
        wanted = {"keys": list(keys), "older_than": older_than}
        rows = self._database.rows("retention/keys_to_retire", wanted)
        return [row["call_id"] for row in rows]

    def record(self, what: str, items: int, older_than: datetime) -> None:
        """Note that so many things went together."""
        noted = {"what": what, "items": items, "older_than": older_than}
        self._database.rows("retention/note_batch", noted)

    def history(self, since: datetime) -> list[Row]:
        """What was deleted, by `day`, `why` and `what`: how many `items`, of how many `calls`."""
        return self._database.rows("retention/history", {"since": since})
