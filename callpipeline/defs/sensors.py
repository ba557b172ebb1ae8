"""What keeps calls moving: runs for those that wait, and an end to runs that died with some.

What looks for new recordings is in `discovery`.
"""

import json
import uuid
from collections.abc import Callable

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.lost import forget_lost, release_lost, silent_before
from callpipeline.defs.selection import JOB, plan_batches, request_runs
from callpipeline.defs.told import told
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.queue import Queue
from callpipeline.wiring import Storage, clear_workspace, load_catalog

RUNNING = dg.DefaultSensorStatus.RUNNING


def waiting_calls(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """The sensor that asks for runs."""

    @dg.sensor(
        name="waiting_calls",
        job_name=JOB,
        default_status=RUNNING,
        minimum_interval_seconds=5,
        description=(
            "Asks for a run for each batch of waiting calls: new ones, those to be tried again, "
            "and those of runs that died or were cancelled. Live calls have slots of their own "
            "beside a backlog. To pause processing, switch this sensor off: what arrives is still "
            "registered, and waits."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with told():
            return _runs_for_what_waits(context.instance, storage.queue, settings())

    return sensor


def _runs_for_what_waits(
    instance: dg.DagsterInstance, queue: Queue, options: Settings
) -> dg.SensorResult:
    waiting = queue.waiting()
    if not waiting:
        return dg.SensorResult(skip_reason="No call waits.")
    said = "; ".join(f"{lane.calls} wait in lane {lane.lane}" for lane in waiting)
    try:
        load_catalog(options)
    except CatalogInvalid as error:
        return dg.SensorResult(skip_reason=f"{said}: {error}")
    batches = plan_batches(queue, uuid.uuid4().hex[:12], options.batch_size)
    requests = request_runs(instance, batches)
    return dg.SensorResult(requests, skip_reason=None if requests else f"{said}, not yet due.")


def lost_runs(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """The reconciler, since Dagster's own guards do not know the ledger.

    To them a run whose process is gone may stay at work for ever, and its calls with it.
    """

    @dg.sensor(
        name="lost_runs",
        default_status=RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Gives the calls of runs that died back to the queue, also where Dagster believes "
            "that they still run; a call whose run died three times ends FAILED."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with told():
            found = release_lost(context.instance, storage.claims, silent_before(context.cursor))
            forgotten = forget_lost(context.instance, storage.queue)
        for run_id in found.dead:
            clear_workspace(settings(), run_id)
        said = f"{found.released} calls were given back, {forgotten} are asked for again."
        return dg.SensorResult(skip_reason=said, cursor=json.dumps(found.cursor))

    return sensor
