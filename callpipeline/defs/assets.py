"""The assets of a call, and the one step that makes them for many calls.

What is done to a call is in `pipeline/`; here it is only told to Dagster.
"""

from collections.abc import Sequence

import dagster as dg

from callpipeline.defs.partitions import calls
from callpipeline.defs.selection import OP, CallSelection, resumes, selected_calls
from callpipeline.domain.call import Call, Stage
from callpipeline.pipeline.batch import process_calls as process_batch
from callpipeline.pipeline.process import CallFailed, CallGivenUp, Event, Processor, StageStored
from callpipeline.pipeline.stages import Stages
from callpipeline.storage.ledger import Ledger
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
)


def _spec(stage: Stage, deps: Sequence[Stage | str], group: str, text: str) -> dg.AssetSpec:
    in_store = stage in (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    return dg.AssetSpec(
        stage.value,
        deps=[str(dep) for dep in deps],
        group_name=group,
        description=text,
        kinds={"objectstore" if in_store else "postgres"},
        skippable=True,
    ).with_io_manager_key("object_store" if in_store else "postgres")


SPECS = [
    _spec(
        Stage.CHANNEL_AUDIO,
        ["recordings"],
        "audio",
        "Each recording taken apart: one mono FLAC per speaker, where somebody speaks, and what "
        "is wrong with the sound (silent, clipped, truncated, damaged, fake stereo). Fails when "
        "the file is not audio; the reason says what it is.",
    ),
    _spec(
        Stage.CALL_METRICS,
        [Stage.CHANNEL_AUDIO],
        "audio",
        "Talk time of agent and customer, silence and overlap, in seconds.",
    ),
    _spec(
        Stage.TRANSCRIPTS,
        [Stage.CHANNEL_AUDIO],
        "transcription",
        "What each speaker said, in words with times and confidence. The slow and costly stage: "
        "a new competitor list does not need it again. `reliable: false` means that the "
        "recogniser was unsure of most words.",
    ),
    _spec(
        Stage.COMPETITOR_MENTIONS,
        [Stage.TRANSCRIPTS],
        "competitors",
        "Every place where a competitor is named: who said it, when, in which words, and for "
        "ambiguous names (Three, Sky, ID) why it counts or does not.",
    ),
    _spec(
        Stage.COMPETITOR_SENTIMENT,
        [Stage.COMPETITOR_MENTIONS],
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
        run_id, ledger = context.run.run_id, storage.ledger
        call_ids = selected_calls(context, config)
        wanted = {Stage(key.path[-1]) for key in context.selected_asset_keys}
        anew = () if resumes(context.run) else wanted
        claimed = ledger.claim(call_ids, run_id, anew=anew)
        failures = _not_claimed(ledger, call_ids, claimed)
        processor = Processor(stages, ledger, run_id)
        try:
            async for event in process_batch(processor, claimed, wanted, concurrency=concurrency):
                if not isinstance(event, StageStored):
                    failures[event.call_id] = _reason(event)
                    context.log.error("%s: %s", event.call_id, failures[event.call_id])
                if not isinstance(event, CallGivenUp):
                    yield _as_asset_event(event)
        finally:
            # What is left when the run is cancelled or stopped waits for another one.
            ledger.give_back(run_id)
        if failures:
            raise _failure(failures, len(call_ids))

    return process_calls


def _not_claimed(
    ledger: Ledger, call_ids: Sequence[str], claimed: Sequence[Call]
) -> dict[str, str]:
    missing = sorted(set(call_ids) - {call.call_id for call in claimed})
    known = {record.call_id: record for record in ledger.calls(call_ids=missing)} if missing else {}
    return {
        call_id: f"not processed: it is {known[call_id].state} in run {known[call_id].claimed_by}"
        if call_id in known
        else "not processed: the ledger has no such call"
        for call_id in missing
    }


def _reason(event: CallFailed | CallGivenUp) -> str:
    if isinstance(event, CallGivenUp):
        return "another run took the call over"
    return f"{event.stage}: {event.reason}"


def _as_asset_event(event: Event) -> AssetEvent:
    if isinstance(event, StageStored):
        kept = {"kept_from_earlier_run": True} if event.kept else {}
        metadata = dict(event.facts) | kept
        return dg.AssetMaterialization(event.stage, partition=event.call_id, metadata=metadata)
    assert isinstance(event, CallFailed)
    reason = {"failed": event.reason, "error": event.error_class, "transient": event.transient}
    return dg.AssetObservation(event.stage, partition=event.call_id, metadata=reason)


def _failure(failures: dict[str, str], total: int) -> dg.Failure:
    listed = "\n".join(f"{call_id}: {reason}" for call_id, reason in sorted(failures.items()))
    return dg.Failure(
        f"{len(failures)} of {total} calls failed; the others are stored.\n{listed}",
        metadata={"failed_calls": sorted(failures), "calls": total},
        allow_retries=False,
    )
