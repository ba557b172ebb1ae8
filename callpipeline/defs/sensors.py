"""What watches: new recordings, and runs that died with calls in their hands."""

import uuid
from collections.abc import Callable

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.selection import BATCH_TAG, JOB, plan_batches, request_runs
from callpipeline.domain.call import CallState
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.discovery import register_new
from callpipeline.storage.ledger import Ledger
from callpipeline.wiring import Storage, load_catalog

RUNNING = dg.DefaultSensorStatus.RUNNING


def new_recordings(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """The sensor over the recordings folder or bucket."""

    @dg.sensor(
        name="new_recordings",
        job_name=JOB,
        default_status=RUNNING,
        minimum_interval_seconds=5,
        description=(
            "Watches the recordings folder or bucket: enters what is new into the ledger, and "
            "asks for one run for each batch of waiting calls. The calls of a cancelled run wait "
            "again: to pause processing, switch this sensor off."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        options = settings()
        found = storage.recordings.list()
        new = register_new(
            storage.ledger,
            found,
            settle_s=options.settle_s,
            agent_channel=options.agent_channel,
        )
        if not storage.ledger.calls(states=[CallState.PENDING], limit=1):
            return dg.SensorResult(skip_reason="No call waits.")
        try:
            load_catalog(options)
        except CatalogInvalid as error:
            return dg.SensorResult(skip_reason=f"Calls wait, {len(new)} of them new: {error}")
        batches = plan_batches(storage.ledger, uuid.uuid4().hex[:12], options.batch_size)
        return dg.SensorResult(run_requests=request_runs(context.instance, batches))

    return sensor


@dg.sensor(
    name="lost_runs",
    default_status=RUNNING,
    minimum_interval_seconds=30,
    description=(
        "Gives the calls of runs that died back to the queue; a call whose run died three times "
        "ends FAILED."
    ),
)
def lost_runs(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SkipReason:
    """Dagster's own guards do not know the ledger: a dead run would keep its calls for ever."""
    released = release_lost(context.instance, storage.ledger)
    return dg.SkipReason(f"{released} calls were given back.")


def release_lost(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """Take calls back from runs, and batches from requests, that have ended; returns how many."""
    gone = [run_id for run_id in ledger.claiming_runs() if _is_gone(instance, run_id)]
    released = len(ledger.release(gone)) if gone else 0
    dead = [b for b in ledger.open_batches() if _will_never_run(instance, b.batch_id)]
    if dead:
        ledger.forget_batches([batch.batch_id for batch in dead])
    return released + sum(len(batch.call_ids) for batch in dead)


def _is_gone(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _will_never_run(instance: dg.DagsterInstance, batch_id: str) -> bool:
    runs = instance.get_runs(filters=dg.RunsFilter(tags={BATCH_TAG: batch_id}), limit=10)
    return bool(runs) and all(run.is_finished for run in runs)
