"""Jobs and schedules that delete what has been kept long enough."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from callpipeline.config import Settings
from callpipeline.defs.jobs import UPKEEP
from callpipeline.defs.purge import Purge
from callpipeline.defs.told import told
from callpipeline.domain.retention import Kept
from callpipeline.pipeline.retention import Deleted
from callpipeline.storage.retention import Retained
from callpipeline.wiring import Storage, open_retention, periods

RUNNING = dg.DefaultScheduleStatus.RUNNING


class How(dg.Config):
    """How to delete."""

    dry_run: bool = Field(default=False, description="Only tell what would be deleted.")


Delete = Callable[[dg.DagsterInstance, Storage, bool], list[Deleted]]
"""Deletes what is due; with True it only tells what that would be."""


def retention_jobs(settings: Callable[[], Settings]) -> list[dg.JobDefinition]:
    """One job for Dagster's own records, one for what is kept of calls."""

    def records(instance: dg.DagsterInstance, storage: Storage, dry_run: bool) -> list[Deleted]:
        return delete_records(instance, settings(), storage, dry_run=dry_run)

    def of_calls(_: dg.DagsterInstance, storage: Storage, dry_run: bool) -> list[Deleted]:
        retention, now = open_retention(settings(), storage), datetime.now(UTC)
        return retention.plan(now) if dry_run else retention.apply(now)

    return [
        _job(
            "purge_dagster",
            "delete_old_records",
            records,
            "Keeps Dagster's tables small: retires partition keys of calls that ended more than "
            "CALLPIPELINE_KEEP_DAGSTER_DAYS ago, and deletes old runs, events, ticks and "
            "backfills, some at a time. The calls and their results stay.",
        ),
        _job(
            "purge_calls",
            "delete_old_calls",
            of_calls,
            "Deletes recordings, channel audio, transcripts, calls and notifications when their "
            "time is over, each by its own period (CALLPIPELINE_KEEP_…_DAYS). Launch it with "
            "`dry_run: true` to see what would go.",
        ),
    ]


def _job(name: str, op: str, delete: Delete, description: str) -> dg.JobDefinition:
    """A job of one step; Dagster refuses a job and an op of one name."""

    @dg.op(name=op, out=dg.Out(dg.Nothing), description=description)
    def step(
        context: dg.OpExecutionContext, config: How, storage: dg.ResourceParam[Storage]
    ) -> None:
        with told():
            done = delete(context.instance, storage, config.dry_run)
        _tell(context, done)

    @dg.job(name=name, executor_def=dg.in_process_executor, tags=UPKEEP, description=description)
    def job() -> None:
        step()

    return job


def retention_schedules() -> list[dg.ScheduleDefinition]:
    """Every night, by UTC."""
    return [
        dg.ScheduleDefinition(
            name=name, job_name=name, cron_schedule=at, default_status=RUNNING, description=what
        )
        for name, at, what in (
            ("purge_dagster", "10 3 * * *", "Every night: Dagster's own old records."),
            ("purge_calls", "40 3 * * *", "Every night: what was kept long enough of calls."),
        )
    ]


def delete_records(
    instance: dg.DagsterInstance, settings: Settings, storage: Storage, *, dry_run: bool
) -> list[Deleted]:
    """Delete Dagster's own old records; nothing where they are kept for ever."""
    older_than = periods(settings).older_than(Kept.DAGSTER, datetime.now(UTC))
    if older_than is None:
        return []
    purge = Purge(instance, Retained(storage.database), older_than)
    return purge.plan() if dry_run else list(purge.apply())


def _tell(context: dg.OpExecutionContext, done: Iterable[Deleted]) -> None:
    """In the run's log and on its page. Raises Failure where something was in the way."""
    told_of = list(done)
    for one in told_of:
        context.log.info("%s: %d, older than %s", one.what, one.items, one.older_than)
    context.add_output_metadata({str(one.what): one.items for one in told_of})
    troubles = [f"{one.what}: {one.trouble}." for one in told_of if one.trouble]
    if troubles:
        raise dg.Failure("\n".join(troubles), allow_retries=False)


def purge_now(settings: Settings, storage: Storage, *, dry_run: bool) -> list[Deleted]:
    """The same for the command line."""
    with dg.DagsterInstance.get() as instance:
        return delete_records(instance, settings, storage, dry_run=dry_run)
