"""The command erase: calls are removed everywhere, and stay out."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import complain, console, opened
from callpipeline.config import settings
from callpipeline.domain.call import CallState
from callpipeline.errors import UnknownCall
from callpipeline.storage.erasures import Erasures, Wanted
from callpipeline.wiring import Storage

if TYPE_CHECKING:
    from callpipeline.pipeline.erasing import Looked


Calls = Annotated[
    list[str] | None,
    typer.Argument(metavar="CALL", help="Ids, their beginnings, or file names."),
]
Customer = Annotated[
    str | None, typer.Option(help="Every call of this customer, by the recordings' names.")
]
Because = Annotated[
    str, typer.Option(help="Why, as a ticket's number: it is kept with the tombstone.")
]
KeepRecording = Annotated[
    bool,
    typer.Option("--keep-recording", help="Leave the recording where it arrived; it stays out."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the calls.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Lift = Annotated[bool, typer.Option("--lift", help="Let recordings of erased calls come in again.")]


def erase(  # noqa: PLR0913, PLR0917 - each is an option of the command
    calls: Calls = None,
    customer: Customer = None,
    because: Because = "",
    keep_recording: KeepRecording = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    lift: Lift = False,
    as_json: AsJson = False,
) -> None:
    """Remove calls everywhere, for ever: audio, transcript, results, messages, Dagster's records.

    The recording too, with a transcript beside it, and every call of the same bytes. What stays is
    a tombstone without personal data, which keeps the recording from coming in again. Messages
    that were sent, exports and backups are not reached. Exit code 1 while something is in the way;
    `callpipeline up` goes on with it.
    """
    other = dry_run or as_json or keep_recording or bool(because)
    _refuse_nonsense(calls or [], customer, lift=lift, other=other)
    with opened() as storage:
        if lift:
            _lift(storage.erasures, calls or [])
            return
        wanted, begun = _wanted(storage, calls or [], customer)
        if not as_json and wanted:
            console.print(_table(wanted))
        if dry_run or not (wanted or begun):
            _print_plan(wanted, begun, as_json=as_json)
            raise typer.Exit(0 if wanted or begun else 1)
        if wanted and not yes:
            _ask(len(wanted), keep_recording=keep_recording)
        call_ids = [call.call_id for call in wanted]
        storage.erasures.begin(call_ids, keep_recording=keep_recording, because=because)
        done, goes_on = _finished(storage, [*call_ids, *begun])
    _tell(done, goes_on=goes_on, as_json=as_json)


def _refuse_nonsense(
    calls: Sequence[str], customer: str | None, *, lift: bool, other: bool
) -> None:
    """Ends with exit code 2 for a combination that says nothing, or two things at once."""
    wrong = {
        "Say which calls: `erase CALL …`, or `erase --customer NAME`.": not calls and not customer,
        "Say either which calls, or --customer.": bool(calls) and customer is not None,
        "--lift goes with the ids of calls, and with nothing else.": lift and (not calls or other),
    }
    for sentence, applies in wrong.items():
        if applies:
            complain(sentence)
            raise typer.Exit(2)


def _wanted(
    storage: Storage, calls: Sequence[str], customer: str | None
) -> tuple[list[Wanted], list[str]]:
    """The calls that are meant, and those that are being erased already. Raises UnknownCall."""
    named = [storage.ledger.find(call) for call in calls]
    begun = [record.call_id for record in named if record.state is CallState.ERASED]
    return storage.erasures.wanted([r.call_id for r in named], customer=customer), begun


def _lift(erasures: Erasures, calls: Sequence[str]) -> None:
    lifted = erasures.lift(calls)
    for call_id in sorted(lifted):
        console.print(f"{call_id}  may come in again", highlight=False)
    for call_id in calls:
        if call_id not in lifted:
            raise UnknownCall(
                f"{call_id} is no erased call, or not all of it is gone yet: `callpipeline status "
                "--state erased` lists them."
            )


def _ask(count: int, *, keep_recording: bool) -> None:
    which = "this call" if count == 1 else f"these {count:,} calls"
    told = "but not the recording" if keep_recording else "with the recording"
    if not typer.confirm(f"Erase {which}, {told}, for ever?", err=True):
        complain("Nothing was erased.")
        raise typer.Exit(1)


def _finished(storage: Storage, call_ids: Sequence[str]) -> "tuple[list[Looked], bool]":
    # Dagster takes two seconds to import: only here.
    from callpipeline.defs.erasing import erase_now

    return erase_now(settings(), storage, call_ids)


def _table(wanted: Sequence[Wanted]) -> Table:
    table = present.grid("call", "state", "took place", "recording")
    for call in wanted:
        why = "" if call.is_asked_for else " (the same recording)"
        place = present.escape(f"{call.key}{why}")
        table.add_row(call.call_id, call.state, f"{call.took_place_at:%Y-%m-%d %H:%M}", place)
    return table


def _print_plan(wanted: Sequence[Wanted], begun: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        listed = [{"call_id": call.call_id, "state": call.state} for call in wanted]
        listed += [{"call_id": call_id, "state": CallState.ERASED} for call_id in begun]
        print(json.dumps(listed, indent=2))
        return
    for call_id in begun:
        console.print(f"{call_id}  is erased already; without --dry-run it is looked for again")
    if not wanted and not begun:
        complain("No call of that customer is there.")


def _tell(done: "Sequence[Looked]", *, goes_on: bool, as_json: bool) -> None:
    """What came of each; ends with exit code 1 where something is in the way."""
    if as_json:
        print(json.dumps([asdict(one) for one in done], indent=2))
    for one in done if not as_json else ():
        if one.trouble:
            complain(f"{one.call_id} is not wholly erased: {one.trouble}")
        else:
            console.print(f"{one.call_id}  {_how(one, goes_on=goes_on)}", highlight=False)
    is_well = all(one.finished or (goes_on and not one.trouble) for one in done)
    raise typer.Exit(0 if is_well else 1)


def _how(one: "Looked", *, goes_on: bool) -> str:
    if one.finished:
        return "erased"
    if goes_on:
        return "erased; looked for once more in two minutes"
    return "erased; a run that was at work on it has not ended: `callpipeline up` finishes it"
