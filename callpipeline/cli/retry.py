"""The command retry: calls that failed are tried again, because a person wants it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import complain, console, opened
from callpipeline.cli.services import is_operated
from callpipeline.cli.times import moment_of
from callpipeline.config import settings
from callpipeline.domain.call import CallState
from callpipeline.errors import SettingsInvalid, UnknownCall
from callpipeline.storage.ledger import CallRecord, Ledger


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the wish for one call; `call_id` is what was written where there is no call."""

    call_id: str
    retried: bool
    reason: str


def retry(
    calls: Annotated[
        list[str] | None,
        typer.Argument(metavar="CALL", help="Ids, their beginnings, or file names."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every call that failed.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="With --failed: only those that failed since then: 2h, 3d, 2026-11-23, or a time "
            "like 2026-11-23T14:30 (of this machine's clock, unless it names its zone).",
            metavar="WHEN",
        ),
    ] = None,
    error_class: Annotated[
        str | None,
        typer.Option("--class", metavar="ERROR", help="With --failed: as EngineUnavailable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try failed calls again, at once and before all others; what is stored of them is kept.

    A call that waits for its next try is tried now, a duplicate where the first call failed, and of
    a complete call the mentions are judged that could not be.
    Exit code 1 when one of the calls will not be tried; the reason is told.
    """
    _refuse_nonsense(calls or [], failed, narrowed=bool(since or error_class))
    moment = moment_of(since, datetime.now(UTC)) if since else None
    with opened() as storage:
        ledger = storage.ledger
        if failed:
            answers = try_failed(ledger, moment, error_class)
        else:
            answers = list(try_calls(ledger, calls or []))
    if as_json:
        print(json.dumps([asdict(answer) for answer in answers], indent=2))
    else:
        _print(answers)
    raise typer.Exit(0 if all(answer.retried for answer in answers) else 1)


def _refuse_nonsense(calls: Sequence[str], failed: bool, narrowed: bool) -> None:
    """Ends with exit code 2 for a combination that says nothing, or two things at once."""
    wrong = {
        "Say which calls: `retry CALL …`, or `retry --failed`.": not calls and not failed,
        "Say either which calls, or --failed.": bool(calls) and failed,
        "--since and --class go with --failed.": narrowed and not failed,
    }
    for sentence, applies in wrong.items():
        if applies:
            complain(sentence)
            raise typer.Exit(2)


def try_failed(ledger: Ledger, since: datetime | None, error_class: str | None) -> list[Answer]:
    wanted = ledger.failed(since=since, error_class=error_class)
    if not wanted and error_class:
        _refuse_unknown(ledger, error_class)
    tried = ledger.retry(wanted) if wanted else set()
    # One that is missing was taken by another retry meanwhile.
    return [Answer(call_id, True, "it failed, and is tried again") for call_id in sorted(tried)]


def _refuse_unknown(ledger: Ledger, error_class: str) -> None:
    """Raises SettingsInvalid where no failed call has such a class, naming those there are."""
    classes = {record.error_class for record in ledger.calls(states=[CallState.FAILED])}
    if error_class not in classes:
        told = ", ".join(sorted(name for name in classes if name)) or "no call has failed"
        raise SettingsInvalid(f"No call failed with {error_class}; there are: {told}.")


def try_calls(ledger: Ledger, calls: Sequence[str]) -> Iterator[Answer]:
    """An answer for each call, once, in the order they were written."""
    found: dict[str, CallRecord | UnknownCall] = {}
    for written in calls:
        try:
            record = ledger.find(written)
            found.setdefault(record.call_id, record)
        except UnknownCall as error:
            found[written] = error
    known = [call_id for call_id, record in found.items() if isinstance(record, CallRecord)]
    tried = ledger.retry(known)
    now = {record.call_id: record for record in ledger.calls(call_ids=known)}
    for call_id, before in found.items():
        if isinstance(before, UnknownCall):
            yield Answer(call_id, False, str(before))
        elif call_id in tried:
            yield Answer(call_id, True, _how(before))
        else:
            yield _why_not(now.get(call_id, before))


def _how(before: CallRecord) -> str:
    if before.state is CallState.FAILED:
        return "it failed, and is tried again"
    if before.state is CallState.COMPLETED:
        return "it is COMPLETED; its mentions that could not be judged are tried again"
    if before.state is CallState.DUPLICATE:
        return f"it is tried in place of call {before.duplicate_of}, of the same recording"
    if before.not_before and before.not_before > datetime.now(UTC):
        return "its next try was moved to now"
    return "it waits already, and goes before the others now"


def _why_not(record: CallRecord) -> Answer:
    """A call that waits is tried without anybody's help; the others are not."""
    reasons = {
        CallState.COMPLETED: "it is COMPLETED: there is nothing to retry; to make it anew, "
        "materialize it in Dagster's UI",
        CallState.PROCESSING: f"it is PROCESSING in run {record.claimed_by}",
        CallState.PENDING: "it waits already: a run was asked for",
        CallState.DUPLICATE: f"it is a DUPLICATE of {record.duplicate_of}: retry that one",
        CallState.ERASED: "it was ERASED",
        CallState.FAILED: "it failed again just now",
    }
    return Answer(record.call_id, record.state is CallState.PENDING, reasons[record.state])


def _print(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.retried:
            line = f"{answer.call_id}  {answer.reason}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            complain(f"{answer.call_id} is not tried: {answer.reason.rstrip('.')}.")
    if not answers:
        console.print("No such call has failed.", highlight=False)
    elif any(answer.retried for answer in answers) and not is_operated(settings().home):
        console.print("They wait for `callpipeline up`.", highlight=False)
