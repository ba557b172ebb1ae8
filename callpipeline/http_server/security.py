"""Signed tokens and password hashes."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from callpipeline.config import Settings
from callpipeline.domain.access import hash_password, matches_password
from callpipeline.storage.objects import files

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class SignedText:
    """The text of a token with a valid signature."""

    text: str
    is_expired: bool


class Signer:
    """Sign short texts with HMAC-SHA256. A token is valid for one purpose only.

    Stateless: servers with the same key accept each other's tokens.
    """

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    def sign(self, purpose: str, text: str, for_s: float) -> str:
        """Return a token of `text` that is valid for `for_s`; safe in a URL and in a header."""
        payload = _base64(f"{self._now() + for_s:.3f} {text}".encode())
        return f"{payload}.{self._signature(purpose, payload)}"

    def verify(self, purpose: str, token: str) -> SignedText | None:
        """Return the token's text, or None if it was not signed by this key for this purpose."""
        payload, _, signature = token.partition(".")
        expected = self._signature(purpose, payload)
        # Compare bytes: str comparison raises for tokens that are not ASCII.
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        until, _, text = _unbase64(payload).decode().partition(" ")
        return SignedText(text, is_expired=float(until) <= self._now())

    def _signature(self, purpose: str, payload: str) -> str:
        signed = f"{purpose} {payload}".encode("utf-8", "replace")
        return _base64(hmac.digest(self._key, signed, hashlib.sha256))


class UserPasswords:
    """Passwords by user name. Unknown names take as long to reject as wrong passwords."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """Store `passwords`, by name, which are plain or hashed."""
        self._hashes = {
            name: password if password.startswith("scrypt:") else hash_password(password)
            for name, password in passwords.items()
        }
        self._dummy_hash = hash_password(secrets.token_urlsafe()) if self._hashes else ""

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __contains__(self, name: str) -> bool:
        return name in self._hashes

    def verify(self, name: str, password: str, other: str | None = None) -> bool:
        """Check a user's password; takes a tenth of a second.

        `other` is the hash of a user who isn't in the settings, None if there is no such user.
        """
        if not self._hashes:
            return False
        known = self._hashes.get(name, other)
        is_correct = matches_password(password, known or self._dummy_hash)
        return is_correct and known is not None


def _base64(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def _unbase64(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def installation_secret(home: Path) -> bytes:
    """Return the secret in the data folder; create it the first time."""
    path = home / "web-key"
    if not path.exists():
        files.create_file(path, secrets.token_bytes(_SECRET_BYTES))
    return path.read_bytes()


def signing_key(options: Settings) -> bytes:
    """Return the key for signed URLs, which must stay valid when the app restarts."""
    key = options.web_key
    return key.get_secret_value().encode() if key else installation_secret(options.home)
