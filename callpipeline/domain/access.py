"""Scopes, the API keys and roles that grant them, hashed passwords, and the audit log."""

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

N, R, P = 32_768, 8, 1
"""scrypt's cost of one guess: 32 MB and about a tenth of a second."""
_PREFIX = f"scrypt:{N}:{R}:{P}"
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


class Role(StrEnum):
    """Permission of a user: read; read, upload and correct; or everything."""

    READER = "reader"
    USER = "user"
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        """Return the scopes of the role."""
        if self is Role.ADMIN:
            return frozenset(Scope)
        return frozenset({Scope.READ} if self is Role.READER else {Scope.READ, Scope.UPLOAD})


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user who is managed in the app, without the password."""

    user_name: str
    role: Role
    is_enabled: bool
    made_by: str
    made_at: datetime
    changed_by: str
    changed_at: datetime


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


def hash_password(password: str) -> str:
    """Hash a password for use in a setting: `scrypt:N:r:p:salt:hash`."""
    salt = secrets.token_bytes(16)
    encoded = (base64.urlsafe_b64encode(part).decode() for part in (salt, _scrypt(password, salt)))
    return ":".join((_PREFIX, *encoded))


def matches_password(password: str, stored: str) -> bool:
    """Check a password against its hash."""
    salt, expected = (base64.urlsafe_b64decode(part) for part in stored.split(":")[-2:])
    return hmac.compare_digest(_scrypt(password, salt), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    plain = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(plain, salt=salt, n=N, r=R, p=P, maxmem=2**26, dklen=32)
