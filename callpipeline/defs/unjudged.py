"""Judgements that complete calls lack: a sensor that asks for runs, and the job that they are of.

The job makes nothing but the missing judgements, and its calls stay COMPLETED: see
`storage/unjudged.py`. It is none of the assets' own, for which a run plans every stage of its
calls: one that dies would show them as failed.
"""

import uuid
from collections.abc import Callable

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PRIORITY_TAG
from pydantic import Field

from callpipeline.config import Settings
from callpipeline.defs.lost import hangs
from callpipeline.defs.partitions import calls
from callpipeline.defs.selection import LANE_TAG
from callpipeline.defs.told import told
from callpipeline.domain.call import Lane, Stage
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.judging_again import AgainEvent, JudgedAgain, JudgesAgain
from callpipeline.pipeline.stages import Stages
from callpipeline.storage.claims import Claims
from callpipeline.storage.life import signs_of_life
from callpipeline.wiring import Storage, load_catalog

JOB = "judge_missing_mentions"
OP = "missing_judgements"
TAGS = {LANE_TAG: Lane.BULK.value, PRIORITY_TAG: "5"}
"""Before a backlog, and in its slots: calls that come in go first."""


class MissingOf(dg.Config):
    """The calls whose missing judgements are asked for."""

    calls: list[str] = Field(min_length=1)


def judge_missing_job(*, concurrency: int) -> dg.JobDefinition:
    """The job; up to `concurrency` of its calls are under way at once."""

    @dg.op(
        name=OP,
        out=dg.Out(dg.Nothing),
        description=(
            "Judges the mentions of complete calls that could not be judged before. What is there "
            "is kept, and the calls stay complete whatever comes of it."
        ),
    )
    async def missing_judgements(
        context: dg.OpExecutionContext,
        config: MissingOf,
        storage: dg.ResourceParam[Storage],
        stages: dg.ResourceParam[Stages],
    ) -> None:
        run_id = context.run_id
        judges = JudgesAgain(stages, storage.unjudged, run_id)
        with told():
            storage.unjudged.enter_run(run_id)
            try:
                with signs_of_life(storage.claims, run_id):
                    async for event in judges.judge_all(config.calls, concurrency=concurrency):
                        _tell(context, event)
            finally:
                storage.claims.give_back(run_id)

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        tags=TAGS,
        description="Judges the mentions of complete calls that could not be judged before.",
    )
    def job() -> None:
        missing_judgements()

    return job


def _tell(context: dg.OpExecutionContext, event: AgainEvent) -> None:
    """In the run's log, and at the call's partition of the asset."""
    if not isinstance(event, JudgedAgain):
        context.log.info("%s: nothing of it is to be judged here any more", event.call_id)
        return
    asset, metadata = Stage.COMPETITOR_SENTIMENT, dict(event.facts)
    if event.missing:
        first = event.missing[0]
        again = f"Tried again at {event.again_at:%Y-%m-%d %H:%M} UTC." if event.again_at else ""
        context.log.warning("%s: not judged: %s %s", event.call_id, first.reason, again)
        why = {"not_judged_because": first.reason, "error": first.error_class}
        when = {"tried_again_at": event.again_at.isoformat()} if event.again_at else {}
        metadata |= why | when
    if event.judged:
        metadata |= {"judged_now": event.judged}
        made = dg.AssetMaterialization(asset.value, partition=event.call_id, metadata=metadata)
        context.log_event(made)
    else:
        seen = dg.AssetObservation(asset.value, partition=event.call_id, metadata=metadata)
        context.log_event(seen)


def unjudged_mentions(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """The sensor that asks for missing judgements, of a batch of calls a run."""

    @dg.sensor(
        name="unjudged_mentions",
        job_name=JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Asks again for the sentiment of mentions that could not be judged, while the rest of "
            "their call is complete: after 2 and 10 minutes, an hour, then every six hours, for "
            "two days. What another try cannot help waits for `callpipeline retry`."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with told():
            return _run_for_what_is_due(context.instance, storage, settings())

    return sensor


def _run_for_what_is_due(
    instance: dg.DagsterInstance, storage: Storage, options: Settings
) -> dg.SensorResult:
    due = storage.unjudged.due(options.batch_size)
    if not due:
        return dg.SensorResult(skip_reason="No mention is to be judged again now.")
    if _is_under_way(instance, storage.claims):
        return dg.SensorResult(skip_reason="A run judges what was missing; the next one follows.")
    try:
        load_catalog(options)
    except CatalogInvalid as error:
        return dg.SensorResult(skip_reason=str(error))
    name = calls.name
    assert name is not None
    instance.add_dynamic_partitions(name, due)
    config = {"ops": {OP: {"config": {"calls": due}}}}
    return dg.SensorResult([dg.RunRequest(uuid.uuid4().hex, run_config=config, job_name=JOB)])


def _is_under_way(instance: dg.DagsterInstance, claims: Claims) -> bool:
    """Whether a run of the job goes on. One that hangs before it is watched is given up."""
    going_on = dg.RunsFilter(job_name=JOB, statuses=list(NOT_FINISHED_STATUSES))
    watched = {run.run_id for run in claims.claiming_runs()}
    found = False
    for record in instance.get_run_records(going_on):
        run = record.dagster_run
        if run.run_id not in watched and hangs(record):
            instance.report_run_failed(run, "The run did not begin to work.")
        else:
            found = True
    return found
