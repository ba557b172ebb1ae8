"""Words that only this server can have written, and until when they hold."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, and whether its time is over."""

    text: str
    is_expired: bool


class Signer:
    """Signs short texts by HMAC-SHA256; what is signed for one purpose holds for no other.

    Nothing is kept: servers with the same key take each other's tokens.
    """

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    def sign(self, purpose: str, text: str, for_s: float) -> str:
        """A token of `text` that holds for so many seconds; safe in a URL and in a header."""
        payload = _encoded(f"{self._now() + for_s:.3f} {text}".encode())
        return f"{payload}.{self._signature(purpose, payload)}"

    def read(self, purpose: str, token: str) -> Signed | None:
        """What a token says; None for one that was not made here for this purpose."""
        payload, _, signature = token.partition(".")
        expected = self._signature(purpose, payload)
        # As bytes: a token with other characters than ASCII is refused like any other.
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        until, _, text = _decoded(payload).decode().partition(" ")
        return Signed(text, is_expired=float(until) <= self._now())

    def _signature(self, purpose: str, payload: str) -> str:
        signed = f"{purpose} {payload}".encode("utf-8", "replace")
        return _encoded(hmac.digest(self._key, signed, hashlib.sha256))


def _encoded(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def _decoded(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
