"""Shared by the commands: options, the console, error reports, and the storage they open."""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from callpipeline import wiring
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState
from callpipeline.errors import CallpipelineError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENT_HELP = (
    "2h, 3d, 2026-11-23, or a time such as 2026-11-23T14:30 (in this machine's time zone unless it "
    "names one)."
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
        return datetime.fromisoformat(text.strip()).astimezone()
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
        try:
            return command(*args, **kwargs)
        except CallpipelineError as error:
            print_error(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError:
            # The reader closed the pipe, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            print_error(f"{error.filename or 'A file'} can't be used: {error.strerror}.")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            print_error("Stopped. Nothing is lost: run the same command to continue.")
            raise typer.Exit(130) from interrupt

    return run


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
        with wiring.open_storage(options, url) as storage:
            yield storage
