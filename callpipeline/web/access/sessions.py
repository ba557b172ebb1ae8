"""Logins: a cookie with a secret, of which the server keeps the digest."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from pydantic import SecretStr
from starlette.responses import Response

from callpipeline.storage.sessions import Session, Sessions
from callpipeline.web.access.kept import Lately
from callpipeline.web.access.tokens import Binding


class SessionBook:
    """Begins and ends sessions, and tells whose one is.

    A session ends by logging out, when its time is over, and as soon as its user has another
    password or is none any more.
    """

    def __init__(
        self,
        sessions: Sessions,
        users: Mapping[str, SecretStr],
        *,
        lately: Lately[Session | None] | None = None,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._lately = Lately() if lately is None else lately

    async def begin(self, name: str) -> str:
        """A new session of a user; what its cookie is to say."""
        cookie = secrets.token_urlsafe(32)
        mark = self._mark(cookie, name)
        await asyncio.to_thread(self._sessions.begin, _digest(cookie), name, mark)
        return cookie

    async def user(self, cookie: str) -> str | None:
        """Whose session it is; None for one that is over, or never was."""
        digest = _digest(cookie)
        cached = self._lately.get(digest)
        found = cached[0] if cached else await asyncio.to_thread(self._sessions.find, digest)
        if not cached:
            self._lately.put(digest, found)
        if found is None or found.user_name not in self._users:
            return None
        mark = self._mark(cookie, found.user_name)
        return found.user_name if hmac.compare_digest(mark, found.password_mark) else None

    async def end(self, cookie: str) -> None:
        """Nobody comes in by this cookie any more."""
        await asyncio.to_thread(self._sessions.end, _digest(cookie))
        self._lately.drop(_digest(cookie))

    def _mark(self, cookie: str, name: str) -> bytes:
        """Of the user's password as it is set. Without the cookie it tells nothing of it."""
        password = self._users[name].get_secret_value()
        return hmac.digest(_plain(cookie), f"password {password}".encode(), hashlib.sha256)


def binding_of(cookie: str) -> Binding:
    """Forms are bound to the session, by its secret: they outlive a restart of the server."""
    return Binding("login", hmac.digest(_plain(cookie), b"forms", hashlib.sha256))


def set_cookie(response: Response, name: str, value: str, *, secure: bool, max_age_s: int) -> None:
    """For this host and its whole path; no script sees it, and no other site's form sends it."""
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax"
    )


def cookie_name(name: str, *, secure: bool) -> str:
    """With https a name that no other host, and no page without https, can set."""
    return f"__Host-{name}" if secure else name


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(_plain(cookie)).digest()


def _plain(cookie: str) -> bytes:
    return cookie.encode("utf-8", "surrogatepass")
