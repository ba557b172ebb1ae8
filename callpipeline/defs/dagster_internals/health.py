"""Health of Dagster's daemon, sensors, schedules and run queue.

Everything is read from Dagster's tables, so neither the daemon nor the code server need to respond.
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

from callpipeline.defs.errors import UserFacingError
from callpipeline.domain.notifications import EventKind, NotificationEvent, Severity
from callpipeline.storage.notifications import Outbox

HEARTBEAT_TIMEOUT = timedelta(minutes=2)
"""The daemon sends a heartbeat every 30 s."""
MIN_TICK_TIMEOUT = timedelta(minutes=5)
REMOVED_AFTER = timedelta(days=1)
"""Dagster keeps the state of sensors that the definitions no longer contain."""
QUEUE_TIMEOUT = timedelta(minutes=15)
MAX_TEXT_LENGTH = 200

FAILURES_IN_A_ROW = {InstigatorType.SENSOR: 3, InstigatorType.SCHEDULE: 1}
"""Failed ticks before a report: one or two of a sensor may be a service that restarts."""
MAX_TICK_AGE = {InstigatorType.SENSOR: timedelta(days=1), InstigatorType.SCHEDULE: timedelta(40)}
"""Sensors and schedules with older ticks only were probably removed from the definitions."""
FINISHED_TICKS = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


class DagsterStatus(NamedTuple):
    """One result of `callpipeline doctor`; `level` is ok, warn or bad."""

    name: str
    level: str
    detail: str


def dagster_health() -> list[DagsterStatus]:
    """Return the health of the instance; its tables must exist."""
    with dg.DagsterInstance.get() as instance:
        return examine(instance, datetime.now(UTC))


def examine(instance: dg.DagsterInstance, now: datetime) -> list[DagsterStatus]:
    """Return the health of an instance at a given time."""
    daemon, is_alive = _daemon(instance, now)
    sensors = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    by_name = sorted(sensors, key=lambda state: state.instigator_name)
    results = [_sensor(instance, state, now, is_alive=is_alive) for state in by_name]
    return [daemon, *results, _queue(instance, now)]


def is_daemon_alive(instance: dg.DagsterInstance) -> bool:
    """Return True if a daemon has sent a heartbeat recently."""
    since = (datetime.now(UTC) - HEARTBEAT_TIMEOUT).timestamp()
    return any(beat.timestamp > since for beat in instance.get_daemon_heartbeats().values())


def report_failing_sensors(
    instance: dg.DagsterInstance, outbox: Outbox, now: datetime
) -> list[str]:
    """Report failing sensors and schedules, and resolve those that work; returns the titles.

    One that was switched off is not reported as recovered.
    """
    failing: dict[str, NotificationEvent] = {}
    working: set[str] = set()
    for state in instance.all_instigator_state():
        ticks = _recent_ticks(instance, state, now) if state.is_running else []
        failed = [tick.status is TickStatus.FAILURE for tick in ticks]
        if ticks and not failed[0]:
            working.add(_group_key(state))
        elif len(failed) == FAILURES_IN_A_ROW[state.instigator_type] and all(failed):
            failing[_group_key(state)] = _occurrence(state, root_cause(ticks[0].error))
    for occurrence in failing.values():
        outbox.report(occurrence, now)
    outbox.clear(outbox.open_groups(EventKind.SENSOR_FAILING) & working, now)
    return [occurrence.title for occurrence in failing.values()]


def root_cause(error: SerializableErrorInfo | None) -> str:
    """Return the innermost error in one line: Dagster wraps what a sensor raised."""
    while error and error.cause:
        error = error.cause
    if error is None:
        return "see Dagster's UI for the reason"
    if "StatusCode.UNAVAILABLE" in error.message:
        return "the code server did not respond"
    message = " ".join(error.message.split())
    if error.cls_name == UserFacingError.__name__:
        message = message.partition(": ")[2]
    return message[:MAX_TEXT_LENGTH] or error.cls_name or "unknown"


def _daemon(instance: dg.DagsterInstance, now: datetime) -> tuple[DagsterStatus, bool]:
    """Return the status of the daemon, which sends a heartbeat per duty, and if it is alive."""
    required = set(instance.get_required_daemon_types())
    beats = [b for b in instance.get_daemon_heartbeats().values() if b.daemon_type in required]
    if not beats:
        return DagsterStatus("daemon", "ok", "not started yet: run `callpipeline up`"), False
    age = max(now - _at(beat.timestamp) for beat in beats)
    if age > HEARTBEAT_TIMEOUT:
        detail = f"last heartbeat {_ago(age)} ago: is `callpipeline up` running?"
        return DagsterStatus("daemon", "bad", detail), False
    errors = [(beat.daemon_type, error) for beat in beats for error in beat.errors or ()]
    if errors:
        duty, error = errors[0]
        detail = f"{duty.lower()} reports an error: {root_cause(error)}"
        return DagsterStatus("daemon", "bad", detail), True
    return DagsterStatus("daemon", "ok", f"last heartbeat {_ago(age)} ago"), True


def _sensor(
    instance: dg.DagsterInstance, state: InstigatorState, now: datetime, *, is_alive: bool
) -> DagsterStatus:
    name = f"sensor {state.instigator_name}"
    if not state.is_running:
        return DagsterStatus(name, "ok", "stopped in Dagster's UI")
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
    if not ticks:
        return DagsterStatus(name, "ok", "running; no tick yet")
    level, detail = _ticks(ticks, now, timeout=_tick_timeout(state) if is_alive else None)
    return DagsterStatus(name, level, f"running; {detail}")


def _ticks(
    ticks: Sequence[InstigatorTick], now: datetime, *, timeout: timedelta | None
) -> tuple[str, str]:
    """Return level and detail for a sensor's last ticks; `timeout` is None without a daemon.

    A single failure is a warning: it happens while a service restarts.
    """
    tick, failures = ticks[0], [tick.status is TickStatus.FAILURE for tick in ticks]
    age = now - _at(tick.timestamp)
    detail = f"last tick {_ago(age)} ago"
    if timeout is not None and age > REMOVED_AFTER:
        return "warn", f"{detail}: ignore this if the sensor was removed from callpipeline"
    if failures == [True, True]:
        return "bad", f"{detail} failed again: {root_cause(tick.error)}"
    if failures[0]:
        return "warn", f"{detail} failed: {root_cause(tick.error)}"
    if timeout is not None and age > timeout:
        return "bad", f"{detail}, although the daemon is alive"
    outcome = f": {tick.skip_reason}" if tick.skip_reason else f", {len(tick.run_ids)} runs started"
    return "ok", detail + outcome[:MAX_TEXT_LENGTH]


def _tick_timeout(state: InstigatorState) -> timedelta:
    """Return five minutes, or twice the sensor's interval if that is longer."""
    data = state.instigator_data
    interval_s = data.min_interval if isinstance(data, SensorInstigatorData) else None
    return max(MIN_TICK_TIMEOUT, timedelta(seconds=2 * (interval_s or 0)))


