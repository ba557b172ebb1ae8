"""Authentication at services: an API key, or tokens from a login, renewed before they expire."""

import asyncio
import base64
import json
import math
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from callpipeline.engines.http.messages import Request, RequestFailed, parse_as
from callpipeline.engines.http.service import HttpService

LOGIN_PATH = "/api/v1/login/access-token"
RENEW_BEFORE_S = 60.0
"""A token is renewed this long before it expires, a short-lived one after 90 % of its lifetime."""
CHECK_CREDENTIALS = "Check CALLPIPELINE_AUTH_USERNAME and CALLPIPELINE_AUTH_PASSWORD."


class _TokenResponse(BaseModel):
    # The characters of a bearer token (RFC 6750); others could inject a header.
    access_token: str = Field(pattern=r"^[\x21-\x7e]+$")
    expires_in: float | None = None


class StaticToken:
    """API key from the settings."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def token(self) -> str:
        return self._key

    def invalidate(self, token: str) -> None:
        """Raise RequestFailed: there is no other key, and no recording is the cause."""
        raise RequestFailed(
            "it answered 401 Unauthorized",
            is_retryable=False,
            is_unavailable=True,
            is_unauthorized=True,
        )


class LoginTokens:
    """Access tokens from a login service, shared by concurrent requests of one event loop.

    `auth` must treat all its failures as outages: calls then wait for the login service, instead of
    trying to log in once per call, which might lock the account. `fresh` logs in for each request,
    as the old system did. `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        auth: HttpService,
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
        self._login_lock = asyncio.Lock()

    async def token(self) -> str:
        """Return a valid token. Raises ServiceUnavailable: no recording causes a failed login."""
        if self._fresh:
            return (await self._log_in()).access_token
        async with self._login_lock:
            if self._token is None or self._clock() >= self._renew_at:
                granted = await self._log_in()
                self._token = granted.access_token
                self._renew_at = renewal_time(
                    granted.access_token, granted.expires_in, self._clock()
                )
            return self._token

    def invalidate(self, token: str) -> None:
        """Drop a rejected token, unless another request already renewed it."""
        if self._token == token:
            self._token = None

    async def _log_in(self) -> _TokenResponse:
        request = Request("POST", LOGIN_PATH, self._form)
        return await self._auth.send(request, parse_as(_TokenResponse))


def renewal_time(token: str, expires_in: float | None, now: float) -> float:
    """Return when to renew a token, in seconds since the epoch; infinity if it is unknown.

    The lifetime comes from the service, or from the claim `exp` of a JSON Web Token (RFC 7519).
    """
    lifetime_s = _lifetime_s(token, now) if expires_in is None else expires_in
    if not lifetime_s > 0:  # already expired when it was issued: the clocks differ
        return math.inf
    least_s = 0.9 * lifetime_s if lifetime_s < 10 * RENEW_BEFORE_S else 0.0
    return now + max(lifetime_s - RENEW_BEFORE_S, least_s)


def _lifetime_s(token: str, now: float) -> float:
    """Return the lifetime by the service's own clock, if the token has an `iat` claim."""
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"]) - float(claims.get("iat", now))
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return math.inf
