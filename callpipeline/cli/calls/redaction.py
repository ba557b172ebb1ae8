"""The command redact, which masks numbers in the transcripts and the audio of old calls."""

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
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
from callpipeline.domain.redaction.imported import mask_texts
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
    """Calls that ended, with numbers that the settings mask by now; `imported` have no audio."""

    call_ids: Sequence[str]
    imported: Sequence[str]
    counts: Counter[str]

    @property
    def total(self) -> int:
        return len(self.call_ids) + len(self.imported)


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
    Imported calls keep their mentions and sentiment, whose quotes are masked.
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
        if dry_run or not found.total:
            return
        if not yes and not typer.confirm("Mask them? This can't be undone."):
            print_error("Nothing was changed.")
            raise typer.Exit(1)
        failed = _mask_all(storage, found, policies[IMPORTED_BUCKET])
    console.print(f"Masked numbers in {found.total - failed:,} calls.", highlight=False)
    if failed:
        print_error(
            f"{failed} calls failed or are being processed; `callpipeline status` says why."
        )
        raise typer.Exit(1)


def find_unmasked(
    storage: Storage, policies: dict[str, RedactionPolicy], earliest: datetime | None
) -> UnmaskedNumbers:
    """Search the stored texts of calls that have ended."""
    calls = [
        call
        for call in storage.ledger.calls(states=[CallState.COMPLETED, CallState.FAILED])
        if call.state is CallState.COMPLETED or call.source == IMPORTED_BUCKET
    ]
    if earliest:
        calls = [call for call in calls if call.took_place_at >= earliest]
    found: list[str] = []
    imported: list[str] = []
    counts = Counter[str]()
    with progress_of_calls("searching") as (progress, task):
        for call in progress.track(calls, task_id=task):
            policy = policies.get(call.source)
            if not policy or not policy.kinds:
                continue
            is_imported = call.source == IMPORTED_BUCKET
            search = _kinds_in_import if is_imported else _kinds_in
            if kinds := search(storage, call.call_id, policy):
                (imported if is_imported else found).append(call.call_id)
                counts.update(kinds)
    return UnmaskedNumbers(found, imported, counts)


def _kinds_in(storage: Storage, call_id: str, policy: RedactionPolicy) -> Mapping[str, int]:
    try:
        return count_kinds(masking.redact(storage.results.transcripts(call_id), policy)[1])
    except MissingObject:
        return {}


def _kinds_in_import(storage: Storage, call_id: str, policy: RedactionPolicy) -> Mapping[str, int]:
    masked = mask_texts(storage.imported_texts.texts(call_id), policy)
    return masked.counts if masked else {}


def _describe(found: UnmaskedNumbers) -> None:
    if not found.total:
        console.print("No stored transcript has numbers to mask.", highlight=False)
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.counts.items()))
    console.print(f"{found.total:,} calls have numbers to mask: {kinds}.", highlight=False)


def _mask_all(storage: Storage, found: UnmaskedNumbers, policy: RedactionPolicy) -> int:
    """Mask calls, the imported ones by `policy` and in place; return how many were not."""
    name_calls([*found.call_ids, *found.imported])
    mask = partial(mask_texts, policy=policy)
    masked = sum(storage.imported_texts.mask(call_id, mask) for call_id in found.imported)
    with _interrupted_by_sigterm():
        failed = asyncio.run(_mask(storage, found.call_ids)) if found.call_ids else 0
    return failed + len(found.imported) - masked


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
