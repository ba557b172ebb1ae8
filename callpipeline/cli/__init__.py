"""The command line: each command parses, makes one call, and presents."""

from collections.abc import Callable

import typer

from callpipeline.cli import calls, operate
from callpipeline.cli.demo import demo
from callpipeline.cli.opening import explained
from callpipeline.cli.up import up

app = typer.Typer(
    name="callpipeline",
    help="Which competitors are named in recorded calls, by whom, when, and how.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

COMMANDS: list[Callable[..., None]] = [
    demo,
    up,
    calls.ingest,
    calls.status,
    calls.show,
    operate.migrate,
    operate.doctor,
]
for command in COMMANDS:
    app.command()(explained(command))
