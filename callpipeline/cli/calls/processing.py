"""The commands ingest and retry, which start the processing of calls."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from callpipeline.cli.installation.services import is_operated
from callpipeline.cli.session import (
    MOMENT_HELP,
    AsJson,
    console,
    name_calls,
    open_storage_migrated,
    parse_moment,
    print_error,
)
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.errors import AnnouncementInvalid, MissingObject, SettingsInvalid, UnknownCall
from callpipeline.pipeline.ingest.discovery import find_recordings
from callpipeline.pipeline.ingest.registration import (
    LIVE_BURST,
    Announcement,
    IngestResult,
    announce,
    ingest_file,
)
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.wiring import Storage


def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(help="Audio files, folders that contain some, or URLs."),
    ],
    as_json: AsJson = False,
) -> None:
    """Add recordings: copy each into the recordings store and register it as a call.

    Folders are searched for files with audio extensions; a single file may have any name.
    The same bytes are one call, however often you add them. An https:// or http:// URL, which may
    be signed, is registered at once and downloaded when it is processed. `callpipeline up`
    processes the queue. Exits with 1 if a path does not exist or holds no recording, if a URL is
    refused, or if the call of an earlier upload has failed or was erased.
    """
    urls = [path for path in paths if is_url(path)]
    given = [Path(path) for path in paths if not is_url(path)]
    missing = [path for path in given if not path.exists()]
    for path in missing:
        print_error(f"{path} does not exist.")
    files = list(find_recordings(path for path in given if path.exists()))
    if not files and not missing and not urls:
        print_error("No recordings found: name audio files, or folders that contain some.")
    with open_storage_migrated() as storage:
        done = [*_ingested(files, storage), *announced(urls, storage)]
        failed = _failed(done, storage)
    if as_json:
        print(json.dumps([_row(each, failed) for each in done], indent=2))
    for each in done if not as_json else ():
        line = f"{each.call_id}  {each.path}{_note(each, failed)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not as_json and any(each.is_new for each in done) and not is_operated(settings().home):
        console.print("Queued. `callpipeline up` processes them.", highlight=False)
    whole = done and not missing and len(done) == len(files) + len(urls) and not failed
    raise typer.Exit(0 if whole else 1)


def _failed(done: Sequence[IngestResult], storage: Storage) -> dict[str, CallState]:
    """Return the state of calls that were registered before and have failed or were erased."""
    known = {each.call_id for each in done if not each.is_new}
    ended = (CallState.FAILED, CallState.ERASED)
    records = storage.ledger.calls(call_ids=known, states=ended) if known else []
    return {record.call_id: record.state for record in records}


def _row(each: IngestResult, ended: Mapping[str, CallState]) -> dict[str, object]:
    state = None if each.is_new else ended.get(each.call_id)
    row = {"path": str(each.path), "call_id": each.call_id, "new": each.is_new}
    return {**row, "failed": state is CallState.FAILED, "erased": state is CallState.ERASED}


def _note(each: IngestResult, ended: Mapping[str, CallState]) -> str:
    if each.is_new:
        return ""
    state = ended.get(each.call_id)
    if state is CallState.ERASED:
        return f"  (erased; run `callpipeline erase --lift {each.call_id}` to allow it again)"
    if state is CallState.FAILED:
        return f"  (already added, and failed; run `callpipeline retry {each.call_id}`)"
    return "  (already added)"


def _ingested(files: Sequence[Path], storage: Storage) -> Iterator[IngestResult]:
    """Register files, and print an error for each that cannot be read."""
    lane = Lane.BULK if len(files) > LIVE_BURST else None
    for file in files:
        try:
            yield ingest_file(file, storage.inbox, storage.ledger, storage.home, lane=lane)
        except OSError as error:
            print_error(f"{file} can't be read ({error.strerror}).")
        except MissingObject as error:
            print_error(f"{file}: {error}")


def is_url(word: str) -> bool:
    """Return True for a URL: no file name has two slashes after a colon."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", word))


def announced(urls: Sequence[str], storage: Storage) -> Iterator[IngestResult]:
    """Register URLs, and print an error for each that is refused.

    Errors name a URL by its position, since a signed URL is a secret.
    """
    for number, url in enumerate(urls, start=1):
        try:
            entered = announce(
                Announcement(url), storage.announcements, storage.home, storage.egress_policy
            )
        except AnnouncementInvalid as error:
            which = f"URL {number}" if len(urls) > 1 else "The URL"
            print_error(f"{which} was refused. {error}")
        else:
            yield IngestResult(Path(entered.name), entered.call_id, entered.is_new)


@dataclass(frozen=True, slots=True)
class RetryOutcome:
    """Result for one call; `call_id` is the given text if no call matches it."""

    call_id: str
    retried: bool
    reason: str


Calls = Annotated[
    list[str] | None,
    typer.Argument(metavar="CALL", help="Ids, their beginnings, or file names."),
]
Since = Annotated[
    str | None,
    typer.Option(help=f"With --failed: only those since then: {MOMENT_HELP}", metavar="WHEN"),
]
ErrorClass = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="ERROR",
        help="With --failed: only this error class, such as EngineUnavailable.",
    ),
]


