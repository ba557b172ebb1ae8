"""Requests that may be sent again: table `idempotent_requests`."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request as it is known again: by hashes of its key and of what it asks.

    `hold_s` is how long (seconds) nobody else is to work on it, should whoever does so die; 0 is
    for work that may be done twice, since its effects are not.
    """

    key_hash: str
    fingerprint: str
    hold_s: float = 0.0
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a request: whether it is the caller's to do, and what was answered."""

    is_same: bool
    is_ours: bool
    answer: dict[str, Any] | None


class Repeats:
    """Answers by the keys of their requests; the first answer is the one that all get."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, request: Repeatable) -> Known:
        """Note that a request is worked on, unless it was answered, or is worked on already."""
        row = self._database.patiently(lambda c: _begun(c, request))
        is_same = row["fingerprint"] == request.fingerprint
        return Known(is_same, row["holder"] == request.holder, row["answer"] if is_same else None)

    def answer(self, request: Repeatable, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep the answer; returns the one that counts, which may be another one's."""
        wanted = _columns(request) | {"answer": Jsonb(answer)}
        rows = self._database.rows("repeats/answer", wanted)
        return rows[0]["answer"] if rows else answer

    def forget(self, request: Repeatable) -> None:
        """It failed: who sends it again has it done."""
        self._database.rows("repeats/forget", _columns(request))


def _begun(connection: Connection[DictRow], request: Repeatable) -> Row:
    connection.execute(query("repeats/purge"))
    row = connection.execute(query("repeats/begin"), _columns(request)).fetchone()
    assert row  # the statement inserts a row or updates one
    return row


def _columns(request: Repeatable) -> Row:
    return {
        "key_hash": request.key_hash,
        "fingerprint": request.fingerprint,
        "holder": request.holder,
        "hold_s": request.hold_s,
    }
