"""The command group catalog: check, compare, preview, apply and undo competitor lists."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from callpipeline.cli.installation.services import Services, is_operated
from callpipeline.cli.keys import current_user
from callpipeline.cli.present import escape, grid, moment
from callpipeline.cli.session import (
    AsJson,
    console,
    errors,
    open_storage_migrated,
    print_note,
    report_errors,
)
from callpipeline.config import settings
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.catalog_diff import diff_catalogs
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.errors import CatalogInvalid, EngineUnavailable
from callpipeline.pipeline.rematch.planning import LONGEST_START_S
from callpipeline.pipeline.rematch.previews import CatalogPreview, CompetitorEffect, Previewer
from callpipeline.storage.catalog.files import ParsedCatalog, catalog_to_yaml, read_catalog
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import (
    CatalogChange,
    ChangeOrigin,
    ResultVersions,
    Staleness,
)
from callpipeline.wiring import Storage, company_slots, load_catalog

app = typer.Typer(
    name="catalog",
    help="The competitor list: check, preview and apply changes, and undo them.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A list: .yaml, .txt or .csv.")]
Target = Annotated[
    str, typer.Argument(metavar="FILE|VERSION", help="A file, or a version of `catalog log`.")
]
Note = Annotated[str, typer.Option("--note", help="A reason, shown in the history.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the calls.")]


def check(file: File, as_json: AsJson = False) -> None:
    """Check a competitor list without using it: its problems, or its names with remarks.

    Exits with 1 if it would be refused.
    """
    parsed = read_catalog(file)
    if as_json:
        found = {"version": parsed.catalog.version, "warnings": parsed.warnings}
        print(json.dumps(found | {"competitors": len(parsed.catalog.competitors)}, indent=2))
        return
    console.print(
        f"{len(parsed.catalog.competitors)} competitors, version {parsed.catalog.version}",
        highlight=False,
    )
    _print_warnings(parsed)


def diff(target: Target, other: Annotated[str | None, typer.Argument()] = None) -> None:
    """Show how a file or version differs from the list in force, or from another one."""
    with open_storage_migrated() as storage:
        first = _catalog(storage, target)
        second = _catalog(storage, other) if other else load_catalog(settings(), storage.catalogs)
        before, after = (first, second) if other else (second, first)
    changes = [change.describe() for change in diff_catalogs(before, after)]
    for line in changes or ["No difference."]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def preview(target: Target, as_json: AsJson = False) -> None:
    """Show what a file or version would change in all completed calls. Changes nothing."""
    with open_storage_migrated() as storage:
        load_catalog(settings(), storage.catalogs)
        catalog = _catalog(storage, target)
        previewer = Previewer(storage.rematches, storage.rematches, company_slots())
        with progress_of_calls("reading calls") as (progress, task):

            def on_call(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            result = previewer.preview(catalog, on_call=on_call)
    if as_json:
        print(json.dumps(result.as_jsonable(), indent=2))
    else:
        for part in _preview_lines(result):
            console.print(part, highlight=False, soft_wrap=not isinstance(part, Table))


def apply(file: File, note: Note = "", no_wait: NoWait = False) -> None:
    """Put a list in force, and rematch the completed calls that it can change."""
    with open_storage_migrated() as storage:
        change = NewChange(ChangeOrigin.COMMAND, current_user(), note)
        before = storage.catalogs.current()
        _print_warnings(read_catalog(file))
        made = storage.catalogs.take_file(_path(file), change)
        report_change(storage, before, made, wait=not no_wait)


def revert(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As in `catalog log`.")],
    note: Note = "",
    no_wait: NoWait = False,
) -> None:
    """Put an earlier version in force again: results become what they were under it."""
    with open_storage_migrated() as storage:
        before = storage.catalogs.current()
        change = NewChange(ChangeOrigin.REVERT, current_user(), note)
        made = storage.catalogs.revert(version, change)
        report_change(storage, before, made, wait=not no_wait)


def log(as_json: AsJson = False) -> None:
    """List the changes of the competitor list, newest first."""
    with open_storage_migrated() as storage:
        history = storage.catalogs.history()
    if as_json:
        rows = [asdict(each) | {"made_at": each.made_at.isoformat()} for each in history]
        print(json.dumps(rows, indent=2))
        return
    table = grid("", "version", "when", "by", "from", "note")
    for each in history:
        by = escape(each.made_by or "")
        when = moment(each.made_at)
        table.add_row(str(each.change_id), each.version, when, by, each.origin, escape(each.note))
    console.print(table)


def show(
    version: Annotated[str | None, typer.Argument(metavar="VERSION")] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print it as a YAML file.")] = False,
) -> None:
    """Show the list in force or a version, and how many calls are on an older list."""
    with open_storage_migrated() as storage:
        in_force = load_catalog(settings(), storage.catalogs)
        catalog = _catalog(storage, version) if version else in_force
        staleness = _staleness(storage, in_force)
        rematch = storage.rematches.current()
    if yaml:
        print(catalog_to_yaml(catalog), end="")
        return
    for change in diff_catalogs(None, catalog):
        line = change.describe().removeprefix("+ ")
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    state = "in force" if catalog.version == in_force.version else "not in force"
    console.print(f"version {catalog.version}, {state}; rules {RULE_VERSION}", highlight=False)
    if staleness.calls:
        console.print(f"{staleness.describe()}.", highlight=False)
    if rematch:
        console.print(rematch.describe(), highlight=False)


def cancel() -> None:
    """Stop the rematch of old calls; new calls use the list in force. `resume` continues it."""
    with open_storage_migrated() as storage:
        if not storage.rematches.pause(True, current_user()):
            console.print("No rematch is open.")
            return
        console.print("Stopped. `callpipeline catalog resume` continues.", highlight=False)


def resume(no_wait: NoWait = False) -> None:
    """Continue a stopped rematch, and retry calls that could not be rematched."""
    with open_storage_migrated() as storage:
        storage.rematches.resume()
        catalog = load_catalog(settings(), storage.catalogs)
        if not no_wait:
            _wait(storage, catalog)


COMMANDS: list[Callable[..., None]] = [
    check,
    diff,
    preview,
    apply,
    revert,
    log,
    show,
    cancel,
    resume,
]
for command in COMMANDS:
    app.command()(report_errors(command))


def _path(file: Path) -> Path:
    """Return the path as the settings write it, if the file is the one that is watched."""
    watched = settings().catalog_path
    return watched if watched.exists() and watched.samefile(file) else file


def _catalog(storage: Storage, written: str) -> Catalog:
    """Return the catalog of a file, or of a version. Raises CatalogInvalid, UnknownCatalog."""
    if Path(written).exists():
        parsed = read_catalog(Path(written))
        _print_warnings(parsed)
        return parsed.catalog
    if "." in Path(written).name:
        raise CatalogInvalid(f"{written}: file not found.")
    return storage.catalogs.read(written)


def _print_warnings(parsed: ParsedCatalog) -> None:
    for warning in parsed.warnings:
        print_note(warning)


def report_change(
    storage: Storage, before: CatalogChange | None, made: CatalogChange, *, wait: bool
) -> None:
    if before and before.change_id == made.change_id:
        console.print(f"Version {made.version} is in force already.", highlight=False)
    else:
        console.print(f"Version {made.version} is in force.", highlight=False)
    catalog = storage.catalogs.catalog(made.version)
    if wait and catalog:
        _wait(storage, catalog)
    elif not wait:
        console.print("`callpipeline up` rematches the calls.", highlight=False)


def _staleness(storage: Storage, catalog: Catalog) -> Staleness:
    return storage.rematches.staleness(ResultVersions(catalog.version, RULE_VERSION))


def _wait(storage: Storage, catalog: Catalog) -> None:
    """Show progress until no call is on an older list; without `up`, run the rematch here."""
    options = settings()
    if not _staleness(storage, catalog).waiting:
        console.print("No call is on an older list.", highlight=False)
        return
    if is_operated(options.home):
        began = time.monotonic()
        _watch(storage, catalog, lambda: _may_continue(storage, began))
    else:
        command = ["-m", "dagster", "job", "execute"]
        command += ["-m", "callpipeline.definitions", "-j", "rematch_calls"]
        with Services(options.home / "logs", {}) as services:
            run = services.start("rematch", command)
            _watch(storage, catalog, lambda: run.poll() is None)
            run.wait()
    staleness = _staleness(storage, catalog)
    last = storage.rematches.last()
    if staleness.waiting and not (last and last.paused_at):
        raise EngineUnavailable(
            f"{staleness.describe()}; the rematch did not finish. `callpipeline up` continues it; "
            f"see {options.home / 'logs' / 'rematch.log'}."
        )
    if last:
        console.print(last.describe(), highlight=False)


def _may_continue(storage: Storage, began: float) -> bool:
    """Return False if the rematch was stopped, or did not start in time."""
    current = storage.rematches.current()
    if current is not None:
        return current.paused_at is None
    return time.monotonic() - began < LONGEST_START_S


def _watch(storage: Storage, catalog: Catalog, is_busy: Callable[[], bool]) -> None:
    with progress_of_calls("rematching") as (progress, task):
        while True:
            last = storage.rematches.last()
            if last and last.catalog_version == catalog.version and last.calls:
                progress.update(task, completed=last.calls - last.waiting, total=last.calls)
            if not _staleness(storage, catalog).waiting or not is_busy():
                return
            time.sleep(0.5)


@contextmanager
def progress_of_calls(description: str) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} calls"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield progress, progress.add_task(description, total=None)


def _preview_lines(result: CatalogPreview) -> Iterator[str | Table]:
    yield (
        f"{len(result.changed_calls):,} of {result.completed:,} calls would change; "
        f"{result.affected:,} hold a changed name"
    )
    if result.effects:
        table = grid("competitor", "counted", "to review", "calls")
        for effect in result.effects:
            table.add_row(
                escape(effect.name),
                f"{effect.counted_before} → {effect.counted_after}",
                f"{effect.to_review_before} → {effect.to_review_after}",
                str(effect.calls),
            )
        yield table
    for effect in result.effects:
        yield from _quotes(effect)
    for name in result.names:
        if name.looks_ordinary:
            yield (
                f"{escape(name.alias)} ({escape(name.competitor)}) is written in lower case in "
                f"{name.lower_case} of {name.said} places: it may be an ordinary word"
            )
    time_needed = result.describe_time()
    yield f"{result.to_judge:,} mentions would be judged; applying takes {time_needed}"


def _quotes(effect: CompetitorEffect) -> Iterator[str]:
    for quote in effect.quotes:
        sign = "[green]+[/green]" if quote.comes else "[red]-[/red]"
        before, after = escape(quote.before), escape(quote.after)
        yield f"{sign} {quote.call_id}  …{before}[bold]{escape(quote.text)}[/bold]{after}…"
