"""The command group keys: API keys for programs."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callpipeline.cli import present
from callpipeline.cli.session import (
    AsJson,
    console,
    current_user,
    errors,
    open_storage_migrated,
    parse_moment,
    report_errors,
)
from callpipeline.domain.access import ApiKey, ApiKeyRecord, Scope
from callpipeline.errors import UnknownKey
from callpipeline.storage.access import ApiKeys

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
    plain = name.strip()
    if not plain or len(plain) > 100 or not plain.isprintable():
        raise typer.BadParameter("use 1 to 100 characters", param_hint="NAME")
    expires_at = _end(expires, datetime.now(UTC)) if expires else None
    key = ApiKey.generate()
    with open_storage_migrated() as storage:
        ApiKeys(storage.database).add(key, plain, scope, by=current_user(), expires_at=expires_at)
    until = f", until {present.moment(expires_at)}" if expires_at else ""
    may = ", ".join(sorted(set(scope)))
    errors.print(f"{key.key_id} may {may}{until}. The key is shown only once:", highlight=False)
    print(key.to_text())


def listing(as_json: AsJson = False) -> None:
    """List all keys, including revoked ones, newest first."""
    with open_storage_migrated() as storage:
        keys = ApiKeys(storage.database).all()
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
        keys = ApiKeys(storage.database)
        record = _find(keys.all(), key)
        keys.revoke(record.key_id, by=current_user())
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


def _end(text: str, now: datetime) -> datetime:
    """Return the expiry time for a lifetime or a time in the future. Raises BadParameter."""
    is_span = re.fullmatch(r"\d+\s*[smhdw]", text.strip().lower())
    at = parse_moment(text, now, "--expires")
    end = now + (now - at) if is_span else at
    if end <= now:
        raise typer.BadParameter(f"{text} is in the past", param_hint="--expires")
    return end


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
