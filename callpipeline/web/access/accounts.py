"""The users who may log in or whom a proxy names, with their scopes."""

import asyncio
from dataclasses import dataclass

from cachetools import TTLCache

from callpipeline.config import Settings
from callpipeline.domain.access import Scope
from callpipeline.storage.access import UserAccounts
from callpipeline.wiring.administration import is_user_name

CACHE_TTL_S = 3.0
"""A changed role applies after up to this long, and so does a disabled user."""
CACHE_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class Account:
    """A user; `secret` is the password or its hash, None for users whom a proxy logs in.

    `password_hash` is None for users of the settings, whose passwords the app knows already.
    """

    scopes: frozenset[Scope]
    secret: str | None = None
    password_hash: str | None = None
    is_enabled: bool = True


AccountCache = TTLCache[str, Account | None]


class Accounts:
    """Users of the settings, and those of the database, cached for a few seconds.

    The cache has no lock: it is used on the event loop only.
    """

    def __init__(
        self, options: Settings, stored: UserAccounts, *, cache: AccountCache | None = None
    ) -> None:
        self._options = options
        self._stored = stored
        self._cache = AccountCache(CACHE_SIZE, CACHE_TTL_S) if cache is None else cache

    async def find(self, name: str, *, is_fresh: bool = False) -> Account | None:
        """Return the user with this name, also a disabled one. Raises DatabaseUnavailable.

        The settings come first. With a proxy, every name it sends is a user. A login asks for a
        fresh answer, so that a password that was just reset is the one that counts.
        """
        options = self._options
        if name in options.web_users:
            return Account(options.scopes_of(name), options.web_users[name].get_secret_value())
        if name in (options.web_admins or ()) or name in (options.web_readers or ()):
            return Account(options.scopes_of(name))
        if not is_user_name(name):
            return self._unknown(name)
        if name in self._cache and not is_fresh:
            return self._cache[name]
        account = self._cache[name] = await asyncio.to_thread(self._read, name)
        return account

    def forget(self) -> None:
        """Read users again, after one was changed."""
        self._cache.clear()

    def _read(self, name: str) -> Account | None:
        found = self._stored.find(name)
        if found is None:
            return self._unknown(name)
        user, password_hash = found
        return Account(user.role.scopes, password_hash, password_hash, user.is_enabled)

    def _unknown(self, name: str) -> Account | None:
        return Account(self._options.scopes_of(name)) if self._options.web_proxy_header else None
