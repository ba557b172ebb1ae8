"""Erasure of calls, deletion by retention period, and masking of erased names."""

import json
import mmap
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import ahocorasick
from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.calls.call import CALL_ID, CallState, RetentionClass, Stage
from callpipeline.errors import MissingObject
from callpipeline.storage.ports.erasure import DueCall, Erasure
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query

BATCH_SIZE = 200
BURIAL = (
    "insert_erasure",
    "delete_results",
    "delete_announcements",
    "delete_events_of_calls",
    "make_tombstones",
    "reassign_contents",
)
"""Statements that replace locked calls with tombstones, in order."""

MIN_NAME_LENGTH = 6

EXPIRY_BATCH_SIZE = 1000
DELETION_NAMES = {
    RetentionClass.RECORDINGS: "recording",
    RetentionClass.AUDIO: Stage.CHANNEL_AUDIO.value,
    RetentionClass.TRANSCRIPTS: Stage.TRANSCRIPTS.value,
    RetentionClass.RESULTS: "call",
}
"""Values of `deletions.what` for deletions of single calls."""


@dataclass(frozen=True, slots=True)
class ErasureCandidate:
    """A call to erase, shown for confirmation.

    `is_asked_for` is False if it is only included because its content is that of a requested call.
    """

    call_id: str
    state: CallState
    took_place_at: datetime
    key: str
    customer: str | None
    is_asked_for: bool


