"""Runs that failed for a reason outside any call: each is told once, by whoever sees it first.

Dagster's own failure sensor moves on past what it could not tell, takes five runs a look, and
skips what failed before its first look; so it writes to the outbox only, and `missed` makes up.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.events import JobFailureData
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from callpipeline.defs.told import Told
from callpipeline.domain.notification import EventKind, Occurrence, Severity
from callpipeline.storage.outbox import Outbox

LOOK_BACK = timedelta(days=2)
"""Runs that ended longer ago are not told any more, as when callpipeline was off for a week."""


def tell(instance: dg.DagsterInstance, outbox: Outbox, run: dg.DagsterRun) -> bool:
    """Enter a run into the outbox if it failed outside any call; whether it is told by that."""
    occurrence = why(instance, run)
    return occurrence is not None and outbox.add(occurrence) is not None


def missed(
    instance: dg.DagsterInstance, outbox: Outbox, since: datetime | None, now: datetime
) -> int:
    """Enter the failed runs that changed since a time; returns how many nobody had entered."""
    after = max(since or now - LOOK_BACK, now - LOOK_BACK)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=after)
    records = instance.get_run_records(filters=failed)
    return sum(tell(instance, outbox, record.dagster_run) for record in records)


def why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Occurrence | None:
    """The failure as an event; None where the run says itself which of its calls failed."""
    steps = list(_step_failures(instance, run.run_id))
    if any(_lists_calls(step) for step in steps):
        return None
    cause, words = _of_step(steps[0]) if steps else _of_run(instance, run.run_id)
    return Occurrence(
        EventKind.RUN_FAILED,
        Severity.ERROR,
        f"A run of {run.job_name} failed ({cause})",
        group_key=f"{EventKind.RUN_FAILED}:{run.job_name}:{cause}",
        subject=f"{EventKind.RUN_FAILED}:{run.run_id}",
        run_id=run.run_id,
        error_class=cause,
        error_message=words,
        metadata={
            "advice": "What it left is given to another run; look at the run's log for the cause."
        },
    )


def _step_failures(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepFailureData]:
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in logged:
        data = entry.get_dagster_event().event_specific_data
        if isinstance(data, StepFailureData):
            yield data


def _lists_calls(step: StepFailureData) -> bool:
    """Whether it is the Failure with which `process_calls` names the calls that failed."""
    told = step.user_failure_data
    return told is not None and "failed_calls" in told.metadata


def _of_step(step: StepFailureData) -> tuple[str, str | None]:
    """Class of what was raised in a step, and its words."""
    if told := step.user_failure_data:
        return "Failure", told.description
    return _innermost(step.error) if step.error else ("StepFailed", None)


def _of_run(instance: dg.DagsterInstance, run_id: str) -> tuple[str, str | None]:
    """The same of a run without a failed step: what kept it from beginning, or who gave it up."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    if not logged:
        return "RunLost", None
    event = logged[-1].get_dagster_event()
    data = event.event_specific_data
    error = data.error if isinstance(data, JobFailureData) else None
    return _innermost(error) if error else ("RunLost", event.message)


def _innermost(error: SerializableErrorInfo) -> tuple[str, str | None]:
    """An error, and its words where they are ours: those of others may quote a call."""
    while error.cause:
        error = error.cause
    is_ours = error.cls_name == Told.__name__
    words = error.message.strip().partition(": ")[2] if is_ours else None
    return error.cls_name or "Unknown", words
