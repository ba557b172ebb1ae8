"""The assets of a call, and the one step that makes them for many calls.

What is done to a call is in `pipeline/`; here it is only told to Dagster.
"""

from collections.abc import Collection, Sequence

import dagster as dg

from callpipeline.defs.instance_storage import write_waiting
from callpipeline.defs.partitions import calls
from callpipeline.defs.selection import OP, CallSelection, is_batch, resumes, selected_calls
from callpipeline.defs.told import told
from callpipeline.domain.call import NEEDS, Call, CallState, Stage, needed_for
from callpipeline.pipeline.batch import process_calls as process_batch
from callpipeline.pipeline.links import Links
from callpipeline.pipeline.process import (
    CallFailed,
    CallGivenUp,
    CallLinked,
    Event,
    Processor,
    StageStored,
)
from callpipeline.pipeline.stages import Stages
from callpipeline.storage.ledger import CallRecord, Ledger
from callpipeline.storage.life import signs_of_life
from callpipeline.wiring import Storage

AssetEvent = dg.AssetMaterialization | dg.AssetObservation

recordings = dg.AssetSpec(
    "recordings",
    group_name="audio",
    kinds={"file"},
    description=(
        "The recorded calls as they arrive in the recordings folder or bucket. The sensor "
        "`new_recordings` enters each into the ledger and asks for a run."
    ),
).with_io_manager_key("postgres")


def _spec(stage: Stage, group: str, text: str) -> dg.AssetSpec:
    deps = [need.value for need in Stage if need in NEEDS[stage]] or [recordings.key.path[-1]]
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
        "Each recording taken apart: one mono FLAC per speaker, where somebody speaks, and what "
        "is wrong with the sound (silent, clipped, truncated, damaged, fake stereo). Fails when "
        "the file is not audio; the reason says what it is.",
    ),
    _spec(
        Stage.CALL_METRICS,
        "audio",
        "Talk time of agent and customer, silence and overlap, in seconds.",
    ),
    _spec(
        Stage.TRANSCRIPTS,
        "transcription",
        "What each speaker said, in words with times and confidence. The slow and costly stage: "
        "a new competitor list does not need it again. `reliable: false` means that the "
        "recogniser was unsure of most words.",
    ),
    _spec(
        Stage.COMPETITOR_MENTIONS,
        "competitors",
        "Every place where a competitor is named: who said it, when, in which words, and for "
        "ambiguous names (Three, Sky, ID) why it counts or does not.",
    ),
    _spec(
        Stage.COMPETITOR_SENTIMENT,
        "competitors",
        "How the speaker of each mention speaks of that competitor: positive, neutral, negative "
        "or unsure, with the words and the rule it rests on.",
    ),
]


def call_assets(*, batch_size: int, concurrency: int) -> dg.AssetsDefinition:
    """The multi-asset that walks up to `batch_size` calls a run through their stages."""

    @dg.multi_asset(
        name=OP,
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
    ):  # not annotated: Dagster takes an async generator's annotation for that of one output
        call_ids, run_id = selected_calls(context, config), context.run.run_id
        wanted = {Stage(key.path[-1]) for key in context.selected_asset_keys}
        with told():
            claimed, failures = _claimed(context, storage, call_ids, wanted)
            processor = Processor(stages, run_id)
            try:
                with signs_of_life(storage.claims, run_id):
                    events = process_batch(processor, claimed, wanted, concurrency=concurrency)
                    async for event in events:
                        if reason := _why_not_made(event):
                            context.log.warning("%s: %s", event.call_id, reason)
                        if _is_failure(event):
                            failures[event.call_id] = reason
                        if not isinstance(event, CallGivenUp):
                            yield _as_asset_event(event, stages.links)
            finally:
                # First: a run that cannot write it stays in the ledger, where it is found dead.
                write_waiting(context.instance)
                # What is left when the run is cancelled or stopped waits for another one.
                storage.claims.give_back(run_id)
        if failures:
            raise _failure(failures, len(call_ids))

    return process_calls


