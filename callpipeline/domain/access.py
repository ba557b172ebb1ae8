"""Scopes of the API, the API keys that grant them, and entries of the audit log."""

import base64
import hashlib
import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

_KEY = re.compile(r"cpk_([a-z2-7]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """A permission of a key or a user: upload recordings, read results, or everything."""

    UPLOAD = "upload"
    READ = "read"
    ADMIN = "admin"


def expand_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Add the scopes that these imply: ADMIN implies all others."""
    direct = frozenset(scopes)
    return frozenset(Scope) if Scope.ADMIN in direct else direct


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as its owner has it; only the digest of its secret is stored.

    `key_id` is public. `secret` is 256 random bits, which can't be guessed, so a fast hash is
    enough.
    """

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        public = base64.b32encode(secrets.token_bytes(8)).decode().lower()
        return cls(public[:12], secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `cpk_<id>_<secret>`; return None for any other format."""
        match = _KEY.fullmatch(text)
        return cls(match[1], match[2]) if match else None

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of the secret, which is stored in its place (32 bytes)."""
        return hashlib.sha256(self.secret.encode()).digest()

    def to_text(self) -> str:
        """Return the key as clients send it; shown only once, when the key is created."""
        return f"cpk_{self.key_id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """A stored API key, without its secret."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def is_valid(self, at: datetime) -> bool:
        """Return true unless the key has been revoked or has expired by then."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class AuditAction(StrEnum):
    """A class of actions in the audit log; `operated` is retries, rematches and notifications."""

    LISTENED = "listened"
    READ = "read"
    EXPORTED = "exported"
    UPLOADED = "uploaded"
    CORRECTED = "corrected"
    ERASED = "erased"
    CHANGED = "changed"
    OPERATED = "operated"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An action of a user or program, with a route or command as `what`; never the words of a call.

    `actor` is a user, a key, or the user and machine of a command, and `method` how that is known:
    login, proxy, key, loopback or command. `address` is the client's, None if unknown. `target` is
    a call, None for other things.
    """

    action: AuditAction
    actor: str
    method: str
    address: str | None
    what: str
    target: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    entry_id: str = field(default_factory=lambda: str(uuid.uuid4()))
