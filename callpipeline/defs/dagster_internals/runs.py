"""Runs in Dagster's tables: their failures as events, and erasure of calls from them.

Dagster's failure sensor moves on past a failure that it could not handle, handles five runs a tick,
and skips runs that failed before its first tick. `record_missed_failures` makes up for that; the
outbox holds each run once.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.events import JobFailureData
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import delete, select, update

from callpipeline.defs.dagster_internals.tables import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
    PARTITION_NAME_TAG,
    Checks,
    Runs,
    RunTags,
    connect,
)
from callpipeline.defs.errors import UserFacingError
from callpipeline.domain.calls.call import call_ids_in, mask_call_ids
from callpipeline.domain.notifications import EventKind, NotificationEvent, Severity
from callpipeline.storage.notifications import Outbox

ERASED = "(erased)"
"""Replaces a call's id in records that are about other calls too."""
UNFINISHED = [status.value for status in NOT_FINISHED_STATUSES]
TAGS = (ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_END_TAG)

INTERRUPTED = (
    "The process was asked to stop, for example by a deployment. Another run takes over its calls."
)

MAX_AGE = timedelta(days=2)
"""Older failures are not reported, for example after callpipeline was off for a week."""


def runs_naming(
    instance: dg.DagsterInstance, call_ids: Sequence[str], *, thorough: bool
) -> set[str]:
    """Return runs that name these calls in their tags; if `thorough`, also in their config."""
    tagged = select(RunTags.c.run_id).where(RunTags.c.key.in_(TAGS), RunTags.c.value.in_(call_ids))
    with connect(instance, Runs) as connection:
        found = {row.run_id for row in connection.execute(tagged)}
        if thorough:
            rows = connection.execute(select(Runs.c.run_id, Runs.c.run_body))
            found |= {
                row.run_id for row in rows if not call_ids_in(row.run_body).isdisjoint(call_ids)
            }
    return found


def unfinished_runs(instance: dg.DagsterInstance, run_ids: Collection[str]) -> set[str]:
    """Return those of the runs that have not ended."""
    unfinished = Runs.c.run_id.in_(list(run_ids)), Runs.c.status.in_(UNFINISHED)
    with connect(instance, Runs) as connection:
        return {row.run_id for row in connection.execute(select(Runs.c.run_id).where(*unfinished))}


def mark_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """End a run whose process is gone, or never started its work."""
    instance.report_run_failed(run, message)


