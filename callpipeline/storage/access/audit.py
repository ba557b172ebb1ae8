"""The audit log, and the files in which its entries wait for the database."""

import fcntl
import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from psycopg.types.json import Jsonb

from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.objects.files import FOLDER_MODE
from callpipeline.storage.postgres.database import Database, Row, sanitize_text

MAX_IN_MEMORY = 10_000
AUDIT_PAGE = 100

log = logging.getLogger(__name__)


class AuditSpool:
    """Files of entries that wait for the database, one folder for all processes of a machine.

    An entry is in a file before its request ends, so that it survives a killed process; nothing
    waits for the database. The lock on a file shows that its process is alive.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._unwritten: deque[bytes] = deque()

    def append(self, *entries: AuditEntry) -> None:
        """Write entries to the file of this process; keep them in memory if the disk is full."""
        with self._lock:
            for entry in entries:
                if len(self._unwritten) >= MAX_IN_MEMORY:
                    self._write()
                if len(self._unwritten) >= MAX_IN_MEMORY:
                    log.error("an entry of the audit log is lost: disk and database are away")
                    continue
                self._unwritten.append(json.dumps(_as_json(entry)).encode() + b"\n")
            self._write()

    def _write(self) -> None:
        try:
            if self._file is None and self._unwritten:
                self._file = self._open()
            while self._file and self._unwritten:
                self._file.write(self._unwritten[0])
                self._unwritten.popleft()
        except OSError as error:
            log.error("the audit log could not be written to disk: %s", error.strerror)

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        # Locked before others can see it: they delete files without a lock.
        hidden = self._folder / f"{uuid.uuid4()}.new"
        file = hidden.open("ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.rename(hidden.with_suffix(".jsonl"))
        return file

    def drain(self, store: Callable[[Sequence[Row]], None]) -> int:
        """Pass all waiting entries to `store`, and delete their files; return how many.

        A file whose entries can't be stored stays, and does not keep others waiting.
        """
        with self._lock:
            self._write()
            if self._file is not None:
                self._file.close()  # which unlocks it
                self._file = None
        drained = 0
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                drained += self._drain_file(path, store)
            except DatabaseUnavailable:
                raise
            except Exception as error:
                log.error("a file of the audit log can't be stored: %s", type(error).__name__)
        return drained

    def _drain_file(self, path: Path, store: Callable[[Sequence[Row]], None]) -> int:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                entries = list(_parse_lines(file.read()))
                if entries:
                    store(entries)
                path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):
            return 0  # another process drained it, or still writes it
        return len(entries)


def _as_json(entry: AuditEntry) -> Row:
    return asdict(entry) | {"at": entry.at.isoformat()}


def _parse_lines(content: bytes) -> Iterator[Row]:
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # a line that a power cut left incomplete
            log.error("an incomplete entry of the audit log was dropped")


class AuditLog:
    """The audit log: table `audit_log`. Entries are never changed; retention deletes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entries: Sequence[Row]) -> None:
        """Add entries, once each however often they arrive."""
        self._database.rows("access/add_audit", {"entries": Jsonb(list(entries))})

    def record(self, *entries: AuditEntry) -> None:
        self.add([_as_json(entry) for entry in entries])

    def page(
        self,
        *,
        action: AuditAction | None = None,
        actor: str | None = None,
        target: str | None = None,
        before: datetime | None = None,
        after_id: str | None = None,
        limit: int = AUDIT_PAGE,
    ) -> list[AuditEntry]:
        """Return entries before a time, newest first.

        With `after_id`, those of that instant that follow this entry come first.
        """
        filters: Row = {
            "action": action,
            "actor": sanitize_text(actor) if actor else None,
            "target": sanitize_text(target) if target else None,
        }
        place = {"before": before, "after_id": after_id, "limit": limit}
        rows = self._database.rows("access/list_audit", filters | place)
        return [_audit_entry(row) for row in rows]


def _audit_entry(row: Row) -> AuditEntry:
    values: Row = {**row, "action": AuditAction(row["action"])}
    return AuditEntry(**values)
