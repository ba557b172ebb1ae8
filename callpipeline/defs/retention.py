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


def retention_jobs(settings: Callable[[], Settings]) -> list[dg.JobDefinition]:
    """One job for Dagster's own records, one for what is kept of calls."""
    return [_purge_dagster(settings), _purge_calls(settings)]


def _purge_dagster(settings: Callable[[], Settings]) -> dg.JobDefinition:
    @dg.op(
        name="delete_old_records",
        out=dg.Out(dg.Nothing),
        description="Retires partition keys of calls that ended long ago, and deletes old runs, "
        "events, ticks and backfills, some at a time.",
    )
    def delete_old_records(
        context: dg.OpExecutionContext, config: How, storage: dg.ResourceParam[Storage]
    ) -> None:
        with told():
            purge = old_records(context.instance, settings(), storage)
            done = (purge.plan() if config.dry_run else list(purge.apply())) if purge else []
        _tell(context, done)

    @dg.job(
        executor_def=dg.in_process_executor,
        tags=UPKEEP,
        description="Keeps Dagster's tables small: deletes its records of calls that ended more "
        "than CALLPIPELINE_KEEP_DAGSTER_DAYS ago. The calls and their results stay.",
    )
    def purge_dagster() -> None:
        delete_old_records()

    return purge_dagster


def _purge_calls(settings: Callable[[], Settings]) -> dg.JobDefinition:
    @dg.op(
        name="delete_old_calls",
        out=dg.Out(dg.Nothing),
        description="Deletes recordings, channel audio, transcripts, calls and notifications "
        "whose periods are over (CALLPIPELINE_KEEP_…_DAYS).",
    )
    def delete_old_calls(
        context: dg.OpExecutionContext, config: How, storage: dg.ResourceParam[Storage]
    ) -> None:
        with told():
            retention, now = open_retention(settings(), storage), datetime.now(UTC)
            done = retention.plan(now) if config.dry_run else retention.apply(now)
        _tell(context, done)

    @dg.job(
        executor_def=dg.in_process_executor,
        tags=UPKEEP,
        description="Deletes what is kept of calls when its time is over, each by its own "
        "period. Launch it with `dry_run: true` to see what would go.",
    )
    def purge_calls() -> None:
        delete_old_calls()

    return purge_calls


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


def old_records(instance: dg.DagsterInstance, settings: Settings, storage: Storage) -> Purge | None:
    """What deletes Dagster's old records; None where they are kept for ever."""
    older_than = periods(settings).older_than(Kept.DAGSTER, datetime.now(UTC))
    return Purge(instance, Retained(storage.database), older_than) if older_than else None


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
        purge = old_records(instance, settings, storage)
        if purge is None:
            return []
        return purge.plan() if dry_run else list(purge.apply())
