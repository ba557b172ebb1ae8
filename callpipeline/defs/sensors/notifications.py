"""Notification sensors: one delivers the events of the outbox, two add events to it.

An event in the outbox is delivered once, even if Dagster was down in between.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.defs.assets.metadata import code_reference
from callpipeline.defs.dagster_internals.health import report_failing_sensors
from callpipeline.defs.dagster_internals.runs import record_failure, record_missed_failures
from callpipeline.defs.errors import expose_errors
from callpipeline.domain.notifications import NotificationPolicy
from callpipeline.pipeline.notifications.dispatch import (
    DeliveryAttempt,
    Dispatcher,
    describe_attempts,
)
from callpipeline.pipeline.notifications.monitor import PipelineMonitor
from callpipeline.storage.notifications import Outbox
from callpipeline.wiring import Storage

RUNNING = dg.DefaultSensorStatus.RUNNING
OVERLAP = timedelta(minutes=10)
"""Dagster records the end of a run a moment later, by its own clock."""


def outbox_sensor() -> dg.SensorDefinition:
    """Return the sensor that delivers notifications."""

    @dg.sensor(
        name="outbox",
        default_status=RUNNING,
        minimum_interval_seconds=10,
        description=(
            "Delivers notifications by Slack, email and webhook, and retries rejected deliveries "
            "for a day, first after 10 s. While it is stopped, notifications wait in the outbox."
        ),
    )
    def sensor(context: SensorContext, dispatcher: dg.ResourceParam[Dispatcher]) -> dg.SensorResult:
        with expose_errors():
            attempts = dispatcher.dispatch()
        return dg.SensorResult(
            skip_reason=describe_attempts(attempts), asset_events=observations(attempts)
        )

    return sensor


def observations(attempts: Sequence[DeliveryAttempt]) -> list[dg.AssetObservation]:
    """Return an observation for each attempt; response bodies stay in the outbox."""
    return [
        dg.AssetObservation(
            notifications.key,
            metadata={
                "channel": str(attempt.channel),
                "event": str(attempt.kind),
                "part": attempt.part,
                "events": attempt.events,
                "notification": attempt.notification_id,
                "attempt": attempt.outcome.lease.attempts,
                "delivered": attempt.outcome.accepted,
                "answer": attempt.outcome.code,
                "seconds": round(attempt.outcome.took_s, 3),
            },
        )
        for attempt in attempts
    ]


def failed_runs_sensor() -> dg.SensorDefinition:
    """Return Dagster's own failure sensor; `trouble` records the failures that it misses."""

    @dg.run_failure_sensor(
        name="failed_runs",
        default_status=RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Adds runs to the outbox that failed for a reason outside any call: killed, out of "
            "memory, no database. Failed calls are reported as calls."
        ),
    )
    def sensor(context: dg.RunFailureSensorContext, storage: dg.ResourceParam[Storage]) -> None:
        with expose_errors():
            record_failure(context.instance, storage.outbox, context.dagster_run)

    return sensor


def trouble_sensor(policy: NotificationPolicy) -> dg.SensorDefinition:
    """Return the sensor that reports problems outside calls, and their recovery."""

    @dg.sensor(
        name="trouble",
        default_status=RUNNING,
        minimum_interval_seconds=60,
        description=(
            "Checks for engines that are down, failing sensors and schedules, missing recordings, "
            "and failed runs that were not reported; adds problems and recoveries to the outbox. "
            "If a digest is configured, it adds one a day."
        ),
    )
    def sensor(
        context: SensorContext,
        storage: dg.ResourceParam[Storage],
        monitor: dg.ResourceParam[PipelineMonitor],
    ) -> dg.SensorResult:
        now, since = datetime.now(UTC), _since(context.cursor)
        with expose_errors(), ExitStack() as checks:
            # All checks run even if one raises; the first error fails the tick.
            problems: list[str] = []
            checks.callback(lambda: problems.extend(monitor.check(policy, now)))
            checks.callback(
                lambda: problems.extend(
                    report_failing_sensors(context.instance, storage.outbox, now)
                )
            )
            checks.callback(
                lambda: problems.extend(
                    _missed_failures(context.instance, storage.outbox, since, now)
                )
            )
        summary = "; ".join(problems) or "No problems found"
        return dg.SensorResult(skip_reason=f"{summary}.", cursor=json.dumps(now.timestamp()))

    return sensor


def _missed_failures(
    instance: dg.DagsterInstance, outbox: Outbox, since: datetime | None, now: datetime
) -> list[str]:
    missed = record_missed_failures(instance, outbox, since, now)
    return [f"{missed} failed runs had not been reported"] if missed else []


def _since(cursor: str | None) -> datetime | None:
    """Return a time shortly before the last tick; None without one, or for a foreign cursor."""
    try:
        return datetime.fromtimestamp(float(json.loads(cursor or "")), UTC) - OVERLAP
    except (ValueError, TypeError, OverflowError):
        return None


notifications = dg.AssetSpec(
    "notifications",
    group_name="operation",
    kinds={"slack", "email"},
    metadata=code_reference(outbox_sensor),
    description=(
        "Sent notifications: an observation for each delivery attempt, with the receiver's "
        "response. Run `callpipeline notifications list` to see the messages."
    ),
)
