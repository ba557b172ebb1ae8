"""Users of the web app who are managed in it: table `web_users`."""

from collections.abc import Callable
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.access import Role, UserAccount
from callpipeline.errors import LastAdmin, UnknownUser, UserRefused
from callpipeline.storage.calls.saved_views import leave_views
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query

LAST_ADMIN = "This is the last admin. Make another user an admin first."


class UserAccounts:
    """Users with their roles and hashes of passwords. Changes are made one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[UserAccount]:
        """Return every user by name, disabled ones too."""
        return [_account(row) for row in self._database.rows("users/list")]

    def find(self, name: str) -> tuple[UserAccount, str] | None:
        """Return a user, even a disabled one, and the hash of the password."""
        rows = self._database.rows("users/find", {"name": name})
        return (_account(rows[0]), rows[0]["password_hash"]) if rows else None

    def add(self, name: str, role: Role, password_hash: str, *, by: str) -> None:
        """Add a user. Raises UserRefused if the name is taken."""
        row = {"name": name, "role": role, "password_hash": password_hash, "by": by}
        if not self._database.rows("users/add", row):
            raise UserRefused(f"There is a user {name} already.")

    def change(
        self,
        name: str,
        *,
        by: str,
        role: Role | None = None,
        password_hash: str | None = None,
        is_enabled: bool | None = None,
        other_admins: bool = False,
    ) -> None:
        """Change what is given, and end the user's sessions if it is the password or the state.

        `other_admins` is true if the settings name an admin. Raises UnknownUser, and LastAdmin if
        no admin would be left.
        """
        changed = {"name": name, "role": role, "password_hash": password_hash, "by": by}

        def apply(connection: Connection[DictRow]) -> None:
            _execute(connection, "change", changed | {"is_enabled": is_enabled}, name)
            if password_hash or is_enabled is False:
                connection.execute(query("users/end_sessions"), changed)

        self._keeping_an_admin(apply, other_admins=other_admins)

    def remove(self, name: str, *, other_admins: bool = False) -> None:
        """Delete a user with sessions and private views. Raises UnknownUser, LastAdmin."""

        def apply(connection: Connection[DictRow]) -> None:
            _execute(connection, "remove", {"name": name}, name)
            connection.execute(query("users/end_sessions"), {"name": name})
            leave_views(connection, f"user:{name}")

        self._keeping_an_admin(apply, other_admins=other_admins)

    def _keeping_an_admin(
        self, apply: Callable[[Connection[DictRow]], None], *, other_admins: bool
    ) -> None:
        """Apply a change; undo it and raise LastAdmin if it leaves no admin."""
        with self._database.transaction() as connection:
            connection.execute(query("users/lock"))
            had = connection.execute(query("users/admins")).fetchone()
            apply(connection)
            has = connection.execute(query("users/admins")).fetchone()
            if had and not has and not other_admins:
                raise LastAdmin(LAST_ADMIN)


def _execute(
    connection: Connection[DictRow], statement: str, parameters: dict[str, Any], name: str
) -> None:
    if connection.execute(query(f"users/{statement}"), parameters).fetchone() is None:
        raise UnknownUser(f"There is no user {name} whom this app manages.")


def _account(row: Row) -> UserAccount:
    values: Row = {**row, "role": Role(row["role"])}
    values.pop("password_hash", None)
    return UserAccount(**values)
