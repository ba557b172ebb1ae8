"""The command retention: what is kept how long, what is due, and what was deleted."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import complain, console, opened
from callpipeline.config import settings
from callpipeline.domain.retention import Kept, Periods
from callpipeline.pipeline.retention import Deleted
from callpipeline.storage.retention import Retained

OF_DAGSTER = ("partition_keys", "runs", "events", "ticks", "backfills")
HISTORY = timedelta(days=30)


def retention(
    now: Annotated[
        bool, typer.Option("--now", help="Delete what is due, as the schedules do at night.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="What was deleted in the last 30 days.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What is kept how long (CALLPIPELINE_KEEP_…_DAYS), and what would be deleted now.

    Nothing is deleted without --now. Exit code 1 when something was in the way; the rest is gone.
    """
    if now and history:
        complain("Say either --now or --history.")
        raise typer.Exit(2)
    options = settings()
    periods = wiring.periods(options)
    with opened() as storage:
        if history:
            _print_history(Retained(storage.database), as_json=as_json)
            return
        # Dagster takes two seconds to import: only here.
        from callpipeline.defs.retention import purge_now

        at_hand, at = wiring.open_retention(options, storage), datetime.now(UTC)
        done = at_hand.apply(at) if now else at_hand.plan(at)
        done += purge_now(options, storage, dry_run=not now)
    if as_json:
        print(json.dumps([_as_json(one) for one in done], indent=2))
    else:
        _print(done, periods, deleted=now)
    for one in done:
        if one.trouble:
            complain(f"{one.what}: {one.trouble}.")
    raise typer.Exit(1 if any(one.trouble for one in done) else 0)


def _as_json(one: Deleted) -> dict[str, object]:
    told = {"what": str(one.what), "older_than": one.older_than.isoformat()}
    return {**told, "items": one.items, "trouble": one.trouble}


def _print(done: Sequence[Deleted], periods: Periods, *, deleted: bool) -> None:
    table = present.grid("what", "kept for", "deleted" if deleted else "due now")
    counts = {str(one.what): f"{one.items:,}" for one in done}
    for kept in Kept:
        days = periods.days[kept]
        told = "ever" if days is None else f"{days:,} days"
        if kept is not Kept.DAGSTER:
            table.add_row(kept, told, counts.get(kept, "-"))
            continue
        for what in OF_DAGSTER:
            table.add_row(f"Dagster's {what.replace('_', ' ')}", told, counts.get(what, "-"))
    console.print(table)


def _print_history(retained: Retained, *, as_json: bool) -> None:
    rows = retained.history(datetime.now(UTC) - HISTORY)
    if as_json:
        print(json.dumps([row | {"day": row["day"].isoformat()} for row in rows], indent=2))
        return
    table = present.grid("day", "because of", "what", "items", "calls")
    for row in rows:
        counts = (f"{row['items']:,}", f"{row['calls']:,}")
        table.add_row(row["day"].isoformat(), row["why"], row["what"], *counts)
    console.print(table if rows else "Nothing was deleted in the last 30 days.")
