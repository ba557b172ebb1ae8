"""Sensors that tell people: one delivers what is in the outbox, two look for what is wrong.

None of them tells anybody by itself: what they see goes into the outbox, from where it is delivered
once, also when Dagster was down meanwhile.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.defs.failed_runs import missed, tell
from callpipeline.defs.failing_sensors import look_at_sensors
from callpipeline.defs.told import told
from callpipeline.domain.notification import Policy
from callpipeline.pipeline.dispatch import Dispatcher, Tried, in_words
from callpipeline.pipeline.watch import Watch
from callpipeline.storage.outbox import Outbox
from callpipeline.wiring import Storage

RUNNING = dg.DefaultSensorStatus.RUNNING
OVERLAP = timedelta(minutes=10)
"""Dagster notes the end of a run a moment after it happened, by its own clock."""

notifications = dg.AssetSpec(
    "notifications",
    group_name="operation",
    kinds={"slack", "email"},
    description=(
        "What people were told: an observation for each try to deliver a message, with the "
        "receiver's answer. `callpipeline notifications list` shows the messages themselves."
    ),
)


def outbox_sensor() -> dg.SensorDefinition:
    """The dispatcher."""

    @dg.sensor(
        name="outbox",
        default_status=RUNNING,
        minimum_interval_seconds=10,
        description=(
            "Delivers what people are to be told, by Slack, email and webhook, and tries again "
            "what was refused: after 10 s at first, for a day in all. Switched off, nobody is told "
            "anything, and nothing is lost."
        ),
    )
    def sensor(context: SensorContext, dispatcher: dg.ResourceParam[Dispatcher]) -> dg.SensorResult:
        with told():
            tried = dispatcher.dispatch()
        return dg.SensorResult(skip_reason=in_words(tried), asset_events=observations(tried))

    return sensor


def observations(tried: Sequence[Tried]) -> list[dg.AssetObservation]:
    """Each try for Dagster's UI; the receiver's own words stay in the outbox."""
    return [
        dg.AssetObservation(
            notifications.key,
            metadata={
                "channel": str(one.channel),
                "event": str(one.kind),
                "part": one.part,
                "events": one.events,
                "notification": one.notification_id,
                "attempt": one.outcome.lease.attempts,
                "delivered": one.outcome.accepted,
                "answer": one.outcome.code,
                "seconds": round(one.outcome.took_s, 3),
            },
        )
        for one in tried
    ]


def failed_runs_sensor() -> dg.SensorDefinition:
    """Dagster's own failure sensor; `trouble` finds what it misses."""

    @dg.run_failure_sensor(
        name="failed_runs",
        default_status=RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Enters runs into the outbox that failed for a reason outside any call: killed, out of "
            "memory, no database. Calls that failed are told as calls."
        ),
    )
    def sensor(context: dg.RunFailureSensorContext, storage: dg.ResourceParam[Storage]) -> None:
        with told():
            tell(context.instance, storage.outbox, context.dagster_run)

    return sensor


def trouble_sensor(policy: Policy) -> dg.SensorDefinition:
    """What is wrong, and what is well again, beside the calls themselves."""

    @dg.sensor(
        name="trouble",
        default_status=RUNNING,
        minimum_interval_seconds=60,
        description=(
            "Looks for engines that do not work, sensors and schedules that fail, recordings that "
            "no longer come in, and failed runs that nobody told of; what is wrong, and when it is "
            "over, goes into the outbox. With a digest set, it writes that once a day too."
        ),
    )
    def sensor(
        context: SensorContext, storage: dg.ResourceParam[Storage], watch: dg.ResourceParam[Watch]
    ) -> dg.SensorResult:
        now, since = datetime.now(UTC), _since(context.cursor)
        with told(), ExitStack() as looks:
            # Whatever one of them meets, the others look; the first error ends the tick.
            wrong: list[str] = []
            looks.callback(lambda: wrong.extend(watch.look(policy, now)))
            looks.callback(
                lambda: wrong.extend(look_at_sensors(context.instance, storage.outbox, now))
            )
            looks.callback(
                lambda: wrong.extend(_untold_runs(context.instance, storage.outbox, since, now))
            )
        said = "; ".join(wrong) or "Nothing that it looks for is wrong"
        return dg.SensorResult(skip_reason=f"{said}.", cursor=json.dumps(now.timestamp()))

    return sensor


def _untold_runs(
    instance: dg.DagsterInstance, outbox: Outbox, since: datetime | None, now: datetime
) -> list[str]:
    found = missed(instance, outbox, since, now)
    return [f"{found} failed runs were not told yet"] if found else []


def _since(cursor: str | None) -> datetime | None:
    """Shortly before the last look; None before the first, or where the cursor is of another
    version."""
    try:
        return datetime.fromtimestamp(float(json.loads(cursor or "")), UTC) - OVERLAP
    except (ValueError, TypeError, OverflowError):
        return None
