"""Authentication: the sender of a request, by API key or session, and rate limits."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cachetools import TTLCache
from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope, expand_scopes
from callpipeline.http_server.limits import ConcurrencyLimiter, LoginLimiter, RateLimiter
from callpipeline.http_server.origins import is_from_loopback, is_local_host
from callpipeline.http_server.security import Signer, UserPasswords
from callpipeline.storage.access import ApiKeys, Session, Sessions, UserAccounts
from callpipeline.storage.postgres.database import Database
from callpipeline.web.access.accounts import Accounts
from callpipeline.web.access.csrf import CsrfBinding, CsrfTokens
from callpipeline.web.access.permissions import (
    CHALLENGE,
    NOT_AUTHENTICATED,
    Authentication,
    Visitor,
)
from callpipeline.web.access.proxies import TrustedProxies

SESSION_COOKIE = "callpipeline"
WRONG_KEYS_PER_MIN = 300
"""Wrong keys from one address, each of which costs a database query."""
DISABLED = "Your account is disabled. Ask an admin."
WRONG_KEY = "This key is unknown, revoked or expired."
HOST_NOT_LOCAL = (
    "This address isn't a local one. Open the app at http://127.0.0.1 and its port. To give others "
    "access, set CALLPIPELINE_WEB_USERS or CALLPIPELINE_WEB_PROXY_HEADER."
)
NOT_LOCAL = (
    "Without a login the app is for this machine only, and this request comes from elsewhere or "
    "through a proxy. Set CALLPIPELINE_WEB_USERS or CALLPIPELINE_WEB_PROXY_HEADER."
)

CACHE_TTL_S = 3.0
"""A revoked key works for up to this long, and so does a session that ended elsewhere."""
CACHE_SIZE = 2_000

ApiKeyCache = TTLCache[bytes, Visitor | None]
SessionCache = TTLCache[bytes, Session | None]


class ApiKeyVerifier:
    """Verify API keys. Results, unknown keys included, are cached for a few seconds.

    The cache has no lock: it is used on the event loop only.
    """

    def __init__(
        self,
        keys: ApiKeys,
        settings_key: str | None = None,
        *,
        cache: ApiKeyCache | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`settings_key` is CALLPIPELINE_API_KEY, which has all scopes."""
        self._keys = keys
        self._settings_digest = _digest(settings_key) if settings_key else None
        self._cache = ApiKeyCache(CACHE_SIZE, CACHE_TTL_S) if cache is None else cache
        self._now = now

    def has_valid_format(self, text: str) -> bool:
        """Check whether the text can be a key of ours, without querying the database."""
        return ApiKey.parse(text) is not None or self._is_settings_key(text)

    async def verify(self, text: str) -> Visitor | None:
        """Return the key's visitor, or None if the key is unknown, revoked or expired."""
        if self._is_settings_key(text):
            return Visitor("CALLPIPELINE_API_KEY", frozenset(Scope), "key", "key:settings")
        key = ApiKey.parse(text)
        if key is None:
            return None
        digest = _digest(text)
        if digest in self._cache:
            return self._cache[digest]
        visitor = await asyncio.to_thread(self._find, key)
        self._cache[digest] = visitor
        return visitor

    def _is_settings_key(self, text: str) -> bool:
        # Digests have equal length, so the duration of the comparison leaks nothing.
        return self._settings_digest is not None and hmac.compare_digest(
            self._settings_digest, _digest(text)
        )

    def _find(self, key: ApiKey) -> Visitor | None:
        found = self._keys.find(key.key_id)
        record, digest = found or (None, bytes(32))
        is_correct = hmac.compare_digest(digest, key.digest)
        if record is None or not is_correct or not record.is_valid(self._now()):
            return None
        self._keys.touch(key.key_id)
        return Visitor(record.name, expand_scopes(record.scopes), "key", f"key:{key.key_id}")


class LoginSessions:
    """Sessions of users who logged in. The database stores the digest of the cookie's secret.

    A session ends by logging out, when it expires, and as soon as the user is removed or gets
    another password.
    """

    def __init__(
        self,
        sessions: Sessions,
        accounts: Accounts,
        *,
        cache: SessionCache | None = None,
    ) -> None:
        self._sessions = sessions
        self._accounts = accounts
        self._cache = SessionCache(CACHE_SIZE, CACHE_TTL_S) if cache is None else cache

    async def create(self, name: str) -> str:
        """Create a session; return the value of its cookie."""
        cookie = secrets.token_urlsafe(32)
        account = await self._accounts.find(name)
        mark = _password_mark(cookie, (account and account.secret) or "")
        await asyncio.to_thread(self._sessions.create, _digest(cookie), name, mark)
        return cookie

    async def user(self, cookie: str) -> str | None:
        """Return the name of the session's user, or None if there is no valid session."""
        digest = _digest(cookie)
        if digest in self._cache:
            session = self._cache[digest]
        else:
            session = self._cache[digest] = await asyncio.to_thread(self._sessions.find, digest)
        if session is None:
            return None
        account = await self._accounts.find(session.user_name)
        if account is None or not account.is_enabled or account.secret is None:
            return None
        mark = _password_mark(cookie, account.secret)
        return session.user_name if hmac.compare_digest(mark, session.password_mark) else None

    async def end(self, cookie: str) -> None:
        """End a session, at once."""
        await asyncio.to_thread(self._sessions.delete, _digest(cookie))
        self._cache.pop(_digest(cookie), None)


