"""Tokens of the auth service, which run out by time, by use, or when a test says so."""

import base64
import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tokens:
    """Gives out tokens and knows which are good. Times are `time.time()` plus `ahead_s`."""

    lifetime_s: float = 3600.0
    uses: int | None = None
    """How often one token is taken (None: without limit)."""
    opaque: bool = False
    """Without it a token is a JWT whose payload says when it expires (`exp`)."""
    ahead_s: float = 0.0
    issued: list[str] = field(default_factory=list)
    refused: int = 0
    _good_until: dict[str, float] = field(default_factory=dict)
    _used: Counter[str] = field(default_factory=Counter)

    def issue(self) -> str:
        until = self._now + self.lifetime_s
        token = self._write(len(self.issued) + 1, until)
        self.issued.append(token)
        self._good_until[token] = until
        return token

    def take(self, token: str | None) -> bool:
        """Whether the token is good for this use."""
        good = token is not None and self._good_until.get(token, 0.0) > self._now
        if good and token is not None:
            self._used[token] += 1
            good = self.uses is None or self._used[token] <= self.uses
        self.refused += not good
        return good

    def expire(self) -> None:
        """Every token issued so far is refused from now on, whatever it says itself."""
        self._good_until.clear()

    def advance(self, seconds: float) -> None:
        """Let so much time pass, as far as tokens are concerned."""
        self.ahead_s += seconds

    @property
    def _now(self) -> float:
        return time.time() + self.ahead_s

    def _write(self, number: int, until: float) -> str:
        if self.opaque:
            return f"planted-token-{number}"
        head = _part({"alg": "HS256", "typ": "JWT"})
        payload = _part({"sub": f"planted-user-{number}", "exp": int(until)})
        sign = hashlib.sha256(f"{head}.{payload}".encode()).digest()
        return f"{head}.{payload}.{base64.urlsafe_b64encode(sign).decode().rstrip('=')}"


def _part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
