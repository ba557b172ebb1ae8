"""The command line: each command parses its arguments, calls the pipeline and prints."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from callpipeline.cli import catalog, engines, evaluate, keys, models, notifications, suggestions
from callpipeline.cli.calls import results
from callpipeline.cli.calls.processing import ingest, retry
from callpipeline.cli.calls.redaction import redact
from callpipeline.cli.calls.results import search
from callpipeline.cli.calls.status import show, status
from callpipeline.cli.doctor.examination import doctor
from callpipeline.cli.installation.backup import backup, restore
from callpipeline.cli.installation.demo import demo
from callpipeline.cli.installation.legacy import import_legacy
from callpipeline.cli.installation.servers import (
    code_server,
    daemon,
    env,
    execute,
    health,
    ui,
    web,
    worker,
)
from callpipeline.cli.installation.up import up
from callpipeline.cli.maintenance import erase, migrate, retention
from callpipeline.cli.rematching import recompute
from callpipeline.cli.session import report_errors
from callpipeline.storage.objects.files import keep_files_private

app = typer.Typer(
    name="callpipeline",
    help="Find competitor mentions and their sentiment in recorded calls.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"callpipeline {version('callpipeline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Find competitor mentions and their sentiment in recorded calls."""
    keep_files_private()


COMMANDS: list[Callable[..., None]] = [
    demo,
    up,
    ingest,
    status,
    show,
    search,
    retry,
    recompute,
    redact,
    erase,
    retention,
    migrate,
    code_server,
    daemon,
    ui,
    web,
    worker,
    health,
    env,
    backup,
    restore,
    doctor,
    import_legacy,
]
for command in COMMANDS:
    app.command()(report_errors(command))
# Its arguments are those of Dagster's command.
as_they_are = {"ignore_unknown_options": True, "allow_interspersed_args": False}
app.command(hidden=True, context_settings=as_they_are)(report_errors(execute))
for command in suggestions.COMMANDS:
    catalog.app.command()(report_errors(command))
app.add_typer(results.app)
app.add_typer(notifications.app)
app.add_typer(engines.app)
app.add_typer(models.app)
app.add_typer(keys.app)
app.add_typer(keys.users)
app.add_typer(evaluate.app)
app.add_typer(catalog.app)
