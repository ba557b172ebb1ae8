"""Job that processes calls: selection of the calls of a run, and requests for runs.

A run gets its calls as a partition range if their keys were added together, else as a list in its
config, launched on one of them. Without a daemon, the command line executes the batches that a
sensor would request.
"""

import json
import math
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path

import dagster as dg
from pydantic import Field

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.runs import mark_failed
from callpipeline.defs.dagster_internals.tables import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
)
from callpipeline.defs.partitions import (
    BATCH_TAG,
    LANE_TAG,
    PARTITIONS_NAME,
    PROCESS_CALLS_JOB,
    PROCESS_CALLS_OP,
)
from callpipeline.defs.sensors.maintenance import reclaim_lost
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.calls.queue import Batch, CallQueue

PRIORITIES = {Lane.LIVE: 10, Lane.BULK: 0}
MAX_OPEN_BATCHES = 3
"""Requested runs of a lane that have not started."""
CALLS_OF_A_POD = 24
"""Least calls of a batch, if that many wait. A pod imports for about 10 s and loads a model, and a
call of five minutes takes 36 s of CPU time with Whisper base: starting costs a few percent."""

process_calls_job = dg.define_asset_job(
    PROCESS_CALLS_JOB,
    # Checks cover the calls of a day, not one batch: `defs/checks` runs them.
    selection=dg.AssetSelection.assets(*(stage.value for stage in Stage)).without_checks(),
    executor_def=dg.in_process_executor,
    description="Processes a batch of calls, from recordings to competitor sentiment.",
)


class CallSelection(dg.Config):
    """Calls by id; if empty, the run's own partitions."""

    calls: list[str] = Field(default_factory=list)


def selected_calls(context: dg.AssetExecutionContext, config: CallSelection) -> list[str]:
    """Return the ids of the run's calls. Raises Failure if there are none.

    A partition range with reversed ends has no keys, and the run would succeed without any work.
    """
    # Read once: each access of partition_keys queries the database.
    call_ids = config.calls or list(context.partition_keys)
    if not call_ids:
        raise dg.Failure(
            "The run selects no calls: a partition range must start with the key that was added "
            "first.",
            allow_retries=False,
        )
    return list(dict.fromkeys(call_ids))


def is_batch(run: dg.DagsterRun) -> bool:
    """Return True if a sensor requested the run: it claims waiting calls only."""
    return BATCH_TAG in run.tags and run.parent_run_id is None


def resumes_work(run: dg.DagsterRun) -> bool:
    """Return True if the run reuses stored stages, False if it computes them again."""
    return BATCH_TAG in run.tags or run.parent_run_id is not None


def spread_over_slots(options: Settings, waiting: int) -> int:
    """Return the size of batches that lets a burst of calls keep all machines busy.

    Each slot gets its share of a small burst. Of a large one it gets half of its share, so that the
    slots that are done first take more, in multiples of the calls that a run processes at once: the
    last of a batch would leave places unused. A pod starts for a batch, so it gets calls enough to
    pay for that. One machine has nothing to spread.
    """
    if options.run_launcher == "default":
        return options.batch_size
    share, at_once = max(1, math.ceil(waiting / options.max_runs)), options.concurrency
    size = share if share <= at_once else math.ceil(share / 2 / at_once) * at_once
    if options.run_launcher == "k8s":
        size = max(size, CALLS_OF_A_POD)
    return min(options.batch_size, size)


