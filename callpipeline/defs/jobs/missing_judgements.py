"""Missing sentiment judgements of complete calls: the sensor that requests them, and its job.

The job computes missing judgements only, and its calls stay COMPLETED: see
`storage/results/unjudged.py`. It is not an asset job, which would plan every stage of its calls
and show them as failed if the run is killed.
"""

import uuid
from collections.abc import Callable

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext
from pydantic import Field

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.runs import mark_failed
from callpipeline.defs.dagster_internals.tables import NOT_FINISHED_STATUSES, PRIORITY_TAG
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.interruption import HeldClaims
from callpipeline.defs.partitions import LANE_TAG, PARTITIONS_NAME
from callpipeline.defs.sensors.maintenance import never_started_work
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.processing.processor import RejudgeEvent, Rejudger, RejudgeResult
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.storage.calls.claims import Claims
from callpipeline.wiring import Storage, load_catalog

JOB = "judge_missing_mentions"
OP = "missing_judgements"
TAGS = {LANE_TAG: Lane.BULK.value, PRIORITY_TAG: "5"}
"""Runs before a backlog, in the slots of the bulk lane: live calls take precedence."""


class MissingJudgementsConfig(dg.Config):
    """Calls whose missing judgements are requested."""

    calls: list[str] = Field(min_length=1)


def judge_missing_job(*, concurrency: int) -> dg.JobDefinition:
    """Return the job; it judges up to `concurrency` calls at once."""

    @dg.op(
        name=OP,
        out=dg.Out(dg.Nothing),
        description=(
            "Judges mentions of complete calls that could not be judged before. Existing results "
            "are kept, and the calls stay complete."
        ),
    )
    async def missing_judgements(
        context: dg.OpExecutionContext,
        config: MissingJudgementsConfig,
        storage: dg.ResourceParam[Storage],
        stages: dg.ResourceParam[Stages],
    ) -> None:
        run_id = context.run_id
        judges = Rejudger(stages, storage.unjudged, run_id)
        with expose_errors():
            storage.unjudged.register_run(run_id)
            async with HeldClaims(context, storage.claims) as interruption:
                events = judges.judge_all(config.calls, concurrency=concurrency)
                async for event in interruption.limit(events):
                    _log_event(context, event)

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        tags=TAGS,
        description="Judges mentions of complete calls that could not be judged before.",
    )
    def job() -> None:
        missing_judgements()

    return job


def _log_event(context: dg.OpExecutionContext, event: RejudgeEvent) -> None:
    """Write an event to the run's log, and to the call's partition of the sentiment asset."""
    if not isinstance(event, RejudgeResult):
        context.log.info("%s: no missing judgements left", event.call_id)
        return
    asset, metadata = Stage.COMPETITOR_SENTIMENT, dict(event.summary)
    if event.missing:
        first = event.missing[0]
        again = f"Next attempt at {event.retry_at:%Y-%m-%d %H:%M} UTC." if event.retry_at else ""
        context.log.warning("%s: not judged: %s %s", event.call_id, first.reason, again)
        why = {"not_judged_because": first.reason, "error": first.error_class}
        when = {"next_attempt_at": event.retry_at.isoformat()} if event.retry_at else {}
        metadata |= why | when
    if event.judged:
        metadata |= {"judged_now": event.judged}
        stored = dg.AssetMaterialization(asset.value, partition=event.call_id, metadata=metadata)
        context.log_event(stored)
    else:
        observed = dg.AssetObservation(asset.value, partition=event.call_id, metadata=metadata)
        context.log_event(observed)


def unjudged_mentions(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """Return the sensor that requests missing judgements, one batch of calls a run."""

    @dg.sensor(
        name="unjudged_mentions",
        job_name=JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Retries the sentiment of mentions that could not be judged while the rest of their "
            "call is complete: after 2 and 10 minutes, an hour, then every six hours for two days. "
            "Permanent errors wait for `callpipeline retry`."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            return _run_for_due_calls(context.instance, storage, settings())

    return sensor


def _run_for_due_calls(
    instance: dg.DagsterInstance, storage: Storage, options: Settings
) -> dg.SensorResult:
    due = storage.unjudged.due(options.batch_size)
    if not due:
        return dg.SensorResult(skip_reason="No judgements are due.")
    if has_active_run(instance, storage.claims, JOB):
        return dg.SensorResult(skip_reason="A run is already judging missing mentions.")
    try:
        load_catalog(options, storage.catalogs)
    except CatalogInvalid as error:
        return dg.SensorResult(skip_reason=str(error))
    instance.add_dynamic_partitions(PARTITIONS_NAME, due)
    config = {"ops": {OP: {"config": {"calls": due}}}}
    return dg.SensorResult([dg.RunRequest(uuid.uuid4().hex, run_config=config, job_name=JOB)])


def has_active_run(instance: dg.DagsterInstance, claims: Claims, job: str) -> bool:
    """Return True if a job has an active run; marks runs that never started work as failed."""
    unfinished = dg.RunsFilter(job_name=job, statuses=list(NOT_FINISHED_STATUSES))
    claiming = {run.run_id for run in claims.claiming_runs()}
    is_active = False
    for record in instance.get_run_records(unfinished):
        run = record.dagster_run
        if run.run_id not in claiming and never_started_work(record):
            mark_failed(instance, run, "The run did not start its work.")
        else:
            is_active = True
    return is_active
