"""Sensors and schedules that fail again and again, and those that work again."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, TickStatus

from callpipeline.defs.health import cause
from callpipeline.domain.notification import EventKind, Occurrence, Severity
from callpipeline.storage.outbox import Outbox

IN_A_ROW = 3
"""Looks that failed: one or two are a service that was started again."""
ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
STALE = timedelta(days=1)
"""Dagster keeps what it knows of sensors that the definitions do not have any more."""


def look_at_sensors(instance: dg.DagsterInstance, outbox: Outbox, now: datetime) -> list[str]:
    """Report those that fail, and clear those that do not; returns what is wrong, in words."""
    failing = {one.group_key: one for one in _failing(instance, now)}
    for occurrence in failing.values():
        outbox.report(occurrence, now)
    outbox.clear(outbox.open_groups(EventKind.SENSOR_FAILING) - set(failing), now)
    return [occurrence.title for occurrence in failing.values()]


def _failing(instance: dg.DagsterInstance, now: datetime) -> Iterator[Occurrence]:
    for state in instance.all_instigator_state():
        if not state.is_running:
            continue
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=IN_A_ROW, statuses=ENDED
        )
        recent = [t for t in ticks if now.timestamp() - t.timestamp < STALE.total_seconds()]
        if len(recent) == IN_A_ROW and all(t.status is TickStatus.FAILURE for t in recent):
            yield _occurrence(state, cause(recent[0].error))


def _occurrence(state: InstigatorState, why: str) -> Occurrence:
    name, kind = state.instigator_name, state.instigator_type.value.lower()
    return Occurrence(
        EventKind.SENSOR_FAILING,
        Severity.ERROR,
        f"The {kind} {name} fails",
        group_key=f"{EventKind.SENSOR_FAILING}:{kind}:{name}",
        recovers=True,
        error_class="SensorFailing",
        error_message=why,
        metadata={
            "over": f"The {kind} {name} works again",
            "advice": "`callpipeline doctor` tells how it stands; its ticks are in Dagster's UI, "
            "under Automation.",
        },
    )
