"""What every command begins with: the settings, the database migrated, the stores opened."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from callpipeline import wiring
from callpipeline.config import settings
from callpipeline.errors import CallpipelineError, SettingsInvalid

console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)

P = ParamSpec("P")
R = TypeVar("R")


def complain(sentence: str) -> None:
    """Tell an error on stderr; brackets and bytes of a path are printed as they can be."""
    printable = sentence.encode(errors="surrogateescape").decode(errors="replace")
    text = f"[red]error:[/red] {escape(printable)}"
    errors.print(text, highlight=False, soft_wrap=True)


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """The command, whose errors end as one sentence on stderr and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CallpipelineError as error:
            complain(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError:
            # Whoever read the output has enough, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            complain(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            complain("Stopped. Nothing is lost: the same command goes on where it ended.")
            raise typer.Exit(130) from interrupt

    return run


@contextmanager
def opened() -> Iterator[wiring.Storage]:
    """The storage, migrated, with Dagster's environment set for this process.

    The embedded database is migrated by itself; one that is set is its owner's to migrate.
    """
    from callpipeline.storage.migrations import migrate, pending

    options = settings()
    with wiring.open_database_url(options) as url:
        present, newest = pending(url)
        if present != newest and options.database_url:
            raise SettingsInvalid(
                f"The database is at schema version {present or 'none'}, callpipeline needs "
                f"{newest}: run `callpipeline migrate`."
            )
        if present != newest:
            migrate(url)
        os.environ.update(wiring.dagster_environment(options, url))
        with wiring.open_storage(options, url) as storage:
            yield storage