def _queue(instance: dg.DagsterInstance, now: datetime) -> DagsterStatus:
    queued = [dg.DagsterRunStatus.QUEUED]
    created_before = now - QUEUE_TIMEOUT
    late = instance.get_runs_count(dg.RunsFilter(statuses=queued, created_before=created_before))
    count = instance.get_runs_count(dg.RunsFilter(statuses=queued))
    if late:
        minutes = QUEUE_TIMEOUT.total_seconds() / 60
        detail = f"{late} runs queued for more than {minutes:.0f} minutes: check the running runs"
        return DagsterStatus("queue", "bad", detail)
    return DagsterStatus("queue", "ok", f"{count} runs queued" if count else "no runs queued")


def _recent_ticks(
    instance: dg.DagsterInstance, state: InstigatorState, now: datetime
) -> list[InstigatorTick]:
    """Return the last ticks, newest first; none if the newest is too old."""
    kind = state.instigator_type
    ticks = instance.get_ticks(
        state.instigator_origin_id,
        state.selector_id,
        limit=FAILURES_IN_A_ROW[kind],
        statuses=FINISHED_TICKS,
    )
    max_age_s = MAX_TICK_AGE[kind].total_seconds()
    return list(ticks) if ticks and now.timestamp() - ticks[0].timestamp < max_age_s else []


def _group_key(state: InstigatorState) -> str:
    kind = state.instigator_type.value.lower()
    return f"{EventKind.SENSOR_FAILING}:{kind}:{state.instigator_name}"


def _occurrence(state: InstigatorState, reason: str) -> NotificationEvent:
    name, kind = state.instigator_name, state.instigator_type.value.lower()
    return NotificationEvent(
        EventKind.SENSOR_FAILING,
        Severity.ERROR,
        f"The {kind} {name} fails",
        group_key=_group_key(state),
        recovers=True,
        error_class="SensorFailing",
        error_message=reason,
        metadata={
            "over": f"The {kind} {name} works again",
            "advice": "Run `callpipeline doctor` for its status; Dagster's UI lists its ticks "
            "under Automation.",
        },
    )


def _at(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
