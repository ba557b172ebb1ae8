"""The commands erase, retention and migrate."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.session import (
    AsJson,
    apply_time_zone,
    console,
    name_calls,
    open_storage_migrated,
    print_error,
    print_note,
)
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState, RetentionClass, RetentionPeriods
from callpipeline.errors import CatalogInvalid, UnknownCall
from callpipeline.pipeline.erasure import DeletionResult
from callpipeline.storage.calls.saved_views import NamedText
from callpipeline.storage.erasure import ErasureCandidate, Erasures, RetentionStore
from callpipeline.storage.postgres import compaction
from callpipeline.wiring import Storage
from callpipeline.wiring.administration import find_erasable

if TYPE_CHECKING:
    from callpipeline.pipeline.erasure import ErasureAttempt

Calls = Annotated[
    list[str] | None,
    typer.Argument(metavar="CALL", help="Ids, their beginnings, or file names."),
]
Customer = Annotated[
    str | None,
    typer.Option(help="Every call of this customer, as named in the recordings' file names."),
]
Because = Annotated[
    str, typer.Option(help="The reason, such as a ticket number; stored with the tombstone.")
]
KeepRecording = Annotated[
    bool,
    typer.Option(
        "--keep-recording", help="Leave the recording in its source; it is not imported again."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the calls and erase nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")]
Lift = Annotated[
    bool, typer.Option("--lift", help="Allow the recordings of erased calls to be imported again.")
]
Compact = Annotated[
    bool,
    typer.Option(
        "--compact",
        help="Also remove deleted rows from the database's files, which rewrites all tables.",
    ),
]

DAGSTER_RECORDS = ("partition_keys", "runs", "events", "ticks", "backfills")
HISTORY_PERIOD = timedelta(days=30)


def erase(  # noqa: PLR0913, PLR0917 - each is an option of the command
    calls: Calls = None,
    customer: Customer = None,
    because: Because = "",
    keep_recording: KeepRecording = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    lift: Lift = False,
    compact: Compact = False,
    as_json: AsJson = False,
) -> None:
    """Permanently delete calls: recording, audio, transcript, results, Dagster's records.

    Any duplicates and transcripts beside the recording are deleted too. A tombstone without
    personal data remains, so it is not imported again. Sent messages, exports and backups are not
    reached. Exits with 1 if something could not be deleted yet; `callpipeline up` continues.
    """
    other = dry_run or as_json or keep_recording or bool(because)
    if compact and not (calls or customer or lift or other):
        raise typer.Exit(_compact())
    _check_selection(calls or [], customer, lift=lift, other=other or compact)
    with open_storage_migrated() as storage:
        if lift:
            _lift(storage.erasures, calls or [])
            return
        wanted, begun = find_erasable(storage, calls or [], customer=customer)
        named = storage.views.naming(customer) if customer else []
        if not as_json:
            _print_found(wanted, named)
        if dry_run or not (wanted or begun or named):
            _print_plan(wanted, begun, named, as_json=as_json)
        if (wanted or named) and not yes:
            _ask(len(wanted), len(named), keep_recording=keep_recording)
        storage.views.forget(named)
        call_ids = [call.call_id for call in wanted]
        name_calls([*call_ids, *begun])
        storage.erasures.begin(call_ids, keep_recording=keep_recording, because=because)
        done, goes_on = _finished(storage, [*call_ids, *begun])
    _ = compact and _compact()
    _print_results(done, goes_on=goes_on, as_json=as_json)


def _compact() -> int:
    """Rewrite the database's files, print what could not be done, and return the exit code."""
    with open_storage_migrated() as storage:
        done = compaction.compact(storage.database.url)
    typer.echo(f"{done.tables} tables rewritten without their deleted rows", err=True)
    for problem in done.problems:
        print_error(problem)
    return 1 if done.problems else 0


