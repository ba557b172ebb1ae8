"""The command group catalog: check, compare, preview, apply and undo competitor lists."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from callpipeline.cli.present import escape, grid, moment
from callpipeline.cli.rematching import (
    NoWait,
    count_older,
    progress_of_calls,
    report_change,
    wait_for_rematch,
)
from callpipeline.cli.session import (
    AsJson,
    console,
    current_user,
    open_storage_migrated,
    print_note,
    report_errors,
)
from callpipeline.config import settings
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.catalog_diff import diff_catalogs
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.rematch.previews import (
    CatalogPreview,
    CompetitorEffect,
    Previewer,
    PreviewLimits,
)
from callpipeline.storage.catalog.files import ParsedCatalog, catalog_to_yaml, read_catalog
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import Storage, company_slots, load_catalog, open_matcher

app = typer.Typer(
    name="catalog",
    help="The competitor list: check, preview and apply changes, and undo them.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A list: .yaml, .txt or .csv.")]
Target = Annotated[
    str, typer.Argument(metavar="FILE|VERSION", help="A file, or a version of `catalog log`.")
]
FEW_CALLS = PreviewLimits(searched=2_000, calls=100, seconds=5.0)
"""Limits of the calls that `apply` reads to show how names are said; `preview` reads all calls."""
Note = Annotated[str, typer.Option("--note", help="A reason, shown in the history.")]


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
        company_slots().load()  # not as a part of the time that applying takes
        previewer = _previewer(storage)
        with progress_of_calls("reading calls") as (progress, task):

            def on_call(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            result = previewer.preview(catalog, on_call=on_call)
    if as_json:
        print(json.dumps(result.as_jsonable(), indent=2))
    else:
        print_preview(result)


def apply(file: File, note: Note = "", no_wait: NoWait = False) -> None:
    """Put a list in force, and rematch the completed calls that it can change."""
    with open_storage_migrated() as storage:
        change = NewChange(ChangeOrigin.COMMAND, current_user(), note)
        before = storage.catalogs.current()
        parsed = read_catalog(file)
        _print_warnings(parsed)
        for line in _said(_previewer(storage).preview(parsed.catalog, limits=FEW_CALLS)):
            console.print(line, highlight=False, soft_wrap=True)
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
        staleness = count_older(storage, in_force)
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
            wait_for_rematch(storage, catalog)


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


def _previewer(storage: Storage) -> Previewer:
    return Previewer(storage.rematches, storage.rematches, partial(open_matcher, settings()))


def print_preview(result: CatalogPreview) -> None:
    """Print what a list would change, with quotes of mentions that come and go."""
    for part in _preview_lines(result):
        console.print(part, highlight=False, soft_wrap=not isinstance(part, Table))


def _preview_lines(result: CatalogPreview) -> Iterator[str | Table]:
    yield (
        f"{len(result.changed_calls):,} of {result.completed:,} calls would change; "
        f"{result.affected:,} hold a changed name"
    )
    effects = [each for each in result.effects if each.quotes]
    if effects:
        table = grid("competitor", "counted", "to review", "calls")
        for effect in effects:
            table.add_row(
                escape(effect.name),
                f"{effect.counted_before} → {effect.counted_after}",
                f"{effect.to_review_before} → {effect.to_review_after}",
                str(effect.calls),
            )
        yield table
    for effect in result.effects:
        yield from _quotes(effect)
    yield from _said(result)
    time_needed = result.describe_time()
    yield f"{result.to_judge:,} mentions would be judged; applying takes {time_needed}"


def _said(result: CatalogPreview) -> Iterator[str]:
    """Yield how often changed names are said, and what the list could say about them."""
    if result.names:
        said = (f"{escape(each.alias)} {each.said:,}×" for each in result.names)
        yield f"said in these {result.examined:,} calls: {', '.join(said)}"
    for name in result.names:
        for advice in name.advice:
            yield f"{escape(name.alias)} ({escape(name.competitor)}): {escape(advice)}"


def _quotes(effect: CompetitorEffect) -> Iterator[str]:
    for quote in effect.quotes:
        sign = "[green]+[/green]" if quote.comes else "[red]-[/red]"
        before, after = escape(quote.before), escape(quote.after)
        yield f"{sign} {quote.call_id}  …{before}[bold]{escape(quote.text)}[/bold]{after}…"
