"""What is sent along so that a service knows us: a token that expires, or a key that does not."""

import asyncio
import base64
import json
import math
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from callpipeline.engines.http.answers import Unanswered, shaped
from callpipeline.engines.http.requests import Request
from callpipeline.engines.http.service import Service

LOGIN = "/api/v1/login/access-token"
EARLY_S = 60.0
"""A token is renewed so long before it expires, or after nine tenths of a short life."""
CHECK = "Check CALLPIPELINE_AUTH_USERNAME and CALLPIPELINE_AUTH_PASSWORD."


class _Granted(BaseModel):
    # What a header can hold (RFC 6750): more would be another header, or none.
    access_token: str = Field(pattern=r"^[\x21-\x7e]+$")
    expires_in: float | None = None


class Key:
    """A key from the settings, which stays what it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def token(self) -> str:
        return self._key

    def was_refused(self, token: str) -> None:
        """There is no other. Raises Unanswered: no recording is the cause, so the calls wait."""
        raise Unanswered("it answered 401 Unauthorized", again=False, is_away=True, knows_us=False)


class LoginTokens:
    """Logs in where no token is at hand; requests that wait for one meanwhile share it.

    `auth` is a service that serves no call: whatever it answers, the calls wait for it, and it is
    not asked for each of them again, by which it might lock the account.
    `fresh` logs in for each request, as the old system did. For one event loop; `clock` gives
    seconds since 1970.
    """

    def __init__(
        self,
        auth: Service,
        username: str,
        password: str,
        *,
        fresh: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._form = (("username", username), ("password", password))
        self._fresh = fresh
        self._clock = clock
        self._token: str | None = None
        self._renew_at = 0.0
        self._logging_in = asyncio.Lock()

    async def token(self) -> str:
        """A token that holds for now. Raises EngineAway, since no recording is the cause."""
        if self._fresh:
            return (await self._log_in()).access_token
        async with self._logging_in:
            if self._token is None or self._clock() >= self._renew_at:
                granted = await self._log_in()
                self._token = granted.access_token
                self._renew_at = renewal(granted.access_token, granted.expires_in, self._clock())
            return self._token

    def was_refused(self, token: str) -> None:
        """Of many requests that were refused with one token, the first has it renewed."""
        if self._token == token:
            self._token = None

    async def _log_in(self) -> _Granted:
        return await self._auth.ask(Request("POST", LOGIN, self._form), shaped(_Granted))


def renewal(token: str, expires_in: float | None, now: float) -> float:
    """When to renew a token, in seconds since 1970; never before it is refused, if nothing tells.

    Its life is what the service says, or the claim `exp` of a JSON Web Token (RFC 7519).
    """
    life_s = _life_s(token, now) if expires_in is None else expires_in
    if not life_s > 0:  # a token that is old when it comes: the clocks differ
        return math.inf
    return now + max(life_s - EARLY_S, 0.9 * life_s if life_s < 10 * EARLY_S else 0.0)


def _life_s(token: str, now: float) -> float:
    """By the service's own clock, where the token tells when it was issued."""
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"]) - float(claims.get("iat", now))
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return math.inf