def _claimed(
    context: dg.AssetExecutionContext,
    storage: Storage,
    call_ids: Sequence[str],
    wanted: Collection[Stage],
) -> tuple[list[Call], dict[str, str]]:
    """The calls that the run holds now, and why it does not hold others that a person wants."""
    batch, anew = is_batch(context.run), () if resumes(context.run) else wanted
    needed, run_id = needed_for(wanted), context.run.run_id
    claimed = storage.claims.claim(call_ids, run_id, anew=anew, only_waiting=batch, needed=needed)
    missing = sorted(set(call_ids) - {call.call_id for call in claimed})
    if not batch:
        reasons, duplicates = _not_claimed(storage.ledger, missing, needed)
        if len(duplicates) < len(set(call_ids)):
            for call_id in duplicates:
                context.log.info("%s: %s", call_id, reasons.pop(call_id))
        return claimed, reasons
    if missing:
        context.log.info("%d calls are taken care of already", len(missing))
    return claimed, {}


def _not_claimed(
    ledger: Ledger, missing: Sequence[str], needed: Sequence[Stage]
) -> tuple[dict[str, str], list[str]]:
    """Why the run does not hold calls, and which of them are duplicates.

    Those fail no backfill over others: there is nothing to be done about them.
    """
    known = {record.call_id: record for record in ledger.calls(call_ids=missing)} if missing else {}
    reasons = {id_: f"not processed: {_whose(known.get(id_), needed)}" for id_ in missing}
    duplicates = [id_ for id_, record in known.items() if record.state is CallState.DUPLICATE]
    return reasons, duplicates


def _whose(record: CallRecord | None, needed: Sequence[Stage]) -> str:
    if record is None:
        return "the ledger has no such call"
    if record.state is CallState.DUPLICATE:
        return f"it is the same recording as call {record.duplicate_of}"
    if record.claimed_by:
        return f"it is {record.state} in run {record.claimed_by}"
    lacks = [str(stage) for stage in needed if stage not in record.stages]
    if lacks and record.state is not CallState.ERASED:
        return f"it has no {' and no '.join(lacks)}: not made yet, or not kept any more"
    return f"it is {record.state}"


def _why_not_made(event: Event) -> str:
    """Why a call ends without what was asked for; empty for what is made."""
    match event:
        case CallGivenUp():
            return "another run took the call over, or it was erased"
        case CallLinked(first=first):
            return f"the same recording as call {first}"
        case CallFailed(stage=stage, reason=reason, again_at=None):
            return f"{stage}: {reason}"
        case CallFailed(stage=stage, reason=reason, again_at=again_at):
            return f"{stage}: {reason} Tried again at {again_at:%H:%M:%S} UTC."
        case _:
            return ""


def _is_failure(event: Event) -> bool:
    """What makes a run red: not what is tried again by itself, and no duplicate."""
    return isinstance(event, CallGivenUp) or (isinstance(event, CallFailed) and not event.again_at)


def _as_asset_event(event: Event, links: Links | None) -> AssetEvent:
    if isinstance(event, StageStored):
        kept = {"kept_from_earlier_run": True} if event.kept else {}
        page = {"page": dg.MetadataValue.url(links.call(event.call_id))} if links else {}
        metadata = dict(event.facts) | kept | page
        return dg.AssetMaterialization(event.stage, partition=event.call_id, metadata=metadata)
    if isinstance(event, CallLinked):
        link = {"duplicate_of": event.first}
        audio = Stage.CHANNEL_AUDIO
        return dg.AssetObservation(audio, partition=event.call_id, metadata=link)
    assert isinstance(event, CallFailed)
    reason = {"failed": event.reason, "error": event.error_class, "transient": event.transient}
    again = {"tried_again_at": event.again_at.isoformat()} if event.again_at else {}
    return dg.AssetObservation(event.stage, partition=event.call_id, metadata=reason | again)


def _failure(failures: dict[str, str], total: int) -> dg.Failure:
    listed = "\n".join(f"{call_id}: {reason}" for call_id, reason in sorted(failures.items()))
    return dg.Failure(
        f"{len(failures)} of {total} calls failed; the others are stored.\n{listed}",
        metadata={"failed_calls": sorted(failures), "calls": total},
        allow_retries=False,
    )