def is_canceling(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return True if a person has canceled the run."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status is dg.DagsterRunStatus.CANCELING


def report_interruption(instance: dg.DagsterInstance, run_id: str) -> None:
    """Let an interrupted run end as canceled: Dagster would end it as failed, and notify that."""
    if run := instance.get_run_by_id(run_id):
        instance.report_run_canceling(run, INTERRUPTED)


def materialized_in(instance: dg.DagsterInstance, run_id: str) -> set[tuple[str, str]]:
    """Return asset and partition of each materialization in a run's log."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = (entry.get_dagster_event() for entry in logged)
    return {(e.asset_key.path[-1], e.partition) for e in events if e.asset_key and e.partition}


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events, check results and compute logs."""
    instance.delete_run(run_id)
    with connect(instance, Checks) as connection:
        connection.execute(delete(Checks).where(Checks.c.run_id == run_id))
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def detach(
    instance: dg.DagsterInstance, run_id: str, call_ids: Sequence[str], in_order: Sequence[str]
) -> int:
    """Remove calls from a run that has others too; returns the number of changed records.

    `in_order` lists the run's calls in the order of their partition keys: a removed end of the
    run's partition range is replaced by its neighbour. The run's compute logs are deleted.
    """
    run = instance.get_run_by_id(run_id)
    if run is None:
        return 0
    new_tags = _tags_without(run.tags, call_ids, in_order)
    if new_tags:
        instance.add_run_tags(run_id, new_tags)
    changed = len(new_tags)
    is_run = Runs.c.run_id == run_id
    with connect(instance, Runs) as connection:
        body = connection.execute(select(Runs.c.run_body).where(is_run)).scalar_one()
        rest = json.dumps(_without(json.loads(body), call_ids))
        if not call_ids_in(body).isdisjoint(call_ids):
            connection.execute(update(Runs).where(is_run).values(run_body=rest))
            changed += 1
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    return changed


def _without(value: Any, call_ids: Collection[str]) -> Any:
    """Return a document without these calls: removed from lists, and mask_call_ids elsewhere."""
    match value:
        case str():
            return mask_call_ids(value, call_ids, ERASED)
        case list():
            return [_without(each, call_ids) for each in value if each not in call_ids]
        case dict():
            return {name: _without(each, call_ids) for name, each in value.items()}
        case _:
            return value


def _tags_without(
    tags: Mapping[str, str], call_ids: Collection[str], in_order: Sequence[str]
) -> dict[str, str]:
    """Return the tags that named one of the calls, with the nearest other call of the range."""
    rest = [key for key in in_order if key not in call_ids]
    changed: dict[str, str] = {}
    for tag in TAGS:
        if tags.get(tag) not in call_ids:
            continue
        position = in_order.index(tags[tag]) if tags[tag] in in_order else 0
        after = [key for key in in_order[position:] if key in rest]
        before = [key for key in in_order[:position] if key in rest]
        if tag == ASSET_PARTITION_RANGE_END_TAG:
            changed[tag] = (before or rest)[-1]
        else:
            changed[tag] = (after or rest)[0]
    return changed


def record_failure(instance: dg.DagsterInstance, outbox: Outbox, run: dg.DagsterRun) -> bool:
    """Add a run to the outbox if it failed outside any call; returns True if it was added."""
    occurrence = describe_failure(instance, run)
    return occurrence is not None and outbox.add(occurrence) is not None


def record_missed_failures(
    instance: dg.DagsterInstance, outbox: Outbox, since: datetime | None, now: datetime
) -> int:
    """Add the failed runs that changed since a time; returns how many were new."""
    after = max(since or now - MAX_AGE, now - MAX_AGE)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=after)
    records = instance.get_run_records(filters=failed)
    return sum(record_failure(instance, outbox, record.dagster_run) for record in records)


def describe_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> NotificationEvent | None:
    """Return the failure as an event.

    None if the run lists its failed calls itself, or was interrupted by a deployment.
    """
    steps = list(_step_failures(instance, run.run_id))
    if any(_lists_calls(step) for step in steps):
        return None
    cause, message = _step_error(steps[0]) if steps else _run_error(instance, run.run_id)
    if cause == dg.DagsterExecutionInterruptedError.__name__:
        return None  # before it had claimed any call
    return NotificationEvent(
        EventKind.RUN_FAILED,
        Severity.ERROR,
        f"A run of {run.job_name} failed ({cause})",
        group_key=f"{EventKind.RUN_FAILED}:{run.job_name}:{cause}",
        subject=f"{EventKind.RUN_FAILED}:{run.run_id}",
        run_id=run.run_id,
        error_class=cause,
        error_message=message,
        metadata={"advice": "Another run takes over its calls. Check the run's log for the cause."},
    )


def _step_failures(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepFailureData]:
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in logged:
        data = entry.get_dagster_event().event_specific_data
        if isinstance(data, StepFailureData):
            yield data


def _lists_calls(step: StepFailureData) -> bool:
    """Return True for the Failure in which `process_calls` lists the calls that failed."""
    failure = step.user_failure_data
    return failure is not None and "failed_calls" in failure.metadata


def _step_error(step: StepFailureData) -> tuple[str, str | None]:
    """Return class and message of the error raised in a step."""
    if failure := step.user_failure_data:
        return "Failure", failure.description
    return _root_error(step.error) if step.error else ("StepFailed", None)


def _run_error(instance: dg.DagsterInstance, run_id: str) -> tuple[str, str | None]:
    """Return class and message of the error of a run without a failed step."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    if not logged:
        return "RunLost", None
    event = logged[-1].get_dagster_event()
    data = event.event_specific_data
    error = data.error if isinstance(data, JobFailureData) else None
    return _root_error(error) if error else ("RunLost", event.message)


def _root_error(error: SerializableErrorInfo) -> tuple[str, str | None]:
    """Return class and message of the innermost error; foreign messages may quote a call."""
    while error.cause:
        error = error.cause
    is_ours = error.cls_name == UserFacingError.__name__
    message = error.message.strip().partition(": ")[2] if is_ours else None
    return error.cls_name or "Unknown", message
