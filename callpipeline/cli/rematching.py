"""Rematches from the command line: their progress, and the command recompute."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from callpipeline.cli.installation.services import Services, is_operated
from callpipeline.cli.session import (
    MOMENT_HELP,
    console,
    current_user,
    errors,
    open_storage_migrated,
    parse_moment,
    print_error,
)
from callpipeline.config import Settings, settings
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.rematch.planning import LONGEST_START_S
from callpipeline.pipeline.rematch.recomputation import (
    CURRENT,
    STAGES,
    Recomputation,
    plan_recomputation,
    request_recomputation,
)
from callpipeline.storage.ports.rematch import CatalogChange, ResultVersions, Staleness
from callpipeline.wiring import Storage, load_catalog, mention_engine, open_engines

LEFT_OUT = " Calls with supplied transcripts, and those without stored audio, are left out."
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the calls.")]


Since = Annotated[
    str | None,
    typer.Option(help=f"Only calls that took place since then: {MOMENT_HELP}", metavar="WHEN"),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        help=f"Only calls made by engines first used before this one; `{CURRENT}` is the "
        "configured one.",
        metavar="ENGINE",
    ),
]


def recompute(
    stage: Annotated[str, typer.Option(help=f"{', '.join(STAGES)}.", metavar="STAGE")],
    since: Since = None,
    engine_older_than: OlderThan = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    no_wait: NoWait = False,
) -> None:
    """Compute a stage of completed calls again, for another engine or other rules.

    Calls stay complete while their mentions or sentiment are computed; `sentiment` judges all
    mentions again, also those that did not change. `transcripts` transcribes the stored audio again
    and is as costly as the first time. Says what it will cost, and asks first.
    """
    with open_storage_migrated() as storage:
        plan = _plan(storage, stage, since, engine_older_than)
        if not plan.calls:
            why = LEFT_OUT if stage == "transcripts" else ""
            console.print(f"No completed call matches.{why}", highlight=False, soft_wrap=True)
            return
        console.print(plan.describe(), highlight=False, soft_wrap=True)
        if dry_run:
            return
        if not yes and not typer.confirm("Go on?"):
            print_error("Nothing was changed.")
            raise typer.Exit(1)
        catalog = load_catalog(settings(), storage.catalogs)
        request_recomputation(storage.rematches, catalog, plan, current_user())
        if no_wait:
            console.print("`callpipeline up` computes the calls.", highlight=False)
        else:
            wait_for_rematch(storage, catalog)


def _plan(
    storage: Storage, stage: str, since: str | None, engine_older_than: str | None
) -> Recomputation:
    wanted = STAGES.get(stage)
    if wanted is None:
        raise typer.BadParameter(f"{stage!r} is not one of {', '.join(STAGES)}.")
    return plan_recomputation(
        storage.rematches,
        wanted,
        since=parse_moment(since, datetime.now(UTC)) if since else None,
        older_than=engine_older_than,
        configured=_engine(wanted, settings()) if engine_older_than == CURRENT else None,
    )


def _engine(stage: Stage, options: Settings) -> str:
    """Return the name of the configured engine of a stage."""
    if stage is Stage.COMPETITOR_MENTIONS:
        return mention_engine(options)
    with open_engines(options) as engines:
        is_speech = stage is Stage.TRANSCRIPTS
        return engines.transcriber.name if is_speech else engines.judge.name


def report_change(
    storage: Storage, before: CatalogChange | None, made: CatalogChange, *, wait: bool
) -> None:
    """Print the version in force, and rematch the calls if the command is to wait for them."""
    if before and before.change_id == made.change_id:
        console.print(f"Version {made.version} is in force already.", highlight=False)
    else:
        console.print(f"Version {made.version} is in force.", highlight=False)
    catalog = storage.catalogs.catalog(made.version)
    if wait and catalog:
        wait_for_rematch(storage, catalog)
    elif not wait:
        console.print("`callpipeline up` rematches the calls.", highlight=False)


def count_older(storage: Storage, catalog: Catalog) -> Staleness:
    """Count the calls with results of an older list or older rules."""
    return storage.rematches.staleness(ResultVersions(catalog.version, RULE_VERSION))


def wait_for_rematch(storage: Storage, catalog: Catalog) -> None:
    """Show progress until no call is left to rematch; without `up`, run the rematch here."""
    options = settings()
    if not _is_needed(storage, catalog):
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
    last = storage.rematches.last()
    if last and last.is_open and last.is_deferred and not last.paused_at:
        raise EngineUnavailable(
            f"{last.describe()}. `callpipeline up` continues by itself; `callpipeline catalog "
            "resume` tries now."
        )
    if _is_needed(storage, catalog) and not (last and last.paused_at):
        left = last.describe() if last else count_older(storage, catalog).describe()
        raise EngineUnavailable(
            f"{left}; the rematch did not finish. `callpipeline up` continues it; "
            f"see {options.home / 'logs' / 'rematch.log'}."
        )
    if last:
        console.print(last.describe(), highlight=False)


def _is_needed(storage: Storage, catalog: Catalog) -> bool:
    """Return whether a rematch is open, or one has to be opened."""
    rematches = storage.rematches
    is_open = rematches.current() is not None or rematches.has_left_over()
    return is_open or bool(count_older(storage, catalog).waiting)


def _may_continue(storage: Storage, began: float) -> bool:
    """Return False if the rematch was stopped, did not start in time, or waits for its judge."""
    current = storage.rematches.current()
    if current is not None:
        return current.paused_at is None and not current.is_deferred
    return time.monotonic() - began < LONGEST_START_S


def _watch(storage: Storage, catalog: Catalog, is_busy: Callable[[], bool]) -> None:
    with progress_of_calls("rematching") as (progress, task):
        while True:
            last = storage.rematches.last()
            if last and last.catalog_version == catalog.version and last.calls:
                progress.update(task, completed=last.calls - last.waiting, total=last.calls)
            if not _is_needed(storage, catalog) or not is_busy():
                return
            time.sleep(0.5)


@contextmanager
def progress_of_calls(description: str) -> Iterator[tuple[Progress, TaskID]]:
    """Show the progress of a task over calls on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} calls"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield progress, progress.add_task(description, total=None)
