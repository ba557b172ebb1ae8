"""Assets of calls, and the multi-asset that computes them for many calls in one step.

`pipeline/processing` processes the calls; this module reports the results to Dagster.
"""

from collections.abc import Collection, Sequence
from contextlib import aclosing

import dagster as dg

from callpipeline.defs.errors import expose_errors
from callpipeline.defs.interruption import HeldClaims
from callpipeline.defs.jobs.process_calls import (
    CallSelection,
    is_batch,
    resumes_work,
    selected_calls,
)
from callpipeline.defs.partitions import PROCESS_CALLS_OP, calls
from callpipeline.domain.calls.call import (
    STAGE_DEPENDENCIES,
    Call,
    CallState,
    Stage,
    missing_dependencies,
)
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.pipeline.processing.processor import (
    CallAbandoned,
    CallEvent,
    CallFailed,
    CallLinked,
    Processor,
    StageStored,
)
from callpipeline.pipeline.processing.processor import process_calls as process_batch
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.wiring import Storage

AssetEvent = dg.AssetMaterialization | dg.AssetObservation


def _spec(stage: Stage, group: str, text: str) -> dg.AssetSpec:
    deps = [need.value for need in Stage if need in STAGE_DEPENDENCIES[stage]] or ["recordings"]
    if stage is Stage.COMPETITOR_MENTIONS:
        deps.append("competitor_catalog")
    in_store = stage in (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    return dg.AssetSpec(
        stage.value,
        deps=deps,
        group_name=group,
        description=text,
        kinds={"objectstore" if in_store else "postgres"},
        skippable=True,
    ).with_io_manager_key("object_store" if in_store else "postgres")


SPECS = [
    _spec(
        Stage.CHANNEL_AUDIO,
        "audio",
        "Recordings split into one mono FLAC per speaker, with speech detection and audio issues "
        "(silent, clipped, truncated, damaged, fake stereo). Fails if the file is not audio; the "
        "reason says what it is.",
    ),
    _spec(
        Stage.CALL_METRICS,
        "audio",
        "Talk time of agent and customer, silence and overlap, in seconds.",
    ),
    _spec(
        Stage.TRANSCRIPTS,
        "transcription",
        "Speech of each speaker, as words with times and confidence. This is the slow and costly "
        "stage; a new competitor list does not require it again. `reliable: false` means that "
        "the recogniser was unsure of most words.",
    ),
    _spec(
        Stage.COMPETITOR_MENTIONS,
        "competitors",
        "Mentions of competitors: speaker, time and text, and for ambiguous names (Three, Sky, ID) "
        "why the mention counts or not.",
    ),
    _spec(
        Stage.COMPETITOR_SENTIMENT,
        "competitors",
        "Sentiment of each mention's speaker towards the competitor: positive, neutral, negative "
        "or mixed, with the evidence and the rule.",
    ),
]


def call_assets(*, batch_size: int, concurrency: int) -> dg.AssetsDefinition:
    """Return the multi-asset that takes up to `batch_size` calls a run through their stages."""

    @dg.multi_asset(
        name=PROCESS_CALLS_OP,
        specs=SPECS,
        partitions_def=calls,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(batch_size),
    )
    async def process_calls(
        context: dg.AssetExecutionContext,
        config: CallSelection,
        storage: dg.ResourceParam[Storage],
        stages: dg.ResourceParam[Stages],
    ):  # not annotated: Dagster reads an async generator's annotation as that of one output
        call_ids, run_id = selected_calls(context, config), context.run.run_id
        wanted = {Stage(key.path[-1]) for key in context.selected_asset_keys}
        with expose_errors():
            claimed, failures = _claimed(context, storage, call_ids, wanted)
            processor = Processor(stages, run_id)
            events = process_batch(processor, claimed, wanted, concurrency=concurrency)
            async with (
                HeldClaims(context, storage.claims) as interruption,
                aclosing(interruption.limit(events)) as limited,
            ):
                async for event in limited:
                    if reason := skip_reason(event):
                        context.log.warning("%s: %s", event.call_id, reason)
                    if _is_failure(event):
                        failures[event.call_id] = reason
                    if not isinstance(event, CallAbandoned):
                        yield as_asset_event(event, stages.links)
        if failures:
            raise _failure(failures, len(call_ids))

    return process_calls


def _claimed(
    context: dg.AssetExecutionContext,
    storage: Storage,
    call_ids: Sequence[str],
    wanted: Collection[Stage],
) -> tuple[list[Call], dict[str, str]]:
    """Return the claimed calls, and why calls that a user selected could not be claimed."""
    batch, recompute = is_batch(context.run), () if resumes_work(context.run) else wanted
    needed, run_id = missing_dependencies(wanted), context.run.run_id
    claimed = storage.claims.claim(
        call_ids, run_id, recompute=recompute, only_pending=batch, required=needed
    )
    missing = sorted(set(call_ids) - {call.call_id for call in claimed})
    if not batch:
        reasons, duplicates = _not_claimed(storage.ledger, missing, needed)
        if len(duplicates) < len(set(call_ids)):
            for call_id in duplicates:
                context.log.info("%s: %s", call_id, reasons.pop(call_id))
        return claimed, reasons
    if missing:
        context.log.info("%d calls are already processed, or claimed by another run", len(missing))
    return claimed, {}


def _not_claimed(
    ledger: Ledger, missing: Sequence[str], needed: Sequence[Stage]
) -> tuple[dict[str, str], list[str]]:
    """Return why calls could not be claimed, and which of them are duplicates.

    Duplicates do not fail a backfill over other calls, since they need no processing.
    """
    records = (
        {record.call_id: record for record in ledger.calls(call_ids=missing)} if missing else {}
    )
    reasons = {id_: f"not processed: {_claim_error(records.get(id_), needed)}" for id_ in missing}
    duplicates = [id_ for id_, record in records.items() if record.state is CallState.DUPLICATE]
    return reasons, duplicates


def _claim_error(record: CallSummary | None, needed: Sequence[Stage]) -> str:
    if record is None:
        return "the call is not in the ledger"
    if record.state is CallState.DUPLICATE:
        return f"it has the same recording as call {record.duplicate_of}"
    if record.claimed_by:
        return f"it is {record.state} in run {record.claimed_by}"
    missing = [str(stage) for stage in needed if stage not in record.stages]
    if missing and record.state is not CallState.ERASED:
        return f"it has no {' and no '.join(missing)}: not computed yet, or deleted by retention"
    return f"it is {record.state}"


def skip_reason(event: CallEvent) -> str:
    """Return why a call was not processed; empty for a stored stage."""
    match event:
        case CallAbandoned():
            return "another run claimed the call, or it was erased"
        case CallLinked(first=first):
            return f"the same recording as call {first}"
        case CallFailed(stage=stage, reason=reason, retry_at=None):
            return f"{stage}: {reason}"
        case CallFailed(stage=stage, reason=reason, retry_at=retry_at):
            return f"{stage}: {reason} Next attempt at {retry_at:%H:%M:%S} UTC."
        case _:
            return ""


def _is_failure(event: CallEvent) -> bool:
    """Return True if an event fails the run; automatic retries and duplicates do not."""
    return isinstance(event, CallAbandoned) or (
        isinstance(event, CallFailed) and not event.retry_at
    )


def as_asset_event(event: CallEvent, links: Links | None) -> AssetEvent:
    """Return the materialization of a stored stage, or an observation of why there is none."""
    if isinstance(event, StageStored):
        kept = {"kept_from_earlier_run": True} if event.reused else {}
        page = {"page": dg.MetadataValue.url(links.call(event.call_id))} if links else {}
        metadata = dict(event.summary) | kept | page
        return dg.AssetMaterialization(event.stage, partition=event.call_id, metadata=metadata)
    if isinstance(event, CallLinked):
        link = {"duplicate_of": event.first}
        audio = Stage.CHANNEL_AUDIO
        return dg.AssetObservation(audio, partition=event.call_id, metadata=link)
    assert isinstance(event, CallFailed)
    reason = {"failed": event.reason, "error": event.error_class, "transient": event.transient}
    retry = {"next_attempt_at": event.retry_at.isoformat()} if event.retry_at else {}
    return dg.AssetObservation(event.stage, partition=event.call_id, metadata=reason | retry)


def _failure(failures: dict[str, str], total: int) -> dg.Failure:
    listed = "\n".join(f"{call_id}: {reason}" for call_id, reason in sorted(failures.items()))
    return dg.Failure(
        f"{len(failures)} of {total} calls failed; the others are stored.\n{listed}",
        metadata={"failed_calls": sorted(failures), "calls": total},
        allow_retries=False,
    )
