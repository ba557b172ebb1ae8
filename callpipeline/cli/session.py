"""Shared by the commands: options, console, error reports, audit log, and the storage they open."""

import functools
import getpass
import os
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape

from callpipeline import wiring
from callpipeline.config import settings
from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.domain.calls.call import CallState
from callpipeline.errors import CallpipelineError
from callpipeline.storage.access import AuditSpool

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENT_HELP = (
    "2h, 3d, 2026-11-23, or a time such as 2026-11-23T14:30 (in CALLPIPELINE_TIMEZONE, or "
    "this machine's time zone, unless it names one)."
)

console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)

P = ParamSpec("P")
R = TypeVar("R")


def parse_moment(text: str, now: datetime, option: str = "--since") -> datetime:
    """Parse a duration before `now`, a day or a time. Raises BadParameter."""
    try:
        if ago := re.fullmatch(r"(\d+)\s*([smhdw])", text.strip().lower()):
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment, zone = datetime.fromisoformat(text.strip()), settings().timezone
        if moment.tzinfo is None and zone:
            return moment.replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text} is not a time: use 30m, 2h, 3d, 2026-11-23 or 2026-11-23T14:30.",
            param_hint=option,
        ) from None


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def parse_state(text: str) -> CallState:
    """Parse a call state in any case. Raises BadParameter."""
    try:
        return CallState(text.upper())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(CallState)}.") from None


def print_error(sentence: str) -> None:
    """Print an error to stderr; undecodable bytes of a path are replaced."""
    printable = sentence.encode(errors="surrogateescape").decode(errors="replace")
    text = f"[red]error:[/red] {escape(printable)}"
    errors.print(text, highlight=False, soft_wrap=True)


def print_note(sentence: str) -> None:
    """Print to stderr what needs attention without being an error."""
    errors.print(f"[yellow]note:[/yellow] {escape(sentence)}", highlight=False, soft_wrap=True)


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that an error becomes one sentence on stderr and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _entries.set(tuple(_audit_entries(command, kwargs)))
        try:
            return command(*args, **kwargs)
        except CallpipelineError as error:
            _record_stopped()
            print_error(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError:
            # The reader closed the pipe, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            _record_stopped()
            print_error(f"{error.filename or 'A file'} can't be used: {error.strerror}.")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            _record_stopped()
            print_error("Stopped. Nothing is lost: run the same command to continue.")
            raise typer.Exit(130) from interrupt
        finally:
            _entries.reset(token)

    return run


A = AuditAction
AUDITED: Mapping[str, tuple[str, AuditAction]] = {
    "installation.backup.backup": ("backup", A.EXPORTED),
    "suggestions.accept": ("catalog accept", A.CHANGED),
    "catalog.apply": ("catalog apply", A.CHANGED),
    "catalog.cancel": ("catalog cancel", A.OPERATED),
    "suggestions.refuse": ("catalog refuse", A.CHANGED),
    "catalog.resume": ("catalog resume", A.OPERATED),
    "catalog.revert": ("catalog revert", A.CHANGED),
    "maintenance.erase": ("erase", A.ERASED),
    "evaluate.mentions.labels": ("evaluate labels", A.EXPORTED),
    "calls.results.call": ("export call", A.EXPORTED),
    "calls.results.calls": ("export calls", A.EXPORTED),
    "calls.results.mentions": ("export mentions", A.EXPORTED),
    "calls.results.segments": ("export segments", A.EXPORTED),
    "installation.legacy.import_legacy": ("import-legacy", A.UPLOADED),
    "calls.processing.ingest": ("ingest", A.UPLOADED),
    "keys.create": ("keys create", A.CHANGED),
    "keys.revoke": ("keys revoke", A.CHANGED),
    "keys.add_user": ("users add", A.CHANGED),
    "keys.disable": ("users disable", A.CHANGED),
    "keys.enable": ("users enable", A.CHANGED),
    "keys.remove": ("users remove", A.CHANGED),
    "keys.reset_password": ("users password", A.CHANGED),
    "keys.set_role": ("users role", A.CHANGED),
    "notifications.check_channels": ("notifications test", A.OPERATED),
    "notifications.resend": ("notifications resend", A.OPERATED),
    "notifications.send": ("notifications send", A.OPERATED),
    "rematching.recompute": ("recompute", A.OPERATED),
    "installation.backup.restore": ("restore", A.CHANGED),
    "maintenance.retention": ("retention --now", A.ERASED),
    "calls.redaction.redact": ("redact", A.ERASED),
    "calls.processing.retry": ("retry", A.OPERATED),
    "calls.results.search": ("search", A.READ),
    "calls.status.show": ("show", A.READ),
    "calls.status.status": ("status", A.READ),
}
"""Commands in the audit log, by their functions."""
MAX_NAMED_CHARS = 120
_CALL = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}")
_entries: ContextVar[tuple[AuditEntry, ...]] = ContextVar("audit entries", default=())