def _check_selection(
    calls: Sequence[str], customer: str | None, *, lift: bool, other: bool
) -> None:
    """Exit with 2 for a missing or contradictory selection."""
    wrong = {
        "Name the calls (`erase CALL …`), or use `erase --customer NAME`.": not calls
        and not customer,
        "Use either call names or --customer, not both.": bool(calls) and customer is not None,
        "--lift takes call ids and no other option.": lift and (not calls or other),
    }
    for sentence, applies in wrong.items():
        if applies:
            print_error(sentence)
            raise typer.Exit(2)


def _lift(erasures: Erasures, calls: Sequence[str]) -> None:
    lifted = erasures.lift(calls)
    for call_id in sorted(lifted):
        console.print(f"{call_id}  can be imported again", highlight=False)
    for call_id in calls:
        if call_id not in lifted:
            raise UnknownCall(
                f"{call_id} is not an erased call, or its erasure is not finished: `callpipeline "
                "status --state erased` lists them."
            )


def _ask(count: int, named: int, *, keep_recording: bool) -> None:
    which = "this call" if count == 1 else f"these {count:,} calls"
    which += ", without the recording" if keep_recording else ", with the recording"
    if named:
        listed = "the listed view or report" if named == 1 else f"{named:,} listed views or reports"
        which = f"{which}, and {listed}" if count else listed
    if not typer.confirm(f"Permanently delete {which}?", err=True):
        print_error("Nothing was deleted.")
        raise typer.Exit(1)


def _finished(storage: Storage, call_ids: Sequence[str]) -> "tuple[list[ErasureAttempt], bool]":
    # Deferred: importing Dagster takes two seconds.
    from callpipeline.defs.sensors.maintenance import erase_now

    return erase_now(settings(), storage, call_ids)


def _print_found(wanted: Sequence[ErasureCandidate], named: Sequence[NamedText]) -> None:
    """Print the calls, and the views and reports that name their customer."""
    if wanted:
        console.print(_table(wanted))
    for each in named:
        what = f"view of {each.owner}" if each.view_id else "email"
        console.print(present.escape(f"{each.name} ({what}) names this customer"), highlight=False)


def _table(wanted: Sequence[ErasureCandidate]) -> Table:
    table = present.grid("call", "state", "took place", "recording")
    for call in wanted:
        why = "" if call.is_asked_for else " (the same recording)"
        place = present.escape(f"{call.key}{why}")
        table.add_row(call.call_id, call.state, f"{call.took_place_at:%Y-%m-%d %H:%M}", place)
    return table


def _print_plan(
    wanted: Sequence[ErasureCandidate],
    begun: Sequence[str],
    named: Sequence[NamedText],
    *,
    as_json: bool,
) -> NoReturn:
    """Print what would be erased; exits with 1 if that is nothing."""
    is_empty = not (wanted or begun or named)
    if as_json:
        listed: list[dict[str, object]]
        listed = [{"call_id": call.call_id, "state": call.state} for call in wanted]
        listed += [{"call_id": call_id, "state": CallState.ERASED} for call_id in begun]
        listed += [asdict(each) for each in named]
        print(json.dumps(listed, indent=2))
        raise typer.Exit(int(is_empty))
    for call_id in begun:
        console.print(f"{call_id}  already erased; without --dry-run the search is repeated")
    if is_empty:
        print_error("No calls of that customer.")
    raise typer.Exit(int(is_empty))


def _print_results(done: "Sequence[ErasureAttempt]", *, goes_on: bool, as_json: bool) -> None:
    """Print each result; exits with 1 if something could not be deleted yet."""
    if as_json:
        print(json.dumps([asdict(one) for one in done], indent=2))
    for one in done if not as_json else ():
        if one.trouble:
            print_error(f"{one.call_id} is not fully erased: {one.trouble}")
        else:
            console.print(f"{one.call_id}  {_how(one, goes_on=goes_on)}", highlight=False)
    is_well = all(one.finished or (goes_on and not one.trouble) for one in done)
    raise typer.Exit(0 if is_well else 1)


def _how(one: "ErasureAttempt", *, goes_on: bool) -> str:
    if one.finished:
        return "erased"
    if goes_on:
        return "erased; verified again in two minutes"
    return "erased; a run is still working on it, `callpipeline up` finishes the erasure"


