"""API keys, login sessions, and idempotency keys of requests."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.access import ApiKey, ApiKeyRecord, Scope
from callpipeline.storage.calls.saved_views import leave_views
from callpipeline.storage.postgres.database import Database, Row
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
        """Revoke a key permanently, and delete its private views."""

        def apply(connection: Connection[DictRow]) -> None:
            connection.execute(query("access/revoke_key"), {"key_id": key_id, "by": by})
            leave_views(connection, f"key:{key_id}")

        self._database.with_retry(apply)

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
