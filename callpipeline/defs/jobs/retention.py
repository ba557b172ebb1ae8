"""Jobs and schedules that delete data at the end of its retention period."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.purge import Purge
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.partitions import UPKEEP_TAGS
from callpipeline.domain.calls.call import RetentionClass
from callpipeline.pipeline.erasure import DeletionResult
from callpipeline.storage.erasure import RetentionStore
from callpipeline.wiring import Storage, open_retention, retention_periods

RUNNING = dg.DefaultScheduleStatus.RUNNING


class RetentionConfig(dg.Config):
    """Options of a retention run."""

    dry_run: bool = Field(default=False, description="Only list what would be deleted.")


DeleteExpired = Callable[[dg.DagsterInstance, Storage, bool], list[DeletionResult]]
"""Deletes expired data; with True it only lists it."""


def retention_jobs(settings: Callable[[], Settings]) -> list[dg.JobDefinition]:
    """Return the jobs for Dagster's own records and for data of calls."""

    def records(
        instance: dg.DagsterInstance, storage: Storage, dry_run: bool
    ) -> list[DeletionResult]:
        return delete_records(instance, settings(), storage, dry_run=dry_run)

    def call_data(_: dg.DagsterInstance, storage: Storage, dry_run: bool) -> list[DeletionResult]:
        retention, now = open_retention(settings(), storage), datetime.now(UTC)
        return retention.plan(now) if dry_run else retention.apply(now)

    return [
        _job(
            "purge_dagster",
            "delete_old_records",
            records,
            "Keeps Dagster's tables small: retires partition keys of calls that ended more than "
            "CALLPIPELINE_KEEP_DAGSTER_DAYS days ago, and deletes old runs, events, ticks and "
            "backfills in batches. Calls and their results stay.",
        ),
        _job(
            "purge_calls",
            "delete_old_calls",
            call_data,
            "Deletes recordings, channel audio, transcripts, calls and notifications at the end "
            "of their retention periods (CALLPIPELINE_KEEP_…_DAYS). Launch it with "
            "`dry_run: true` to see what would be deleted.",
        ),
    ]


def _job(name: str, op: str, delete: DeleteExpired, description: str) -> dg.JobDefinition:
    """Return a job with one op; Dagster rejects a job and an op with the same name."""

    @dg.op(name=op, out=dg.Out(dg.Nothing), description=description)
    def step(
        context: dg.OpExecutionContext, config: RetentionConfig, storage: dg.ResourceParam[Storage]
    ) -> None:
        with expose_errors():
            deleted = delete(context.instance, storage, config.dry_run)
        _log_results(context, deleted)

    @dg.job(
        name=name, executor_def=dg.in_process_executor, tags=UPKEEP_TAGS, description=description
    )
    def job() -> None:
        step()

    return job


def retention_schedules() -> list[dg.ScheduleDefinition]:
    """Return the nightly schedules; times are in UTC."""
    return [
        dg.ScheduleDefinition(
            name=name, job_name=name, cron_schedule=at, default_status=RUNNING, description=text
        )
        for name, at, text in (
            ("purge_dagster", "10 3 * * *", "Deletes Dagster's old records every night."),
            ("purge_calls", "40 3 * * *", "Deletes expired data of calls every night."),
        )
    ]


def delete_records(
    instance: dg.DagsterInstance, settings: Settings, storage: Storage, *, dry_run: bool
) -> list[DeletionResult]:
    """Delete Dagster's own old records, unless they are kept permanently."""
    older_than = retention_periods(settings).cutoff(RetentionClass.DAGSTER, datetime.now(UTC))
    if older_than is None:
        return []
    purge = Purge(instance, RetentionStore(storage.database), older_than)
    return purge.plan() if dry_run else list(purge.apply())


def _log_results(context: dg.OpExecutionContext, deleted: Iterable[DeletionResult]) -> None:
    """Write the counts to the run's log and metadata. Raises Failure if anything went wrong."""
    results = list(deleted)
    for one in results:
        context.log.info("%s: %d, older than %s", one.what, one.items, one.older_than)
    context.add_output_metadata({str(one.what): one.items for one in results})
    troubles = [f"{one.what}: {one.trouble}." for one in results if one.trouble]
    if troubles:
        raise dg.Failure("\n".join(troubles), allow_retries=False)


def purge_now(settings: Settings, storage: Storage, *, dry_run: bool) -> list[DeletionResult]:
    """Delete Dagster's old records, for the command line."""
    with dg.DagsterInstance.get() as instance:
        return delete_records(instance, settings, storage, dry_run=dry_run)