class Erasures:
    """Erasures: table `erasures`, and the rows of calls in all other tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(
        self, call_ids: Collection[str] = (), *, customer: str | None = None
    ) -> list[ErasureCandidate]:
        """Return these calls, or those of a customer, and all of the same content, by time."""
        parameters = {"call_ids": list(call_ids), "customer": customer}
        return [
            _candidate(row) for row in self._database.rows("erasure/list_candidates", parameters)
        ]

    def returned(self) -> list[str]:
        """Return calls whose content was erased on request and has been imported again."""
        return [row["call_id"] for row in self._database.rows("erasure/list_returned")]

    def begin(
        self,
        call_ids: Collection[str],
        *,
        keep_recording: bool,
        because: str = "",
        ended_before: datetime | None = None,
    ) -> list[str]:
        """Delete the rows of calls and leave tombstones; return the calls newly erased.

        Calls are processed in batches, since each stays locked until its batch is done. With
        `ended_before` (retention) calls that are being processed again are skipped.
        """
        how = {"keep_recording": keep_recording, "because": because, "ended_before": ended_before}
        how |= {"by_retention": ended_before is not None}
        ids, buried = list(call_ids), list[str]()
        for start in range(0, len(ids), BATCH_SIZE):
            some = how | {"call_ids": ids[start : start + BATCH_SIZE]}
            buried += self._database.with_retry(partial(_bury, how=some))
        return buried

    def open(
        self, call_ids: Collection[str] | None = None, *, limit: int = 1_000_000
    ) -> list[Erasure]:
        """Return unfinished erasures, of these calls or all."""
        parameters = {"call_ids": None if call_ids is None else list(call_ids), "limit": limit}
        return [Erasure(**row) for row in self._database.rows("erasure/list_open", parameters)]

    def delete_events(self, erasures: Sequence[Erasure]) -> int:
        """Delete custom events, reports and saved views that name erased calls; count them.

        Calls are named by id, and by keys and file names that no other call has.
        """
        asked_for = [erasure for erasure in erasures if not erasure.by_retention]
        keys = [erasure.key for erasure in asked_for if erasure.key]
        mine = {*keys, *(key.rpartition("/")[2] for key in keys)}
        shared = self._database.rows("erasure/shared_names", {"names": sorted(mine)})
        ids = (erasure.call_id for erasure in asked_for)
        names = NameFinder({*ids, *mine} - {row["name"] for row in shared})
        events = self._database.rows("erasure/list_custom_events") if names else []
        event_ids = [
            row["event_id"] for row in events if names.occur_in(row["text"], row["file_name"])
        ]
        if event_ids:
            gone = {"call_ids": [], "event_ids": event_ids}
            self._database.with_retry(
                lambda c: c.execute(query("erasure/delete_events_of_calls"), gone)
            )
        views = self._database.rows("saved_views/texts") if names else []
        found = [each["view_id"] for each in views if names.occur_in(each["text"], None)]
        view_ids = [each for each in found if each is not None]
        if view_ids:
            self._database.rows("saved_views/forget", {"view_ids": view_ids})
        return len(event_ids) + len(view_ids)

    def is_shared_object(self, bucket: str, key: str, call_id: str) -> bool:
        """Return true if another call has the same recording or supplied transcript."""
        place = {"bucket": bucket, "key": key, "call_id": call_id}
        return self._database.rows("erasure/is_shared_object", place)[0]["is_shared"]

    def reset_discovery(self) -> None:
        """Restart discovery from the beginning: cursors may contain erased keys."""
        self._database.with_retry(lambda c: c.execute(query("erasure/reset_discovery")))

    def record_content(self, call_id: str, sha256: str) -> None:
        """Record the content of an erased call that had never been read."""
        read = {"call_id": call_id, "sha256": sha256}
        self._database.with_retry(lambda c: c.execute(query("erasure/record_content"), read))

    def record_attempt(
        self, call_id: str, *, trouble: str | None, objects_gone: bool, finished: bool
    ) -> None:
        """Record the outcome of an attempt to finish an erasure."""
        came = {"trouble": trouble, "objects_gone": objects_gone, "finished": finished}
        self._database.rows("erasure/update_erasure", {"call_id": call_id} | came)

    def lift(self, call_ids: Collection[str]) -> set[str]:
        """Allow the recordings of finished erasures to be imported again.

        Returns the calls, including other tombstones with the same content.
        """
        rows = self._database.rows("erasure/lift_tombstones", {"call_ids": list(call_ids)})
        return {row["call_id"] for row in rows}


def _candidate(row: Row) -> ErasureCandidate:
    typed: Row = row | {"state": CallState(row["state"])}
    return ErasureCandidate(**typed)


def _bury(connection: Connection[DictRow], how: Row) -> list[str]:
    locked = connection.execute(query("erasure/lock_calls"), how).fetchall()
    ids = [row["call_id"] for row in locked]
    if not ids:
        return []
    these = how | {"call_ids": ids, "event_ids": []}
    for step in BURIAL:
        connection.execute(query(f"erasure/{step}"), these)
    why = "retention" if how["by_retention"] else "erasure"
    noted = {"what": "call", "why": why, "items": [1] * len(ids)}
    noted |= {"older_than": how["ended_before"], "call_ids": ids}
    connection.execute(query("erasure/record_deletions"), noted)
    return ids


class NameFinder:
    """Finds ids, keys and file names as whole words, all in one pass.

    Names such as `a` or `call` identify no call: they only match an entire field.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._exactly = set(names)
        self._forms = ahocorasick.Automaton()
        for name in filter(_is_distinct, self._exactly):
            for form in _written(name):
                self._forms.add_word(form, form)
        self._forms.make_automaton()

    def __bool__(self) -> bool:
        return bool(self._exactly)

    def occur_in(self, text: str, file_name: str | None) -> bool:
        """Return true if a text or a file name identifies one of the calls."""
        if file_name in self._exactly:
            return True
        if not len(self._forms):
            return False
        return any(
            _is_word(text, end + 1 - len(form), end + 1) for end, form in self._forms.iter(text)
        )


def _is_distinct(name: str) -> bool:
    return len(name) >= MIN_NAME_LENGTH and re.search(r"[\d./_-]", name) is not None


def _written(name: str) -> set[str]:
    """Return the forms of a name in text, and in JSON with and without ASCII escapes."""
    return {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}


def _is_word(text: str, start: int, end: int) -> bool:
    """Return true if the range is not part of a longer word."""
    around = text[start - 1 : start] if start else "", text[end : end + 1]
    return not any(each.isalnum() or each == "_" for each in around)


_ID = re.compile(CALL_ID.pattern.encode())


def mask_call_ids_in_logs(folder: Path, call_ids: Collection[str]) -> int:
    """Overwrite ids in the log files of a folder in place; return the number of occurrences.

    Services keep appending to these files, so they are neither truncated nor replaced.
    """
    ids = {call_id.encode() for call_id in call_ids}
    files = sorted(folder.glob("*.log*")) if folder.is_dir() and ids else ()
    return sum(_mask_in(path, ids) for path in files if path.is_file() and path.stat().st_size)


