"""What `callpipeline doctor` asks Dagster's instance: its daemon, its sensors, its queue.

Read from Dagster's tables alone: neither the daemon nor the code server need to answer.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorTick,
    SensorInstigatorData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from callpipeline.defs.told import Told

SILENT = timedelta(minutes=2)
"""The daemon gives a sign of life every 30 s."""
STUCK = timedelta(minutes=5)
REMOVED = timedelta(days=1)
"""Dagster keeps what it knows of sensors that the definitions do not have any more."""
QUEUED = timedelta(minutes=15)
LONGEST_TEXT = 200


class Health(NamedTuple):
    """One finding: `level` is ok, warn or bad."""

    name: str
    level: str
    detail: str


def dagster_health() -> list[Health]:
    """Everything that can be told of Dagster; its tables must be there."""
    with dg.DagsterInstance.get() as instance:
        return examine(instance, datetime.now(UTC))


def examine(instance: dg.DagsterInstance, now: datetime) -> list[Health]:
    """What the instance looks like at a time."""
    daemon, is_alive = _daemon(instance, now)
    sensors = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    by_name = sorted(sensors, key=lambda state: state.instigator_name)
    told = [_sensor(instance, state, now, is_alive=is_alive) for state in by_name]
    return [daemon, *told, _queue(instance, now)]


def _daemon(instance: dg.DagsterInstance, now: datetime) -> tuple[Health, bool]:
    """The daemon's signs of life, one for each of its duties; and whether it lives."""
    required = set(instance.get_required_daemon_types())
    beats = [b for b in instance.get_daemon_heartbeats().values() if b.daemon_type in required]
    if not beats:
        return Health("daemon", "ok", "not started yet: `callpipeline up` does"), False
    silent = max(now - _at(beat.timestamp) for beat in beats)
    if silent > SILENT:
        told = f"its last sign of life was {_ago(silent)} ago: is `callpipeline up` on?"
        return Health("daemon", "bad", told), False
    errors = [(beat.daemon_type, error) for beat in beats for error in beat.errors or ()]
    if errors:
        duty, error = errors[0]
        return Health("daemon", "bad", f"{duty.lower()} met an error: {cause(error)}"), True
    return Health("daemon", "ok", f"its last sign of life was {_ago(silent)} ago"), True


def _sensor(
    instance: dg.DagsterInstance, state: InstigatorState, now: datetime, *, is_alive: bool
) -> Health:
    name = f"sensor {state.instigator_name}"
    if not state.is_running:
        return Health(name, "ok", "stopped, in Dagster's UI")
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
    if not ticks:
        return Health(name, "ok", "running; has not looked yet")
    level, told = _look(ticks, now, late=_late(state) if is_alive else None)
    return Health(name, level, f"running; {told}")


def _look(
    ticks: Sequence[InstigatorTick], now: datetime, *, late: timedelta | None
) -> tuple[str, str]:
    """Level and words for a sensor's last looks; `late` is the age from which that is too long.

    One that fails is looked at again in seconds; it happens while a service is started again.
    """
    tick, failures = ticks[0], [tick.status is TickStatus.FAILURE for tick in ticks]
    age = now - _at(tick.timestamp)
    told = f"looked {_ago(age)} ago"
    if late is not None and age > REMOVED:
        return "warn", f"{told}: if callpipeline has no such sensor any more, all is well"
    if failures == [True, True]:
        return "bad", f"{told} and failed, not for the first time: {cause(tick.error)}"
    if failures[0]:
        return "warn", f"{told} and failed: {cause(tick.error)}"
    if late is not None and age > late:
        return "bad", f"{told}, though the daemon is alive"
    found = f": {tick.skip_reason}" if tick.skip_reason else f", {len(tick.run_ids)} runs asked for"
    return "ok", told + found[:LONGEST_TEXT]


def _late(state: InstigatorState) -> timedelta:
    """Five minutes, or twice its interval where a sensor looks seldom."""
    known = state.instigator_data
    interval_s = known.min_interval if isinstance(known, SensorInstigatorData) else None
    return max(STUCK, timedelta(seconds=2 * (interval_s or 0)))


def _queue(instance: dg.DagsterInstance, now: datetime) -> Health:
    queued = [dg.DagsterRunStatus.QUEUED]
    late = instance.get_runs_count(dg.RunsFilter(statuses=queued, created_before=now - QUEUED))
    count = instance.get_runs_count(dg.RunsFilter(statuses=queued))
    if late:
        minutes = QUEUED.total_seconds() / 60
        told = f"{late} runs wait for more than {minutes:.0f} minutes: what holds the slots?"
        return Health("queue", "bad", told)
    return Health("queue", "ok", f"{count} runs wait" if count else "no run waits")


def cause(error: SerializableErrorInfo | None) -> str:
    """The innermost error in one line: Dagster wraps what a sensor raised."""
    while error and error.cause:
        error = error.cause
    if error is None:
        return "the reason is in Dagster's UI"
    if "StatusCode.UNAVAILABLE" in error.message:
        return "the code server did not answer"
    words = " ".join(error.message.split())
    if error.cls_name == Told.__name__:  # ours: only the sentence
        words = words.partition(": ")[2]
    return words[:LONGEST_TEXT] or error.cls_name or "unknown"


def _at(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
