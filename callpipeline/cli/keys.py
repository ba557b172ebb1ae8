"""The command groups keys and users: API keys for programs, and users of the web app."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callpipeline.cli import present
from callpipeline.cli.session import (
    AsJson,
    console,
    current_user,
    errors,
    name_in_audit,
    open_storage_migrated,
    report_errors,
)
from callpipeline.config import settings
from callpipeline.domain.access import ApiKey, ApiKeyRecord, Role, Scope
from callpipeline.errors import KeyRefused, UnknownKey
from callpipeline.wiring.administration import (
    ListedUser,
    UserAdministration,
    create_key,
    key_end,
    revoke_key,
)

app = typer.Typer(
    name="keys",
    help="API keys for programs: create, list, revoke.",
    no_args_is_help=True,
)


def create(
    name: Annotated[str, typer.Argument(help="A name for the key.", metavar="NAME")],
    scope: Annotated[list[Scope], typer.Option(help="Permission; can be repeated.")],
    expires: Annotated[
        str | None, typer.Option(help="Lifetime such as 90d, or a day such as 2027-01-31.")
    ] = None,
) -> None:
    """Create a key and print it once; it is not stored. Programs send it as X-API-KEY."""
    may = ", ".join(sorted(set(scope)))
    name_in_audit(f"{name} {may}")
    with open_storage_migrated() as storage:
        try:
            expires_at = key_end(expires, datetime.now(UTC)) if expires else None
            key = create_key(storage.keys, name, scope, by=current_user(), expires_at=expires_at)
        except KeyRefused as refusal:
            raise typer.BadParameter(str(refusal)) from None
    until = f", until {present.moment(expires_at)}" if expires_at else ""
    errors.print(f"{key.key_id} may {may}{until}. The key is shown only once:", highlight=False)
    print(key.to_text())


def listing(as_json: AsJson = False) -> None:
    """List all keys, including revoked ones, newest first."""
    with open_storage_migrated() as storage:
        keys = storage.keys.all()
    if as_json:
        print(json.dumps([_as_json(key) for key in keys], indent=2))
    elif not keys:
        console.print("No keys yet. Create one with `callpipeline keys create NAME --scope read`.")
    else:
        _print(keys)


def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, its name, or the key itself.")],
) -> None:
    """Revoke a key. It stops working within seconds."""
    with open_storage_migrated() as storage:
        record = _find(storage.keys.all(), key)
        name_in_audit(record.key_id)
        revoke_key(storage.keys, record.key_id, by=current_user())
    console.print(
        f"{record.key_id} ({present.printable(record.name)}) is revoked.", highlight=False
    )


def _find(keys: list[ApiKeyRecord], text: str) -> ApiKeyRecord:
    """Return the key with this id or name. Raises UnknownKey for none or several."""
    whole = ApiKey.parse(text.strip())
    wanted = whole.key_id if whole else text.strip()
    found = [k for k in keys if k.key_id == wanted] or [
        k for k in keys if k.name == wanted and k.revoked_at is None
    ]
    if len(found) > 1:
        raise UnknownKey(
            f"{len(found)} keys have that name: use the id instead (`callpipeline keys list`)."
        )
    if not found:
        raise UnknownKey("Key not found. `callpipeline keys list` shows all keys.")
    return found[0]


def _state(key: ApiKeyRecord, now: datetime) -> str:
    if key.revoked_at:
        return f"revoked {present.moment(key.revoked_at)}"
    return "valid" if key.is_valid(now) else "expired"


def _print(keys: list[ApiKeyRecord]) -> None:
    table = present.grid("key", "name", "scopes", "state", "created", "by", "expires", "last used")
    now = datetime.now(UTC)
    for key in keys:
        table.add_row(
            key.key_id,
            present.printable(key.name),
            ", ".join(key.scopes),
            _state(key, now),
            present.moment(key.created_at),
            present.printable(key.created_by),
            present.moment(key.expires_at) if key.expires_at else "–",
            present.moment(key.last_used_at) if key.last_used_at else "never",
        )
    console.print(table)


def _as_json(key: ApiKeyRecord) -> dict[str, Any]:
    fields = {name: getattr(key, name) for name in ApiKeyRecord.__dataclass_fields__}
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in fields.items()} | {
        "holds": key.is_valid(datetime.now(UTC))
    }


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "list": listing, "revoke": revoke}
for command_name, command in COMMANDS.items():
    app.command(command_name)(report_errors(command))

users = typer.Typer(
    name="users",
    help="Users of the web app: list, add, change role, reset password, disable, remove.",
    no_args_is_help=True,
)
UserName = Annotated[str, typer.Argument(help="The user's name.", metavar="NAME")]
UserRole = Annotated[Role, typer.Option(help="What the user may do.")]


@contextmanager
def _open_users() -> Iterator[UserAdministration]:
    with open_storage_migrated() as storage:
        yield UserAdministration(settings(), storage.users)


def list_users(as_json: AsJson = False) -> None:
    """List users with their roles: those of the settings, and those that are managed here."""
    with _open_users() as administration:
        listed = administration.list()
    if as_json:
        print(json.dumps([_user_as_json(user) for user in listed], indent=2))
    elif not listed:
        console.print("No users yet. Set CALLPIPELINE_WEB_USERS for the first admin.")
    else:
        table = present.grid("user", "role", "state", "managed in", "changed", "by")
        for user in listed:
            known = user.account
            table.add_row(
                present.printable(user.name),
                user.role,
                "enabled" if user.is_enabled else "disabled",
                "the app" if known else "settings",
                present.moment(known.changed_at) if known else "–",
                present.printable(known.changed_by) if known else "–",
            )
        console.print(table)


def add_user(name: UserName, role: UserRole = Role.USER) -> None:
    """Add a user and print the password once; it is not stored."""
    name_in_audit(f"{name} {role}")
    with _open_users() as administration:
        password = administration.add(name, role, by=current_user())
    errors.print(
        f"{present.printable(name)} is added as {role}. The password is shown only once:",
        highlight=False,
    )
    print(password)


def set_role(name: UserName, role: UserRole) -> None:
    """Change the role of a user. The last admin stays one."""
    name_in_audit(f"{name} {role}")
    with _open_users() as administration:
        administration.change(name, role=role, by=current_user())
    console.print(f"{present.printable(name)} is {role} now.", highlight=False)


def reset_password(name: UserName) -> None:
    """Give a user a new password and print it once; open sessions of the user end."""
    name_in_audit(name)
    with _open_users() as administration:
        password = administration.reset_password(name, by=current_user())
    errors.print("The new password is shown only once:", highlight=False)
    print(password)


def disable(name: UserName) -> None:
    """Disable a user: the name can't be used to log in, and open sessions end."""
    name_in_audit(name)
    with _open_users() as administration:
        administration.change(name, is_enabled=False, by=current_user())
    console.print(f"{present.printable(name)} is disabled.", highlight=False)


def enable(name: UserName) -> None:
    """Enable a disabled user."""
    name_in_audit(name)
    with _open_users() as administration:
        administration.change(name, is_enabled=True, by=current_user())
    console.print(f"{present.printable(name)} is enabled.", highlight=False)


def remove(name: UserName) -> None:
    """Remove a user. What the user did stays in the audit log."""
    name_in_audit(name)
    with _open_users() as administration:
        administration.remove(name)
    console.print(f"{present.printable(name)} is removed.", highlight=False)


def _user_as_json(user: ListedUser) -> dict[str, Any]:
    managed = "app" if user.account else "settings"
    state = {"is_enabled": user.is_enabled, "managed_in": managed}
    return {"name": user.name, "role": user.role} | state


USER_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_users,
    "add": add_user,
    "role": set_role,
    "password": reset_password,
    "disable": disable,
    "enable": enable,
    "remove": remove,
}
for command_name, command in USER_COMMANDS.items():
    users.command(command_name)(report_errors(command))
