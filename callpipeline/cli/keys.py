"""The commands below `keys`: what lets programs in to the web app's API."""

import getpass
import json
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import console, errors, explained, opened
from callpipeline.cli.times import moment_of
from callpipeline.domain.access import ApiKey, KeyRecord, Scope
from callpipeline.errors import UnknownKey
from callpipeline.storage.api_keys import ApiKeys

app = typer.Typer(
    name="keys",
    help="Keys for programs that use the web app's API.",
    no_args_is_help=True,
)


def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, for people.", metavar="NAME")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do: several times for several.")],
    expires: Annotated[
        str | None, typer.Option(help="After so long, as 90d, or on a day, as 2027-01-31.")
    ] = None,
) -> None:
    """Make a key and print it, once: it is kept nowhere. Programs send it as X-API-KEY."""
    plain = name.strip()
    if not plain or len(plain) > 100 or not plain.isprintable():
        raise typer.BadParameter("a name has 1 to 100 characters", param_hint="NAME")
    expires_at = _end(expires, datetime.now(UTC)) if expires else None
    key = ApiKey.made()
    with opened() as storage:
        ApiKeys(storage.database).add(key, plain, scope, by=_whoever(), expires_at=expires_at)
    until = f", until {present.moment(expires_at)}" if expires_at else ""
    may = ", ".join(sorted(set(scope)))
    errors.print(f"{key.key_id} may {may}{until}. This is shown once:", highlight=False)
    print(key.written())


def listing(as_json: AsJson = False) -> None:
    """The keys there are, revoked ones too, the newest first."""
    with opened() as storage:
        keys = ApiKeys(storage.database).all()
    if as_json:
        print(json.dumps([_as_json(key) for key in keys], indent=2))
    elif not keys:
        console.print("There is no key yet: `callpipeline keys create NAME --scope read`.")
    else:
        _print(keys)


def revoke(
    key: Annotated[str, typer.Argument(help="Its id, its name, or the key itself.")],
) -> None:
    """Let a key in no more, within seconds and for ever."""
    with opened() as storage:
        kept = ApiKeys(storage.database)
        [meant] = _meant(kept.all(), key)
        kept.revoke(meant.key_id, by=_whoever())
    told = present.printable(meant.name)
    console.print(f"{meant.key_id} ({told}) opens nothing any more.", highlight=False)


def _meant(keys: list[KeyRecord], text: str) -> list[KeyRecord]:
    """The one key. Raises UnknownKey for none and for several; it repeats no secret."""
    whole = ApiKey.read(text.strip())
    wanted = whole.key_id if whole else text.strip()
    found = [k for k in keys if k.key_id == wanted] or [
        k for k in keys if k.name == wanted and k.revoked_at is None
    ]
    if len(found) > 1:
        raise UnknownKey(f"{len(found)} keys have that name: say which by its id (`keys list`).")
    if not found:
        raise UnknownKey("There is no such key: `callpipeline keys list` has them all.")
    return found


def _end(text: str, now: datetime) -> datetime:
    """When a key is over: after a span, or at a time to come."""
    is_span = re.fullmatch(r"\d+\s*[smhdw]", text.strip().lower())
    at = moment_of(text, now, "--expires")
    end = now + (now - at) if is_span else at
    if end <= now:
        raise typer.BadParameter(f"{text} is over already", param_hint="--expires")
    return end


def _whoever() -> str:
    """Who runs the command, as far as this machine knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user} on {socket.gethostname()}"


def _state(key: KeyRecord, now: datetime) -> str:
    if key.revoked_at:
        return f"revoked {present.moment(key.revoked_at)}"
    return "holds" if key.holds(now) else "over"


def _print(keys: list[KeyRecord]) -> None:
    table = present.grid("key", "name", "may", "state", "made", "by", "until", "last used")
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


def _as_json(key: KeyRecord) -> dict[str, Any]:
    kept = {name: getattr(key, name) for name in KeyRecord.__dataclass_fields__}
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in kept.items()} | {
        "holds": key.holds(datetime.now(UTC))
    }


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "list": listing, "revoke": revoke}
for command_name, command in COMMANDS.items():
    app.command(command_name)(explained(command))