def _password_mark(cookie: str, secret: str) -> bytes:
    """Return a keyed hash of the user's current password, useless without the cookie."""
    return hmac.digest(_to_bytes(cookie), f"password {secret}".encode(), hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Identifies visitors. One for a running app, at `app.state.authenticator`."""

    options: Settings
    keys: ApiKeyVerifier
    sessions: LoginSessions
    users: UserPasswords
    accounts: Accounts
    proxies: TrustedProxies
    tokens: CsrfTokens
    requests: RateLimiter
    uploads: RateLimiter
    failed_logins: LoginLimiter
    wrong_keys: RateLimiter
    logins: ConcurrencyLimiter

    async def authenticate(self, request: HTTPConnection) -> Authentication:
        """Identify the visitor. Raises HTTPException (401; 429 after many wrong keys)."""
        proxied = self.proxies.user_name(request)
        key = sent_key(request.headers)
        # A proxy may forward a bearer token of its own, which isn't meant for us.
        if key is not None and not (
            proxied and "x-api-key" not in request.headers and not self.keys.has_valid_format(key)
        ):
            return Authentication(await self._key_owner(request, key))
        if proxied:
            return await self._user(proxied, "proxy", CsrfBinding(f"proxy {proxied}"))
        if self.users and (found := await self._session_user(request)):
            return found
        if self.options.web_is_open:
            visitor = Visitor("local user", frozenset(Scope), "loopback", "loopback")
            return Authentication(visitor, CsrfBinding("loopback"))
        raise HTTPException(401, NOT_AUTHENTICATED, CHALLENGE)

    def check_address(self, request: HTTPConnection) -> None:
        """Raise HTTPException if there is no login and the request isn't a local one."""
        if not self.options.web_is_open:
            return
        if not is_from_loopback(request):
            raise HTTPException(403, NOT_LOCAL)
        host = request.headers.get("host", "")
        if not is_local_host(host, self.options.web_url):
            raise HTTPException(421, HOST_NOT_LOCAL)

    def is_https(self, request: HTTPConnection) -> bool:
        """Check whether browsers reach us by https, by our URL or the proxy's headers."""
        own = self.options.web_url or ""
        return own.startswith("https://") or self.proxies.is_https(request)

    def session_cookie(self, request: HTTPConnection) -> str | None:
        return request.cookies.get(cookie_name(SESSION_COOKIE, secure=self.is_https(request)))

    def check_rate(self, authentication: Authentication, *, is_upload: bool) -> None:
        """Raise HTTPException (429) above the visitor's limit. Loopback has no limit."""
        visitor = authentication.visitor
        if visitor.method != "loopback":
            (self.uploads if is_upload else self.requests).acquire(visitor.visitor_id)

    async def _key_owner(self, request: HTTPConnection, key: str) -> Visitor:
        address = self.proxies.client(request)
        self.wrong_keys.acquire(address)
        visitor = await self.keys.verify(key)
        if visitor is None:
            raise HTTPException(401, WRONG_KEY, {"WWW-Authenticate": _invalid_token_challenge()})
        self.wrong_keys.refund(address)
        return visitor

    async def _session_user(self, request: HTTPConnection) -> Authentication | None:
        cookie = self.session_cookie(request)
        name = await self.sessions.user(cookie) if cookie else None
        if not name or not cookie:
            return None
        return await self._user(name, "login", session_binding(cookie))

    async def _user(
        self, name: str, method: Literal["login", "proxy"], binding: CsrfBinding
    ) -> Authentication:
        account = await self.accounts.find(name)
        if account is None or not account.is_enabled:
            raise HTTPException(403, DISABLED)
        return Authentication(Visitor(name, account.scopes, method, f"user:{name}"), binding)


def open_authenticator(options: Settings, database: Database) -> Authenticator:
    """Create an app's authenticator; `database` has API keys and sessions."""
    own, key = options.api_key, options.web_key
    sessions = Sessions(
        database, lifetime_s=options.web_session_h * 3600, idle_s=options.web_idle_h * 3600
    )
    accounts = Accounts(options, UserAccounts(database))
    passwords = {name: each.get_secret_value() for name, each in options.web_users.items()}
    return Authenticator(
        options=options,
        keys=ApiKeyVerifier(ApiKeys(database), own.get_secret_value() if own else None),
        sessions=LoginSessions(sessions, accounts),
        users=UserPasswords(passwords),
        accounts=accounts,
        proxies=TrustedProxies(options.web_trusted_proxies or (), options.web_proxy_header),
        tokens=CsrfTokens(
            Signer(key.get_secret_value().encode() if key else secrets.token_bytes(32))
        ),
        requests=RateLimiter(options.web_requests_per_min),
        uploads=RateLimiter(options.web_uploads_per_min),
        failed_logins=LoginLimiter(options.web_logins_per_min),
        wrong_keys=RateLimiter(WRONG_KEYS_PER_MIN),
        logins=ConcurrencyLimiter(2, 30, status=429),
    )


def _invalid_token_challenge() -> str:
    return f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'


def sent_key(headers: Headers) -> str | None:
    """Return the key from X-API-KEY or the bearer token, if the request has one."""
    own = headers.get("x-api-key")
    if own is not None:
        return own
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def session_binding(cookie: str) -> CsrfBinding:
    """Bind forms to the session's secret, so that they survive a restart of the server."""
    return CsrfBinding("login", hmac.digest(_to_bytes(cookie), b"forms", hashlib.sha256))


def set_cookie(response: Response, name: str, value: str, *, secure: bool, max_age_s: int) -> None:
    """Set a cookie for this host, invisible to scripts and not sent with other sites' forms."""
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax"
    )


def cookie_name(name: str, *, secure: bool) -> str:
    """With https, add the prefix that keeps other hosts and plain http from setting it."""
    return f"__Host-{name}" if secure else name


def _digest(secret: str) -> bytes:
    return hashlib.sha256(_to_bytes(secret)).digest()


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
