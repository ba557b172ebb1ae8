"""What somebody may do, and keys by which programs show that they may."""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

_KEY = re.compile(r"cpk_([a-z2-7]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a key or a user may do: send recordings in, read results, or all there is."""

    UPLOAD = "upload"
    READ = "read"
    ADMIN = "admin"


def granted(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """These scopes with what they imply: who administers may do everything."""
    given = frozenset(scopes)
    return frozenset(Scope) if Scope.ADMIN in given else given


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in the hands of somebody. Of its secret the digest is known, and nothing else.

    `key_id` is public; `secret` are 256 random bits, so a fast hash is enough: nobody guesses them.
    """

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def made(cls) -> Self:
        """A new one, which nobody had before."""
        public = base64.b32encode(secrets.token_bytes(8)).decode().lower()
        return cls(public[:12], secrets.token_urlsafe(32))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The key in `cpk_<id>_<secret>`; None where it is none of ours."""
        found = _KEY.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    @property
    def digest(self) -> bytes:
        """What is kept of the secret: 32 bytes of SHA-256."""
        return hashlib.sha256(self.secret.encode()).digest()

    def written(self) -> str:
        """As it is sent. To be shown once, to whoever asked for it."""
        return f"cpk_{self.key_id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of a key, for people."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def holds(self, at: datetime) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)
