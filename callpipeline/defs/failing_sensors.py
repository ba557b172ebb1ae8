"""Sensors and schedules that fail again and again, and those that work again."""

from datetime import datetime, timedelta

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from callpipeline.defs.health import cause
from callpipeline.domain.notification import EventKind, Occurrence, Severity
from callpipeline.storage.outbox import Outbox

IN_A_ROW = {InstigatorType.SENSOR: 3, InstigatorType.SCHEDULE: 1}
"""Looks that failed: of a sensor one or two are a service that was started again."""
FRESH = {InstigatorType.SENSOR: timedelta(days=1), InstigatorType.SCHEDULE: timedelta(days=40)}
"""Dagster keeps what it knows of those that the definitions do not have any more."""
ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


def look_at_sensors(instance: dg.DagsterInstance, outbox: Outbox, now: datetime) -> list[str]:
    """Report those that fail, and clear those that work; returns what is wrong, in words.

    Of what was switched off nobody says that it works again.
    """
    failing: dict[str, Occurrence] = {}
    working: set[str] = set()
    for state in instance.all_instigator_state():
        ticks = _recent_ticks(instance, state, now) if state.is_running else []
        failed = [tick.status is TickStatus.FAILURE for tick in ticks]
        if ticks and not failed[0]:
            working.add(_group(state))
        elif len(failed) == IN_A_ROW[state.instigator_type] and all(failed):
            failing[_group(state)] = _occurrence(state, cause(ticks[0].error))
    for occurrence in failing.values():
        outbox.report(occurrence, now)
    outbox.clear(outbox.open_groups(EventKind.SENSOR_FAILING) & working, now)
    return [occurrence.title for occurrence in failing.values()]


def _recent_ticks(
    instance: dg.DagsterInstance, state: InstigatorState, now: datetime
) -> list[InstigatorTick]:
    """Its last looks, newest first; none where the newest is of a time before."""
    kind = state.instigator_type
    ticks = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, limit=IN_A_ROW[kind], statuses=ENDED
    )
    is_fresh = ticks and now.timestamp() - ticks[0].timestamp < FRESH[kind].total_seconds()
    return list(ticks) if is_fresh else []


def _group(state: InstigatorState) -> str:
    kind = state.instigator_type.value.lower()
    return f"{EventKind.SENSOR_FAILING}:{kind}:{state.instigator_name}"


def _occurrence(state: InstigatorState, why: str) -> Occurrence:
    name, kind = state.instigator_name, state.instigator_type.value.lower()
    return Occurrence(
        EventKind.SENSOR_FAILING,
        Severity.ERROR,
        f"The {kind} {name} fails",
        group_key=_group(state),
        recovers=True,
        error_class="SensorFailing",
        error_message=why,
        metadata={
            "over": f"The {kind} {name} works again",
            "advice": "`callpipeline doctor` tells how it stands; its ticks are in Dagster's UI, "
            "under Automation.",
        },
    )
