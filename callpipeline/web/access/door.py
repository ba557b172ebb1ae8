"""The door: tells who asks, and keeps what it needs to know for that."""

import secrets
from dataclasses import dataclass
from typing import Literal

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from callpipeline.config import Settings
from callpipeline.domain.access import Scope
from callpipeline.storage.api_keys import ApiKeys
from callpipeline.storage.database import Database
from callpipeline.storage.sessions import Sessions
from callpipeline.web.access import addresses
from callpipeline.web.access.addresses import Proxies
from callpipeline.web.access.keys import KeyRing, sent_key
from callpipeline.web.access.limits import Allowance
from callpipeline.web.access.needs import CHALLENGE, UNKNOWN
from callpipeline.web.access.sessions import SessionBook, binding_of, cookie_name
from callpipeline.web.access.signing import Signer
from callpipeline.web.access.tokens import Binding, FormTokens
from callpipeline.web.access.users import Users
from callpipeline.web.access.visitors import Identified, Visitor
from callpipeline.web.places import Places

SESSION = "callpipeline"
STRANGERS_PER_MIN = 300
"""Wrong keys of one address, each of which costs a look into the database."""
WRONG_KEY = "This key is not known here, or does not hold any more."
NOT_OURS = (
    "This address is not one of this machine. Open the app at http://127.0.0.1 with its port; for "
    "others, set CALLPIPELINE_WEB_USERS or CALLPIPELINE_WEB_PROXY_HEADER."
)
THROUGH_PROXY = (
    "Without a login the app is for this machine alone, and this request comes from elsewhere or "
    "through a proxy: set CALLPIPELINE_WEB_USERS or CALLPIPELINE_WEB_PROXY_HEADER."
)


@dataclass(frozen=True, slots=True)
class Door:
    """All that tells who asks. One for a running app, at `app.state.door`."""

    options: Settings
    keys: KeyRing
    sessions: SessionBook
    users: Users
    proxies: Proxies
    tokens: FormTokens
    requests: Allowance
    uploads: Allowance
    failed_logins: Allowance
    wrong_keys: Allowance
    logins: Places

    async def identify(self, request: HTTPConnection) -> Identified:
        """Who asks. Raises HTTPException (401; 429 for many wrong keys)."""
        proxied = self.proxies.name(request)
        key = sent_key(request.headers)
        # A proxy may send on a bearer of its own, which is not meant for us.
        if key is not None and not (
            proxied and "x-api-key" not in request.headers and not self.keys.knows_form(key)
        ):
            return Identified(await self._of_key(request, key))
        if proxied:
            return self._user(proxied, "proxy", Binding(f"proxy {proxied}"))
        if self.users and (found := await self._of_session(request)):
            return found
        if self.options.web_is_open:
            visitor = Visitor("this machine", frozenset(Scope), "loopback", "loopback")
            return Identified(visitor, Binding("loopback"))
        raise HTTPException(401, UNKNOWN, CHALLENGE)

    def check_address(self, request: HTTPConnection) -> None:
        """Where nobody logs in: the request is one of this machine. Raises HTTPException."""
        if not self.options.web_is_open:
            return
        if not addresses.is_of_this_machine(request):
            raise HTTPException(403, THROUGH_PROXY)
        host = request.headers.get("host", "")
        if not addresses.is_for_this_machine(host, self.options.web_url):
            raise HTTPException(421, NOT_OURS)

    def is_https(self, request: HTTPConnection) -> bool:
        """Whether people reach us by https, as far as we are told."""
        own = self.options.web_url or ""
        return own.startswith("https://") or self.proxies.is_https(request)

    def session_cookie(self, request: HTTPConnection) -> str | None:
        return request.cookies.get(cookie_name(SESSION, secure=self.is_https(request)))

    def count(self, identified: Identified, *, is_upload: bool) -> None:
        """Raises HTTPException (429) for a visitor who asks too much. This machine may."""
        visitor = identified.visitor
        if visitor.how != "loopback":
            (self.uploads if is_upload else self.requests).take(visitor.visitor_id)

    async def _of_key(self, request: HTTPConnection, key: str) -> Visitor:
        address = self.proxies.client(request)
        self.wrong_keys.take(address)
        visitor = await self.keys.visitor(key)
        if visitor is None:
            raise HTTPException(401, WRONG_KEY, {"WWW-Authenticate": _refused_bearer()})
        self.wrong_keys.give_back(address)
        return visitor

    async def _of_session(self, request: HTTPConnection) -> Identified | None:
        cookie = self.session_cookie(request)
        name = await self.sessions.user(cookie) if cookie else None
        return self._user(name, "login", binding_of(cookie)) if name and cookie else None

    def _user(self, name: str, how: Literal["login", "proxy"], binding: Binding) -> Identified:
        scopes = self.options.scopes_of(name)
        return Identified(Visitor(name, scopes, how, f"user:{name}"), binding)


def open_door(options: Settings, database: Database) -> Door:
    """The door of an app with these settings; `database` has keys and sessions."""
    own, key = options.api_key, options.web_key
    sessions = Sessions(
        database, lifetime_s=options.web_session_h * 3600, idle_s=options.web_idle_h * 3600
    )
    passwords = {name: each.get_secret_value() for name, each in options.web_users.items()}
    return Door(
        options=options,
        keys=KeyRing(ApiKeys(database), own.get_secret_value() if own else None),
        sessions=SessionBook(sessions, options.web_users),
        users=Users(passwords),
        proxies=Proxies(options.web_trusted_proxies or (), options.web_proxy_header),
        tokens=FormTokens(
            Signer(key.get_secret_value().encode() if key else secrets.token_bytes(32))
        ),
        requests=Allowance(options.web_requests_per_min),
        uploads=Allowance(options.web_uploads_per_min),
        failed_logins=Allowance(options.web_logins_per_min),
        wrong_keys=Allowance(STRANGERS_PER_MIN),
        logins=Places(2, 30, status=429),
    )


def _refused_bearer() -> str:
    return f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'
