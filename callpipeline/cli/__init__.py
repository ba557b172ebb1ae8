"""The command line: each command parses, makes one call, and presents."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from callpipeline.cli import calls, engines, export, keys, look, models, notifications, operate
from callpipeline.cli.demo import demo
from callpipeline.cli.erase import erase
from callpipeline.cli.opening import explained
from callpipeline.cli.retention import retention
from callpipeline.cli.retry import retry
from callpipeline.cli.search import search
from callpipeline.cli.up import up

app = typer.Typer(
    name="callpipeline",
    help="Which competitors are named in recorded calls, by whom, when, and how.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def tell_version(wanted: bool) -> None:
    if wanted:
        print(f"callpipeline {version('callpipeline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=tell_version, is_eager=True),
    ] = False,
) -> None:
    """Which competitors are named in recorded calls, by whom, when, and how."""


COMMANDS: list[Callable[..., None]] = [
    demo,
    up,
    calls.ingest,
    look.status,
    look.show,
    search,
    retry,
    erase,
    retention,
    operate.migrate,
    operate.doctor,
]
for command in COMMANDS:
    app.command()(explained(command))
app.add_typer(export.app)
app.add_typer(notifications.app)
app.add_typer(engines.app)
app.add_typer(models.app)
app.add_typer(keys.app)