def _mask_in(path: Path, ids: Collection[bytes]) -> int:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        spans = [found.span() for found in _ID.finditer(content) if found[0] in ids]
        for start, end in spans:
            content[start:end] = b"x" * (end - start)
    return len(spans)


class RetentionStore:
    """Calls by age, and deletions: table `deletions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, data_class: RetentionClass, older_than: datetime) -> Iterator[DueCall]:
        """Return calls that first ended before a time and still have data of this class."""
        after = ""
        while True:
            parameters = {"older_than": older_than, "after": after, "limit": EXPIRY_BATCH_SIZE}
            rows = self._database.rows(f"erasure/due_{DELETION_NAMES[data_class]}", parameters)
            yield from (DueCall(**row) for row in rows)
            if len(rows) < EXPIRY_BATCH_SIZE:
                return
            after = rows[-1]["call_id"]

    def delete(
        self,
        data_class: RetentionClass,
        call_id: str,
        older_than: datetime,
        remove: Callable[[Row], int],
    ) -> bool:
        """Delete objects of a call and record it; return False if the call is claimed again.

        `remove` gets the call's row with the keys of its objects; it may be called twice.
        """
        with self._database.transaction() as connection:
            parameters = {"call_id": call_id, "older_than": older_than}
            row = connection.execute(query("erasure/lock_call"), parameters).fetchone()
            if row is None:
                return False
            items = remove(row)
            if data_class is RetentionClass.TRANSCRIPTS:
                connection.execute(query("erasure/delete_segments"), parameters)
            record = {"what": DELETION_NAMES[data_class], "why": "retention", "call_ids": [call_id]}
            record |= {"items": [items], "older_than": older_than}
            connection.execute(query("erasure/record_deletions"), record)
        return True

    def due_notifications(self, older_than: datetime) -> int:
        [row] = self._database.rows("erasure/due_notifications", {"older_than": older_than})
        return row["items"]

    def delete_notifications(self, older_than: datetime) -> int:
        """Delete delivered events and messages of closed incidents; return the number of events."""
        some = {"older_than": older_than, "limit": EXPIRY_BATCH_SIZE}
        deleted = 0
        while gone := self._database.rows("erasure/delete_events", some)[0]["items"]:
            deleted += gone
            self.record("notifications", gone, older_than)
        [over] = self._database.rows("erasure/delete_messages", some)
        self._database.rows("erasure/delete_incidents", {"incidents": over["incidents"]})
        return deleted

    def due_audit(self, older_than: datetime) -> int:
        [row] = self._database.rows("erasure/due_audit", {"older_than": older_than})
        return row["items"]

    def delete_audit(self, older_than: datetime) -> int:
        """Delete entries of the audit log; return their number."""
        some = {"older_than": older_than, "limit": EXPIRY_BATCH_SIZE}
        deleted = 0
        while gone := self._database.rows("erasure/delete_audit", some)[0]["items"]:
            deleted += gone
            self.record("audit", gone, older_than)
        return deleted

    def retirable_keys(self, keys: Collection[str], older_than: datetime) -> list[str]:
        """Return those partition keys whose calls ended before a time or are erased."""
        parameters = {"keys": list(keys), "older_than": older_than}
        rows = self._database.rows("erasure/list_retirable_keys", parameters)
        return [row["call_id"] for row in rows]

    def record(self, what: str, items: int, older_than: datetime) -> None:
        """Record a deletion of several items at once."""
        record = {"what": what, "items": items, "older_than": older_than}
        self._database.rows("erasure/record_batch", record)

    def history(self, since: datetime) -> list[Row]:
        """Return deletions by `day`, `why` and `what`, with the numbers of `items` and `calls`."""
        return self._database.rows("erasure/deletion_history", {"since": since})


@contextmanager
def explain_deletion(database: Database, call_id: str, stage: Stage) -> Iterator[None]:
    """Add the time of deletion to a MissingObject error if retention deleted the stage."""
    try:
        yield
    except MissingObject:
        [deleted] = database.rows("erasure/deleted_on", {"call_id": call_id, "what": stage})
        if deleted["at"] is None:
            raise
        raise MissingObject(
            f"The stage {stage} of call {call_id} was deleted on {deleted['at']:%Y-%m-%d} under "
            "your retention policy (`callpipeline retention`)."
        ) from None
