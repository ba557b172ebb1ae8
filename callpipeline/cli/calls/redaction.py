"""The command redact, which masks numbers in the transcripts and the audio of old calls."""

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from callpipeline.cli.rematching import Since, progress_of_calls
from callpipeline.cli.session import (
    console,
    name_calls,
    open_storage_migrated,
    parse_moment,
    print_error,
)
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.domain.redaction import masking
from callpipeline.domain.redaction.masking import RedactionPolicy, count_kinds
from callpipeline.errors import MissingObject, SettingsInvalid
from callpipeline.pipeline.processing.processor import (
    CallAbandoned,
    CallFailed,
    CallLinked,
    Processor,
    process_calls,
)
from callpipeline.storage.calls.claims import heartbeat
from callpipeline.wiring import Storage, open_stages, redaction_policies

FROM_TRANSCRIPTS = (Stage.TRANSCRIPTS, Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)


@dataclass(frozen=True, slots=True)
class UnmaskedNumbers:
    """Completed calls with numbers that the settings mask by now.

    Imported calls that have some are masked by importing them again, unless they changed here.
    """

    call_ids: Sequence[str]
    counts: Counter[str]
    imported: int


def redact(
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be masked, and change nothing.")
    ] = False,
) -> None:
    """Mask numbers in calls that were processed before redaction was on.

    Searches the stored transcripts of completed calls for the kinds in CALLPIPELINE_REDACT, or in
    `redact:` of their source. Where it finds some, they are masked in the transcript and muted in
    the audio of the channels, unless that was deleted; the call's mentions are found and judged
    again. Nothing is transcribed. The original recordings stay as they are in their source.
    """
    options = settings()
    policies = redaction_policies(options)
    if not any(policy.kinds for policy in policies.values()):
        raise SettingsInvalid(
            "No kind of number is to be masked: set CALLPIPELINE_REDACT, for example card,bank."
        )
    with open_storage_migrated() as storage:
        earliest = parse_moment(since, datetime.now(UTC)) if since else None
        found = find_unmasked(storage, policies, earliest)
        _describe(found)
        if dry_run or not found.call_ids:
            return
        if not yes and not typer.confirm("Mask them? This can't be undone."):
            print_error("Nothing was changed.")
            raise typer.Exit(1)
        name_calls(found.call_ids)
        with _interrupted_by_sigterm():
            failed = asyncio.run(_mask(storage, found.call_ids))
    masked = len(found.call_ids) - failed
    console.print(f"Masked numbers in {masked:,} calls.", highlight=False)
    if failed:
        print_error(
            f"{failed} calls failed or are being processed; `callpipeline status` says why."
        )
        raise typer.Exit(1)


def find_unmasked(
    storage: Storage, policies: dict[str, RedactionPolicy], earliest: datetime | None
) -> UnmaskedNumbers:
    """Search the stored transcripts of completed calls."""
    calls = storage.ledger.calls(states=[CallState.COMPLETED])
    if earliest:
        calls = [call for call in calls if call.took_place_at >= earliest]
    found: list[str] = []
    counts, imported = Counter[str](), 0
    with progress_of_calls("searching") as (progress, task):
        for call in progress.track(calls, task_id=task):
            policy = policies.get(call.source)
            kinds = _kinds_in(storage, call.call_id, policy) if policy and policy.kinds else {}
            if not kinds:
                continue
            if call.source == IMPORTED_BUCKET:
                imported += 1
            else:
                found.append(call.call_id)
                counts.update(kinds)
    return UnmaskedNumbers(found, counts, imported)


def _kinds_in(storage: Storage, call_id: str, policy: RedactionPolicy) -> dict[str, int]:
    try:
        return count_kinds(masking.redact(storage.results.transcripts(call_id), policy)[1])
    except MissingObject:
        return {}


def _describe(found: UnmaskedNumbers) -> None:
    if found.imported:
        console.print(
            f"{found.imported:,} imported calls have numbers: run `callpipeline import-legacy` "
            "again, which masks them, except in calls whose mentions were found again here since: "
            "`callpipeline erase` deletes those.",
            highlight=False,
            soft_wrap=True,
        )
    if not found.call_ids:
        console.print("No stored transcript has numbers to mask.", highlight=False)
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.counts.items()))
    console.print(f"{len(found.call_ids):,} calls have numbers to mask: {kinds}.", highlight=False)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM release the claimed calls, as Ctrl-C does."""
    previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


async def _mask(storage: Storage, call_ids: Sequence[str]) -> int:
    """Process calls again from their stored transcripts; return how many were not."""
    run_id, options, done = f"redact-{uuid.uuid4()}", settings(), 0
    claims = storage.claims
    with (
        open_stages(options, storage) as opened,
        heartbeat(claims, run_id),
        progress_of_calls("masking") as (progress, task),
    ):
        progress.update(task, total=len(call_ids))
        processor = Processor(replace(opened, keeps_transcripts=True), run_id)
        try:
            # A few at a time: only complete calls are counted, and a claimed one that the command
            # is killed with is transcribed again.
            for start in range(0, len(call_ids), 2 * options.concurrency):
                claimed = claims.claim(
                    call_ids[start : start + 2 * options.concurrency],
                    run_id,
                    recompute=FROM_TRANSCRIPTS,
                    required=(Stage.TRANSCRIPTS, Stage.CALL_METRICS),
                )
                failures = 0
                async for event in process_calls(
                    processor, claimed, FROM_TRANSCRIPTS, concurrency=options.concurrency
                ):
                    failures += isinstance(event, CallFailed | CallAbandoned | CallLinked)
                done += len(claimed) - failures
                progress.update(task, completed=start + len(claimed))
        finally:
            claims.release(run_id)
    return len(call_ids) - done
