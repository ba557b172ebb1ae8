"""What keeps calls moving: runs for those that wait, and an end to runs that died with some.

What looks for new recordings is in `discovery`.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext
from dagster._time import get_current_timestamp

from callpipeline.config import Settings
from callpipeline.defs.selection import BATCH_TAG, JOB, plan_batches, request_runs
from callpipeline.defs.told import told
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.claims import Claims
from callpipeline.storage.life import SILENT_S
from callpipeline.storage.queue import Batch, Queue
from callpipeline.wiring import Storage, load_catalog

RUNNING = dg.DefaultSensorStatus.RUNNING
IN_A_PROCESS = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
LATE_S = 120.0
"""A run that began and has not taken its calls after so long never will: it takes them first."""


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


@dg.sensor(
    name="lost_runs",
    default_status=RUNNING,
    minimum_interval_seconds=15,
    description=(
        "Gives the calls of runs that died back to the queue, also where Dagster believes that "
        "they still run; a call whose run died three times ends FAILED."
    ),
)
def lost_runs(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
    """Dagster's own guards do not know the ledger: a dead run would keep its calls for ever."""
    suspects = frozenset(json.loads(context.cursor) if context.cursor else ())
    with told():
        found = release_lost(context.instance, storage.claims, suspects)
        forgotten = forget_lost(context.instance, storage.queue)
    said = f"{found.released} calls were given back, {forgotten} are asked for again."
    return dg.SensorResult(skip_reason=said, cursor=json.dumps(sorted(found.suspects)))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of looking at the runs that hold calls; `suspects` are silent, not yet dead."""

    released: int
    suspects: set[str]


def release_lost(
    instance: dg.DagsterInstance, claims: Claims, suspects: frozenset[str] = frozenset()
) -> Reconciled:
    """Take calls back from runs that have ended, or that were silent this time and the last.

    Twice, since after an outage of the database every run seems silent at first.
    """
    holding = claims.claiming_runs()
    runs = _runs_by_id(instance, [run.run_id for run in holding])
    silent = {run.run_id for run in holding if run.silent_s > SILENT_S}
    ended = {r.run_id for r in holding if r.run_id not in runs or runs[r.run_id].is_finished}
    dead = ended | (silent & suspects)
    released = claims.release(dead) if dead else {}
    for run_id in dead - ended:
        # Dagster would keep the slot of a run whose process is gone until it takes a day.
        instance.report_run_failed(
            runs[run_id],
            "The run's process gave no sign of life any more; its calls were given to another run.",
        )
    return Reconciled(len(released), silent - dead)


def _runs_by_id(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> dict[str, dg.DagsterRun]:
    if not run_ids:
        return {}
    runs = instance.get_runs(filters=dg.RunsFilter(run_ids=list(run_ids)))
    return {run.run_id: run for run in runs}


def forget_lost(instance: dg.DagsterInstance, queue: Queue) -> int:
    """Let calls whose run will not take them be asked for again; returns how many."""
    late = [batch for batch in queue.open_batches() if _will_never_run(instance, batch)]
    return queue.forget_batches([batch.batch_id for batch in late]) if late else 0


def _will_never_run(instance: dg.DagsterInstance, batch: Batch) -> bool:
    """All its runs have ended, or hang in a process that should have taken the calls long ago.

    A batch without any run is asked for at every tick, so it is not lost.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={BATCH_TAG: batch.batch_id}), limit=10)
    now = get_current_timestamp()
    for record in records:
        run = record.dagster_run
        hangs = run.status in IN_A_PROCESS and now - record.update_timestamp.timestamp() > LATE_S
        if hangs:
            instance.report_run_failed(run, "The run did not begin to work in two minutes.")
        elif not run.is_finished:
            return False
    return bool(records)
