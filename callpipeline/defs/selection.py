"""Which calls a run is about, and how a run is asked for them.

A run is given its calls as a range of partitions where they were added together, else as a list
in its config, launched on one of them.
"""

from collections.abc import Collection, Sequence

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
)
from pydantic import Field

from callpipeline.defs.partitions import calls
from callpipeline.domain.call import Lane
from callpipeline.storage.queue import Batch, Queue

BATCH_TAG = "callpipeline/batch"
LANE_TAG = "callpipeline/lane"
"""dagster.yaml keeps some of the slots for runs free of those of the bulk lane by this tag."""
PRIORITIES = {Lane.LIVE: 10, Lane.BULK: 0}
OPEN_BATCHES = 3
"""Runs of a lane that are asked for and have not begun."""
OP = "process_calls"
JOB = "process_waiting_calls"
"""Not the name of its op: Dagster refuses a job and an op of one name."""


class CallSelection(dg.Config):
    """Calls by id; without any, the run's own partitions."""

    calls: list[str] = Field(default_factory=list)


def selected_calls(context: dg.AssetExecutionContext, config: CallSelection) -> list[str]:
    """The ids of the run's calls. Raises Failure when there is none.

    A range whose ends are the wrong way round has no keys, and would succeed with nothing done.
    """
    # Read once: each access of partition_keys asks the database.
    call_ids = config.calls or list(context.partition_keys)
    if not call_ids:
        raise dg.Failure(
            "The run selects no call: a range of partitions must begin with the key that was "
            "added first.",
            allow_retries=False,
        )
    return list(dict.fromkeys(call_ids))


def is_batch(run: dg.DagsterRun) -> bool:
    """Whether a sensor asked for the run: it takes what waits, and nothing that has ended."""
    return BATCH_TAG in run.tags and run.parent_run_id is None


def resumes(run: dg.DagsterRun) -> bool:
    """Whether the run takes up earlier work (then what is stored is kept) or makes it anew."""
    return BATCH_TAG in run.tags or run.parent_run_id is not None


def plan_batches(queue: Queue, new_batch_id: str, batch_size: int) -> list[Batch]:
    """Batches that wait for a run: those asked for already, and new ones of what still waits.

    Few are asked for at a time: what waits in the ledger can still be overtaken by what is urgent,
    and calls that come one by one while all runs are busy gather into one batch.
    """
    batches = queue.open_batches()
    for lane in Lane:
        asked = sum(batch.lane is lane for batch in batches)
        for number in range(asked, OPEN_BATCHES):
            batch = queue.assign_batch(f"{new_batch_id}-{lane}-{number}", batch_size, lane=lane)
            if batch is None:
                break
            batches.append(batch)
    return batches


def run_request(batch: Batch, known_keys: Collection[str]) -> dg.RunRequest:
    """The request of one run for a batch, given the partition keys that were there before it."""
    first, last = batch.call_ids[0], batch.call_ids[-1]
    tags = {
        BATCH_TAG: batch.batch_id,
        LANE_TAG: batch.lane.value,  # a plain string: Dagster serializes no other
        PRIORITY_TAG: str(PRIORITIES[batch.lane] + batch.priority),
    }
    if not set(batch.call_ids) & set(known_keys):
        span = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
        return dg.RunRequest(batch.batch_id, tags=tags | span, job_name=JOB)
    config = {"ops": {OP: {"config": {"calls": list(batch.call_ids)}}}}
    anchor = {PARTITION_NAME_TAG: first}
    return dg.RunRequest(batch.batch_id, run_config=config, tags=tags | anchor, job_name=JOB)


def request_runs(instance: dg.DagsterInstance, batches: Sequence[Batch]) -> list[dg.RunRequest]:
    """Make the batches' calls partitions, and the requests of their runs.

    All keys of a batch are added at once: a range follows the order in which keys were added.
    """
    if not batches:
        return []
    name = calls.name
    assert name is not None
    known = set(instance.get_dynamic_partitions(name))
    requests: list[dg.RunRequest] = []
    for batch in batches:
        requests.append(run_request(batch, known))
        if new := [call_id for call_id in batch.call_ids if call_id not in known]:
            instance.add_dynamic_partitions(name, new)
    return requests