def current_user() -> str:
    """Return the user and machine that run the command."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user} on {socket.gethostname()}"


def _audit_entries(
    command: Callable[..., object], parameters: Mapping[str, object]
) -> Iterator[AuditEntry]:
    """Yield an entry for each call that a command names, or a single one; none for a preview."""
    function = f"{command.__module__}.{command.__name__}".removeprefix("callpipeline.cli.")
    is_preview = parameters.get("dry_run") or parameters.get("now") is False
    if function not in AUDITED or is_preview:
        return
    name, action = AUDITED[function]
    # Where the user logged in from by SSH; on the machine itself, there is no address.
    address = os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or None
    what = f"callpipeline {name}"
    for target in _calls_in(parameters) or [None]:
        yield AuditEntry(action, current_user(), "command", address, what, target)


def _calls_in(parameters: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for value in parameters.values():
        texts = value if isinstance(value, list | tuple) else [value]
        found += [text for text in texts if isinstance(text, str) and _CALL.fullmatch(text)]
    return found


def name_calls(call_ids: Iterable[str]) -> None:
    """Name the calls that the running command has found, each with an entry in the audit log."""
    if entries := _entries.get():
        _entries.set(tuple(_naming(entries[0], each) for each in call_ids) or entries)


def name_in_audit(text: str) -> None:
    """Add to the audit log whom or what the running command changes, and how."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)[:MAX_NAMED_CHARS]
    _entries.set(tuple(replace(each, what=f"{each.what} {plain}") for each in _entries.get()))


def _naming(entry: AuditEntry, call_id: str) -> AuditEntry:
    return replace(entry, target=call_id, entry_id=str(uuid.uuid4()))


@contextmanager
def recorded(storage: wiring.Storage) -> Iterator[None]:
    """Add the running command to the audit log when it ends, whether it succeeds or not.

    Without the database, the entry waits in a file for the next command or the web app.
    """
    ending = " (stopped)"
    try:
        yield
        ending = ""
    finally:
        spool = AuditSpool(settings().home / "audit")
        _append(spool, ending)
        with suppress(CallpipelineError):
            spool.drain(storage.audit.add)


def apply_time_zone(storage: wiring.Storage, name: str) -> None:
    """Count days in this time zone, and say so if it is another. Raises SettingsInvalid."""
    if storage.day_zone.set(name):
        print_note(f"Days are counted in {name} from now on; the daily marts follow.")


def _append(spool: AuditSpool, ending: str) -> None:
    now = datetime.now(UTC)
    spool.append(*(replace(e, what=e.what + ending, at=now) for e in _entries.get()))
    _entries.set(())


def _record_stopped() -> None:
    """Record a command that ended before its storage was open, such as a refused restore.

    The entry waits in a file for the next command or the web app; without a data folder, there is
    nothing that the command could have been about.
    """
    with suppress(CallpipelineError):
        home = settings().home
        if _entries.get() and home.is_dir():
            _append(AuditSpool(home / "audit"), " (stopped)")


@contextmanager
def open_storage_migrated() -> Iterator[wiring.Storage]:
    """Open the storage, and set Dagster's environment for this process.

    The embedded database is migrated automatically. Raises SettingsInvalid if a configured
    database is not at the newest schema.
    """
    from callpipeline.storage.postgres.migrations import check_schema, examine, migrate

    options = settings()
    with wiring.open_database_url(options) as url:
        if options.database_url:
            check_schema(url)
        elif not examine(url).works:
            migrate(url)
        wiring.enter_dagster_environment(options, url)
        with wiring.open_storage(options, url) as storage, recorded(storage):
            yield storage
