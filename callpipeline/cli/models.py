"""The commands below `models`: the Whisper models on this machine, and how they get here."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import console, explained
from callpipeline.config import settings

app = typer.Typer(
    name="models",
    help="Models for the recogniser faster-whisper: fetch one, list those that are here.",
    no_args_is_help=True,
)


def pull(
    name: Annotated[
        str, typer.Argument(help="tiny, base, small, … or an id of the hub, like owner/name.")
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Copy this folder instead of fetching.", metavar="FOLDER"),
    ] = None,
) -> None:
    """Fetch a Whisper model for CTranslate2 from the hub of Hugging Face into the data folder.

    It is used from the next run on, unless CALLPIPELINE_WHISPER_MODEL names another one. Nothing
    is ever fetched by a run. HF_ENDPOINT names a mirror, HF_TOKEN a token for closed models.
    """
    shelf = wiring.model_shelf(settings())
    folder = shelf.copy(name, source) if source else shelf.pull(name)
    console.print(f"The model {name} is in {folder}.", highlight=False, soft_wrap=True)
    chosen = wiring.choose_recogniser(settings())
    console.print(f"Calls are heard by {chosen.name}: {chosen.why}.", highlight=False)


def listing(as_json: AsJson = False) -> None:
    """The models that are here, the one pulled last first."""
    models = wiring.model_shelf(settings()).models()
    if as_json:
        told = [model._asdict() | {"folder": str(model.folder)} for model in models]
        print(json.dumps(told, indent=2))
        return
    if not models:
        console.print("There is no model yet: `callpipeline models pull small` fetches one.")
        return
    table = present.grid("model", "size", "since")
    for model in models:
        since = datetime.fromtimestamp(model.since, UTC).strftime("%Y-%m-%d")
        table.add_row(
            present.printable(model.name), f"{model.size_bytes / 1024**2:,.0f} MiB", since
        )
    console.print(table)


COMMANDS: dict[str, Callable[..., None]] = {"pull": pull, "list": listing}
for command_name, command in COMMANDS.items():
    app.command(command_name)(explained(command))
