"""Administration of users, API keys and erasure: the rules that pages, API and commands share."""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from callpipeline.config import Settings
from callpipeline.domain.access import (
    ApiKey,
    ApiKeyRecord,
    Role,
    Scope,
    UserAccount,
    hash_password,
)
from callpipeline.domain.calls.call import CallState
from callpipeline.errors import KeyRefused, UnknownKey, UnknownUser, UserRefused
from callpipeline.storage.access import ApiKeys, UserAccounts
from callpipeline.storage.erasure import ErasureCandidate
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.wiring import Storage

MAX_NAME_CHARS = 100
LIFETIME = re.compile(r"(\d{1,6})\s*([smhdw])")
LIFETIME_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
NO_LOGIN = (
    "Without a login, everyone on this machine is an admin. Set CALLPIPELINE_WEB_USERS for the "
    "first admin, or CALLPIPELINE_WEB_PROXY_HEADER, then add users here."
)


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user with the role; `account` is None for one of the settings, who isn't changed here."""

    name: str
    role: Role
    account: UserAccount | None = None

    @property
    def is_enabled(self) -> bool:
        return self.account is None or self.account.is_enabled


@dataclass(frozen=True, slots=True)
class UserAdministration:
    """Users of the settings, and those in the database, who are added and changed."""

    options: Settings
    accounts: UserAccounts

    def list(self) -> list[ListedUser]:
        """Return the users of the settings, then those of the database, each by name."""
        named = sorted(self._named())
        managed = [
            ListedUser(each.user_name, each.role, each)
            for each in self.accounts.all()
            if each.user_name not in named
        ]
        return [ListedUser(name, self._role(name)) for name in named] + managed

    def add(self, name: str, role: Role, *, by: str) -> str:
        """Add a user; return the generated password, which is not stored. Raises UserRefused."""
        if self.options.web_is_open:
            raise UserRefused(NO_LOGIN)
        plain = name.strip()
        if not is_user_name(plain):
            raise UserRefused(
                f"A user name has 1 to {MAX_NAME_CHARS} printable characters, and no comma."
            )
        self._check_managed(plain)
        password = _new_password()
        self.accounts.add(plain, role, hash_password(password), by=by)
        return password

    def change(
        self, name: str, *, by: str, role: Role | None = None, is_enabled: bool | None = None
    ) -> None:
        """Change role and state together; None keeps it. Disabling ends the user's sessions.

        It applies within seconds. Raises UserRefused, UnknownUser, and LastAdmin before anything
        is changed.
        """
        self._check_managed(name)
        self.accounts.change(
            name, by=by, role=role, is_enabled=is_enabled, other_admins=self._has_admin
        )

    def reset_password(self, name: str, *, by: str) -> str:
        """Generate a new password and return it; it ends the user's sessions."""
        self._check_managed(name)
        password = _new_password()
        self.accounts.change(name, by=by, password_hash=hash_password(password))
        return password

    def remove(self, name: str) -> None:
        """Delete a user and the user's sessions; what the user did stays in the audit log."""
        self._check_managed(name)
        self.accounts.remove(name, other_admins=self._has_admin)

    @property
    def _has_admin(self) -> bool:
        return any(self._role(name) is Role.ADMIN for name in self._named())

    def _named(self) -> set[str]:
        """Return the users whom the settings name."""
        lists = (self.options.web_users, self.options.web_admins, self.options.web_readers)
        return {name for names in lists for name in names or ()}

    def _role(self, name: str) -> Role:
        scopes = self.options.scopes_of(name)
        return next(role for role in Role if role.scopes == scopes)

    def _check_managed(self, name: str) -> None:
        if not is_user_name(name):
            raise UnknownUser("There is no user of that name.")
        if name in self._named():
            raise UserRefused(f"{name} is a user of the settings: change CALLPIPELINE_WEB_USERS.")


def is_user_name(text: str) -> bool:
    """Return true for a name that a user can have: one line, and no comma, as in the settings."""
    has_length = 1 <= len(text) <= MAX_NAME_CHARS
    return has_length and text.isprintable() and text == text.strip() and "," not in text


def _new_password() -> str:
    return secrets.token_urlsafe(15)


def create_key(
    keys: ApiKeys,
    name: str,
    scopes: Collection[Scope],
    *,
    by: str,
    expires_at: datetime | None = None,
) -> ApiKey:
    """Create a key, which is shown once and not stored. Raises KeyRefused."""
    plain = name.strip()
    if not plain or len(plain) > MAX_NAME_CHARS or not plain.isprintable():
        raise KeyRefused(f"The name of a key has 1 to {MAX_NAME_CHARS} printable characters.")
    if not scopes:
        raise KeyRefused("Choose what the key may do.")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise KeyRefused("The end of the key is in the past.")
    key = ApiKey.generate()
    keys.add(key, plain, scopes, by=by, expires_at=expires_at)
    return key


def key_end(text: str, now: datetime) -> datetime:
    """Return the end of a key, for a lifetime such as 90d or a day. Raises KeyRefused."""
    try:
        if lifetime := LIFETIME.fullmatch(text.strip().lower()):
            return now + timedelta(seconds=int(lifetime[1]) * LIFETIME_S[lifetime[2]])
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        reason = f"{text} is no lifetime such as 90d, and no day such as 2027-01-31."
        raise KeyRefused(reason) from None


def revoke_key(keys: ApiKeys, key_id: str, *, by: str) -> ApiKeyRecord:
    """Revoke a key; it stops working within seconds. Raises UnknownKey."""
    found = keys.find(sanitize_text(key_id))
    if found is None:
        raise UnknownKey("Key not found. It may be of another installation.")
    keys.revoke(found[0].key_id, by=by)
    return found[0]


def find_erasable(
    storage: Storage, calls: Collection[str], *, customer: str | None = None
) -> tuple[list[ErasureCandidate], list[str]]:
    """Return the calls to erase by id, its beginning or file name, or all of a customer.

    With them come all calls of the same content. Also returns the ids that are erased already.
    Raises UnknownCall.
    """
    named = [storage.ledger.find(call) for call in calls]
    begun = [record.call_id for record in named if record.state is CallState.ERASED]
    return storage.erasures.candidates([r.call_id for r in named], customer=customer), begun
