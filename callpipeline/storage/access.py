"""API keys, login sessions, idempotency keys of requests, and the audit log."""

import fcntl
import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.access import ApiKey, ApiKeyRecord, AuditAction, AuditEntry, Scope
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.objects.files import FOLDER_MODE
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query


class ApiKeys:
    """API keys: table `api_keys`, which stores no secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        key: ApiKey,
        name: str,
        scopes: Iterable[Scope],
        *,
        by: str,
        expires_at: datetime | None = None,
    ) -> None:
        """Add a key, which is valid from now on."""
        row = {
            "key_id": key.key_id,
            "name": name,
            "digest": key.digest,
            "scopes": [str(scope) for scope in sorted(set(scopes))],
            "created_by": by,
            "expires_at": expires_at,
        }
        self._database.rows("access/add_key", row)

    def find(self, key_id: str) -> tuple[ApiKeyRecord, bytes] | None:
        """Return a key, even a revoked one, and the digest of its secret."""
        rows = self._database.rows("access/find_key", {"key_id": key_id})
        return (_record(rows[0]), rows[0]["secret_sha256"]) if rows else None

    def all(self) -> list[ApiKeyRecord]:
        """Return every key, including revoked ones, newest first."""
        return [_record(row) for row in self._database.rows("access/list_keys")]

    def revoke(self, key_id: str, *, by: str) -> None:
        """Revoke a key permanently."""
        self._database.rows("access/revoke_key", {"key_id": key_id, "by": by})

    def touch(self, key_id: str) -> None:
        """Record the use of a key, to the minute."""
        self._database.rows("access/touch_key", {"key_id": key_id})


def _record(row: Row) -> ApiKeyRecord:
    values = {name: row[name] for name in ApiKeyRecord.__dataclass_fields__}
    values["scopes"] = tuple(Scope(scope) for scope in row["scopes"])
    return ApiKeyRecord(**values)


class Session(NamedTuple):
    """The user of a session, and a fingerprint of the password at login."""

    user_name: str
    password_mark: bytes


class Sessions:
    """Sessions: table `web_sessions`, keyed by the SHA-256 of the cookie."""

    def __init__(self, database: Database, *, lifetime_s: float, idle_s: float) -> None:
        self._database = database
        self._lifetime_s = lifetime_s
        self._idle_s = idle_s

    def create(self, digest: bytes, user_name: str, mark: bytes) -> None:
        """Create a session."""
        row = {"digest": digest, "user_name": user_name, "mark": mark}
        self._database.rows("access/create_session", row | {"lifetime_s": self._lifetime_s})

    def find(self, digest: bytes) -> Session | None:
        """Return a valid session and record its use; None if it is expired or was idle too long."""
        parameters = {"digest": digest, "idle_s": self._idle_s}
        rows = self._database.rows("access/find_session", parameters)
        return Session(**rows[0]) if rows else None

    def delete(self, digest: bytes) -> None:
        """Delete a session."""
        self._database.rows("access/delete_session", {"digest": digest})


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request, identified by hashes of its key and of its content.

    `lease_s` is how long the request is protected from other workers if its worker dies; 0 is for
    work that may run twice because its effects are idempotent.
    """

    key_hash: str
    fingerprint: str
    lease_s: float = 0.0
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """State of a request: whether the caller has claimed it, and the saved answer.

    `is_same` is False if the key was used for another request.
    """

    is_same: bool
    is_claimed: bool
    answer: dict[str, Any] | None


class IdempotencyKeys:
    """Answers to requests: table `idempotent_requests`. Every repetition gets the first answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, request: IdempotentRequest) -> IdempotencyRecord:
        """Claim a request, unless it is answered or another worker has claimed it."""
        row = self._database.with_retry(lambda c: _claim(c, request))
        is_same = row["fingerprint"] == request.fingerprint
        return IdempotencyRecord(
            is_same, row["holder"] == request.holder, row["answer"] if is_same else None
        )

    def save_answer(self, request: IdempotentRequest, answer: dict[str, Any]) -> dict[str, Any]:
        """Save the answer; return the one that applies, which may be another worker's."""
        parameters = _columns(request) | {"answer": Jsonb(answer)}
        rows = self._database.rows("access/save_answer", parameters)
        return rows[0]["answer"] if rows else answer

    def release(self, request: IdempotentRequest) -> None:
        """Release a request that failed, so that it can be repeated."""
        self._database.rows("access/release_request", _columns(request))


def _claim(connection: Connection[DictRow], request: IdempotentRequest) -> Row:
    connection.execute(query("access/delete_expired_requests"))
    row = connection.execute(query("access/claim_request"), _columns(request)).fetchone()
    assert row  # the statement inserts a row or updates one
    return row


def _columns(request: IdempotentRequest) -> Row:
    return {
        "key_hash": request.key_hash,
        "fingerprint": request.fingerprint,
        "holder": request.holder,
        "lease_s": request.lease_s,
    }


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