def retry(
    calls: Calls = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every call that failed.")] = False,
    since: Since = None,
    error_class: ErrorClass = None,
    as_json: AsJson = False,
) -> None:
    """Retry failed calls now, ahead of the queue; stored results are kept.

    A call that waits for its next attempt is retried now; a duplicate is processed in place of a
    failed original; a completed call gets its unjudged mentions judged. Exits with 1 if one of the
    calls is not retried; the reason is printed.
    """
    _check_selection(calls or [], failed, narrowed=bool(since or error_class))
    moment = parse_moment(since, datetime.now(UTC)) if since else None
    with open_storage_migrated() as storage:
        ledger = storage.ledger
        if failed:
            outcomes = retry_failed(ledger, moment, error_class)
        else:
            outcomes = list(retry_calls(ledger, calls or []))
            _restore_completed(ledger, [each.call_id for each in outcomes if not each.retried])
        name_calls(each.call_id for each in outcomes if each.retried)
    if as_json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        _print(outcomes)
    raise typer.Exit(0 if all(outcome.retried for outcome in outcomes) else 1)


def _check_selection(calls: Sequence[str], failed: bool, narrowed: bool) -> None:
    """Exit with 2 for a missing or contradictory selection."""
    wrong = {
        "Name the calls (`retry CALL …`), or use `retry --failed`.": not calls and not failed,
        "Use either call names or --failed, not both.": bool(calls) and failed,
        "--since and --class need --failed.": narrowed and not failed,
    }
    for sentence, applies in wrong.items():
        if applies:
            print_error(sentence)
            raise typer.Exit(2)


def retry_failed(
    ledger: Ledger, since: datetime | None, error_class: str | None
) -> list[RetryOutcome]:
    wanted = ledger.failed(since=since, error_class=error_class)
    if not wanted and error_class:
        _refuse_unknown(ledger, error_class)
    tried = ledger.retry(wanted) if wanted else set()
    # A missing one was retried by someone else in the meantime.
    return [RetryOutcome(call_id, True, "failed; retrying") for call_id in sorted(tried)]


def _refuse_unknown(ledger: Ledger, error_class: str) -> None:
    """Raise SettingsInvalid if no failed call has this error class."""
    classes = {record.error_class for record in ledger.calls(states=[CallState.FAILED])}
    if error_class not in classes:
        classes_text = ", ".join(sorted(name for name in classes if name)) or "none"
        raise SettingsInvalid(
            f"No call failed with {error_class}; the classes are: {classes_text}."
        )


def retry_calls(ledger: Ledger, calls: Sequence[str]) -> Iterator[RetryOutcome]:
    """Retry each call once; yields the outcomes in the given order."""
    found: dict[str, CallSummary | UnknownCall] = {}
    for written in calls:
        try:
            record = ledger.find(written)
            found.setdefault(record.call_id, record)
        except UnknownCall as error:
            found[written] = error
    known = [call_id for call_id, record in found.items() if isinstance(record, CallSummary)]
    tried = ledger.retry(known)
    now = {record.call_id: record for record in ledger.calls(call_ids=known)}
    for call_id, before in found.items():
        if isinstance(before, UnknownCall):
            yield RetryOutcome(call_id, False, str(before))
        elif call_id in tried:
            yield RetryOutcome(call_id, True, _how(before))
        else:
            yield _why_not(now.get(call_id, before))


def _how(before: CallSummary) -> str:
    if before.state is CallState.FAILED:
        return "failed; retrying"
    if before.state is CallState.COMPLETED:
        return "completed; judging its unjudged mentions again"
    if before.state is CallState.DUPLICATE:
        return f"retrying in place of call {before.duplicate_of}, which has the same recording"
    if before.next_attempt_at and before.next_attempt_at > datetime.now(UTC):
        return "next attempt moved to now"
    return "already queued; moved to the front"


def _why_not(record: CallSummary) -> RetryOutcome:
    """Explain why a call was not retried; a queued one counts as retried."""
    reasons = {
        CallState.COMPLETED: "it is completed. To process it again, materialize it in Dagster's UI",
        CallState.PROCESSING: f"it is being processed by run {record.claimed_by}",
        CallState.PENDING: "already queued for a run",
        CallState.DUPLICATE: f"it is a duplicate of {record.duplicate_of}; retry that call",
        CallState.ERASED: "it was erased",
        CallState.FAILED: "it failed again",
    }
    return RetryOutcome(record.call_id, record.state is CallState.PENDING, reasons[record.state])


def _restore_completed(ledger: Ledger, call_ids: Sequence[str]) -> None:
    """Bring the keys of completed calls back to Dagster's UI, where they may be materialized."""
    completed = ledger.calls(states=[CallState.COMPLETED], call_ids=call_ids) if call_ids else []
    if completed:
        from callpipeline.defs.partitions import restore_keys

        restore_keys([record.call_id for record in completed])


def _print(outcomes: Sequence[RetryOutcome]) -> None:
    for outcome in outcomes:
        if outcome.retried:
            line = f"{outcome.call_id}  {outcome.reason}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print_error(f"{outcome.call_id} is not retried: {outcome.reason.rstrip('.')}.")
    if not outcomes:
        console.print("No matching call has failed.", highlight=False)
    elif any(outcome.retried for outcome in outcomes) and not is_operated(settings().home):
        console.print("Queued. `callpipeline up` processes them.", highlight=False)