def max_open_batches(options: Settings, waiting: int) -> int:
    """Return how many batches may be open in a lane: enough for the slots of all machines.

    While a pod starts, the calls that arrive meanwhile gather for the next one. There are two,
    since that of a pod that dies before it starts stays open until the start timeout.
    """
    if options.run_launcher == "default":
        return MAX_OPEN_BATCHES
    if options.run_launcher == "k8s":
        return min(options.max_runs, max(2, waiting // CALLS_OF_A_POD))
    return max(MAX_OPEN_BATCHES, options.max_runs)


def plan_batches(
    queue: CallQueue, new_batch_id: str, batch_size: int, max_open: int = MAX_OPEN_BATCHES
) -> list[Batch]:
    """Return the batches that need a run: open ones, and new ones from the waiting calls.

    Only a few are open at a time: urgent calls can still overtake those that wait in the ledger,
    and calls that arrive one by one while all runs are busy are gathered into one batch.
    """
    batches = queue.open_batches()
    for lane in Lane:
        open_in_lane = sum(batch.lane is lane for batch in batches)
        for number in range(open_in_lane, max_open):
            batch = queue.assign_batch(f"{new_batch_id}-{lane}-{number}", batch_size, lane=lane)
            if batch is None:
                break
            batches.append(batch)
    return batches


def run_request(batch: Batch, existing_keys: Collection[str]) -> dg.RunRequest:
    """Return the run request for a batch, given the partition keys that existed before it."""
    first, last = batch.call_ids[0], batch.call_ids[-1]
    tags = {
        BATCH_TAG: batch.batch_id,
        LANE_TAG: batch.lane.value,  # Dagster serializes plain strings only
        PRIORITY_TAG: str(PRIORITIES[batch.lane] + batch.priority),
    }
    if not set(batch.call_ids) & set(existing_keys):
        span = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
        return dg.RunRequest(batch.batch_id, tags=tags | span, job_name=PROCESS_CALLS_JOB)
    config = {"ops": {PROCESS_CALLS_OP: {"config": {"calls": list(batch.call_ids)}}}}
    return dg.RunRequest(
        batch.batch_id,
        run_config=config,
        tags=tags | {PARTITION_NAME_TAG: first},
        job_name=PROCESS_CALLS_JOB,
    )


def request_runs(instance: dg.DagsterInstance, batches: Sequence[Batch]) -> list[dg.RunRequest]:
    """Add the partition keys of the batches' calls, and return one run request for each batch.

    All keys of a batch are added at once: a range follows the order in which keys were added.
    """
    if not batches:
        return []
    existing = set(instance.get_dynamic_partitions(PARTITIONS_NAME))
    requests: list[dg.RunRequest] = []
    for batch in batches:
        requests.append(run_request(batch, existing))
        if new := [call_id for call_id in batch.call_ids if call_id not in existing]:
            instance.add_dynamic_partitions(PARTITIONS_NAME, new)
    return requests


def waiting_run_commands(
    queue: CallQueue, batch_size: int, folder: Path, *, exclude: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the command (after `python`) that executes each batch of waiting calls.

    Run configs are written to `folder`, since the command accepts them as files only.
    """
    with dg.DagsterInstance.get() as instance:
        planned = plan_batches(queue, uuid.uuid4().hex[:12], batch_size)
        batches = [batch for batch in planned if batch.batch_id not in exclude]
        requests = request_runs(instance, batches)
        return {b.batch_id: _command(r, folder) for b, r in zip(batches, requests, strict=True)}


def _command(request: dg.RunRequest, folder: Path) -> list[str]:
    execute = [
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "callpipeline.definitions",
        "-j",
        PROCESS_CALLS_JOB,
    ]
    tags = ["--tags", json.dumps(dict(request.tags))]
    if not request.run_config:
        return [*execute, *tags]
    config = folder / f"{request.run_key}.yaml"
    config.write_text(json.dumps(request.run_config))  # JSON is valid YAML
    return [*execute, *tags, "-c", str(config)]


UNFINISHED = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def reclaim_abandoned(claims: Claims, *, exclusive: bool) -> int:
    """Reclaim the calls of runs that are gone; returns how many.

    If `exclusive`, unfinished runs were killed with their machine or their `up`, and are marked as
    failed: pass it for an embedded database before anything starts. A shared database may have
    runs in progress elsewhere.
    """
    with dg.DagsterInstance.get() as instance:
        if exclusive:
            for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
                mark_failed(
                    instance, record.dagster_run, "callpipeline was stopped during this run."
                )
        return reclaim_lost(instance, claims).released