def retention(
    now: Annotated[
        bool, typer.Option("--now", help="Delete what is due, as the nightly schedules do.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Show what was deleted in the last 30 days.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the retention periods (CALLPIPELINE_KEEP_…_DAYS) and what is due for deletion.

    Nothing is deleted without --now. Exits with 1 if something couldn't be deleted.
    """
    if now and history:
        print_error("Use either --now or --history, not both.")
        raise typer.Exit(2)
    options = settings()
    periods = wiring.retention_periods(options)
    with open_storage_migrated() as storage:
        if history:
            _print_history(RetentionStore(storage.database), as_json=as_json)
            return
        # Deferred: importing Dagster takes two seconds.
        from callpipeline.defs.jobs.retention import purge_now

        retention, at = wiring.open_retention(options, storage), datetime.now(UTC)
        done = retention.apply(at) if now else retention.plan(at)
        done += purge_now(options, storage, dry_run=not now)
    if as_json:
        print(json.dumps([_as_json(one) for one in done], indent=2))
    else:
        _print(done, periods, deleted=now)
    for one in done:
        if one.trouble:
            print_error(f"{one.what}: {one.trouble}.")
    raise typer.Exit(1 if any(one.trouble for one in done) else 0)


def _as_json(one: DeletionResult) -> dict[str, object]:
    row = {"what": str(one.what), "older_than": one.older_than.isoformat()}
    return {**row, "items": one.items, "trouble": one.trouble}


def _print(done: Sequence[DeletionResult], periods: RetentionPeriods, *, deleted: bool) -> None:
    table = present.grid("what", "keep", "deleted" if deleted else "due now")
    counts = {str(one.what): f"{one.items:,}" for one in done}
    for retained in RetentionClass:
        days = periods.days[retained]
        period = "forever" if days is None else f"{days:,} days"
        if retained is not RetentionClass.DAGSTER:
            table.add_row(retained, period, counts.get(retained, "-"))
            continue
        for what in DAGSTER_RECORDS:
            table.add_row(f"Dagster's {what.replace('_', ' ')}", period, counts.get(what, "-"))
    console.print(table)


def _print_history(retained: RetentionStore, *, as_json: bool) -> None:
    rows = retained.history(datetime.now(UTC) - HISTORY_PERIOD)
    if as_json:
        print(json.dumps([row | {"day": row["day"].isoformat()} for row in rows], indent=2))
        return
    table = present.grid("day", "reason", "what", "items", "calls")
    for row in rows:
        counts = (f"{row['items']:,}", f"{row['calls']:,}")
        table.add_row(row["day"].isoformat(), row["why"], row["what"], *counts)
    console.print(table if rows else "Nothing was deleted in the last 30 days.")


def migrate(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for database and store until they respond.")
    ] = False,
    buckets: Annotated[
        bool, typer.Option("--create-buckets", help="Also create the S3 buckets that are missing.")
    ] = False,
) -> None:
    """Migrate the database to the newest schema, from empty or any earlier version.

    Also migrates Dagster's tables, counts days in CALLPIPELINE_TIMEZONE, and creates a starter
    competitor list if there is none.
    """
    from callpipeline.defs.dagster_internals.storage import migrate_dagster_tables
    from callpipeline.storage.postgres.migrations import examine, wait_until_available
    from callpipeline.storage.postgres.migrations import migrate as migrate_database

    options = settings()
    with wiring.open_database_url(options) as url:
        if wait:
            wait_until_available(lambda: examine(url), print_note)
        if buckets:
            create = partial(wiring.create_buckets, options)
            created = wait_until_available(create, print_note) if wait else create()
            for name in created:
                console.print(f"Created the bucket {name}.", highlight=False)
        revision = migrate_database(url)
        # Now, so that services which start together create neither at once.
        wiring.enter_dagster_environment(options, url)
        with wiring.open_storage(options, url) as storage:
            apply_time_zone(storage, options.day_zone)
            with suppress(CatalogInvalid):
                wiring.load_catalog(options, storage.catalogs)
        migrate_dagster_tables()
    console.print(f"The database is at schema version {revision}.", highlight=False)
