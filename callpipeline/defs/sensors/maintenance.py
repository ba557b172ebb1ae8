"""Maintenance: reclaims the calls of dead runs, and completes erasures."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.health import is_daemon_alive
from callpipeline.defs.dagster_internals.records import erase_records
from callpipeline.defs.dagster_internals.runs import mark_failed, materialized_in
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.partitions import BATCH_TAG
from callpipeline.domain.calls.call import Stage
from callpipeline.pipeline.erasure import (
    BATCH_SIZE,
    QUIET_S,
    Eraser,
    ErasureAttempt,
    ExternalTraces,
)
from callpipeline.storage.calls.claims import STALE_AFTER_S, Claims
from callpipeline.storage.calls.queue import Batch, CallQueue
from callpipeline.storage.erasure import mask_call_ids_in_logs
from callpipeline.wiring import Storage, open_eraser

START_TIMEOUT_S = 120.0
"""A run claims its calls first, so one that has not done so after this time never will."""
SUSPICION_S = 60.0
"""Older observations are ignored: the reconciler itself was not running in between."""

PASSES = 2
"""The first deletes, the second verifies that nothing is left."""


@dataclass(frozen=True, slots=True)
class StaleRun:
    """A run without a recent heartbeat; times are in seconds since the epoch."""

    run_id: str
    heartbeat_at: float
    observed_at: float


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Result of a reconciliation; `suspects` are stale, but not yet considered dead."""

    released: int
    dead: frozenset[str]
    suspects: tuple[StaleRun, ...]

    @property
    def cursor(self) -> list[tuple[str, float, float]]:
        return [(s.run_id, s.heartbeat_at, s.observed_at) for s in self.suspects]


def stale_runs_from(cursor: str | None) -> tuple[StaleRun, ...]:
    """Return the suspects of the last tick; none if another version wrote the cursor."""
    try:
        return tuple(StaleRun(*noted) for noted in json.loads(cursor or "[]"))
    except (ValueError, TypeError):
        return ()


def reclaim_lost(
    instance: dg.DagsterInstance, claims: Claims, suspects: Iterable[StaleRun] = ()
) -> ReconcileResult:
    """Reclaim calls from runs that have ended, or that were stale in this tick and the last.

    Two ticks, since after a database outage every run looks stale at first. Commands that process
    calls are no runs of Dagster: they are alive as long as they send heartbeats.
    """
    claiming = claims.claiming_runs()
    runs = _runs_by_id(instance, [run.run_id for run in claiming])
    now = time.time()
    stale = [
        StaleRun(run.run_id, now - run.heartbeat_age_s, now)
        for run in claiming
        if run.heartbeat_age_s > STALE_AFTER_S
    ]
    ended = {run_id for run_id, run in runs.items() if run.is_finished}
    timed_out = _still_stale(stale, suspects) - ended
    for run_id in timed_out & runs.keys():
        # First, so that an interrupted tick is repeated by the next: Dagster would keep the
        # slot of a run whose process is gone for a day.
        mark_failed(
            instance,
            runs[run_id],
            "The run's process stopped sending heartbeats. Another run takes over its calls.",
        )
    dead = frozenset(ended | timed_out)
    released = claims.reclaim(dead) if dead else {}
    _report_unreported(instance, claims.completed_stages(dead) if dead else [])
    return ReconcileResult(len(released), dead, tuple(s for s in stale if s.run_id not in dead))


def _still_stale(stale: Iterable[StaleRun], before: Iterable[StaleRun]) -> set[str]:
    """Return the runs that were already stale recently, without a heartbeat since."""
    earlier = {suspect.run_id: suspect for suspect in before}
    return {
        now.run_id
        for now in stale
        if (then := earlier.get(now.run_id))
        and now.observed_at - then.observed_at < SUSPICION_S
        and abs(now.heartbeat_at - then.heartbeat_at) < 1
    }


def _runs_by_id(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> dict[str, dg.DagsterRun]:
    if not run_ids:
        return {}
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(run_ids)))
    return {record.dagster_run.run_id: record.dagster_run for record in records}


def _report_unreported(
    instance: dg.DagsterInstance, stored: Collection[tuple[str, str, Stage]]
) -> None:
    """Report stages to Dagster that a dead run stored without reporting them.

    Only for completed calls: the run that continues the others reports their stages.
    """
    reported: Mapping[str, set[tuple[str, str]]] = {
        run_id: materialized_in(instance, run_id) for run_id in {run_id for run_id, *_ in stored}
    }
    for run_id, call_id, stage in stored:
        if (stage, call_id) not in reported[run_id]:
            metadata = {"stored_by_run": run_id, "kept_from_earlier_run": True}
            event = dg.AssetMaterialization(stage.value, partition=call_id, metadata=metadata)
            instance.report_runless_asset_event(event)


def forget_lost_batches(instance: dg.DagsterInstance, queue: CallQueue) -> int:
    """Cancel batches whose run will never claim them; returns how many calls wait again."""
    lost = [batch for batch in queue.open_batches() if _will_never_run(instance, batch)]
    return queue.cancel_batches([batch.batch_id for batch in lost]) if lost else 0


def _will_never_run(instance: dg.DagsterInstance, batch: Batch) -> bool:
    """Return True if all runs of a batch have ended, or never started their work.

    A batch without a run is requested in every tick, so it is not lost. A run that is still
    starting is left to Dagster (`start_timeout_seconds`).
    """
    records = instance.get_run_records(dg.RunsFilter(tags={BATCH_TAG: batch.batch_id}), limit=10)
    for record in records:
        if never_started_work(record):
            mark_failed(instance, record.dagster_run, "The run did not start its work.")
        elif not record.dagster_run.is_finished:
            return False
    return bool(records)


def never_started_work(record: dg.RunRecord) -> bool:
    """Return True if a run with an open batch started long ago: it never claimed its calls."""
    is_late = time.time() - record.update_timestamp.timestamp() > START_TIMEOUT_S
    return record.dagster_run.status is dg.DagsterRunStatus.STARTED and is_late


def dagster_eraser(instance: dg.DagsterInstance, settings: Settings, storage: Storage) -> Eraser:
    """Return an eraser that also deletes Dagster's records and masks log files."""

    def erase_external(call_ids: Sequence[str], thorough: bool) -> ExternalTraces:
        traces = erase_records(instance, call_ids, thorough=thorough)
        masked = mask_call_ids_in_logs(settings.home / "logs", call_ids)
        return ExternalTraces(traces.removed + masked, traces.busy)

    # A live daemon may have sensor ticks that started before the call was erased.
    quiet_s = QUIET_S if is_daemon_alive(instance) else 0.0
    return open_eraser(settings, storage, erase_external, quiet_s=quiet_s)


def erasures_sensor(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """Return the sensor that completes erasures, and erases recordings that arrive again."""

    @dg.sensor(
        name="erasures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description=(
            "Completes erasures that `callpipeline erase` started: deletes the data of erased "
            "calls from the stores and from Dagster, and repeats until nothing is left. A new "
            "recording with the same bytes as an erased one is erased too."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            eraser = dagster_eraser(context.instance, settings(), storage)
            returned = eraser.erase_returned()
            attempts = eraser.finish()
        return dg.SensorResult(skip_reason=summarize(returned, attempts))

    return sensor


def summarize(returned: Sequence[str], attempts: Sequence[ErasureAttempt]) -> str:
    """Return a one-sentence summary of a tick for the sensor's page."""
    finished = sum(attempt.finished for attempt in attempts)
    parts = [f"{len(returned)} erased recordings arrived again"] if returned else []
    if attempts:
        parts.append(f"{finished} of {len(attempts)} erasures completed")
    parts += sorted({attempt.trouble.rstrip(".") for attempt in attempts if attempt.trouble})
    return "; ".join(parts) + "." if parts else "Nothing to erase."


def erase_now(
    settings: Settings, storage: Storage, call_ids: Sequence[str]
) -> tuple[list[ErasureAttempt], bool]:
    """Delete the data of calls that have a tombstone, and verify that nothing is left.

    Returns the result for each call, and True if a daemon will continue unfinished erasures.
    """
    with dg.DagsterInstance.get() as instance:
        eraser = dagster_eraser(instance, settings, storage)
        # Some may have arrived while the command waited for confirmation.
        requested = [*call_ids, *eraser.erase_returned()]
        for _ in range(PASSES):
            for start in range(0, len(requested), BATCH_SIZE):
                eraser.finish(requested[start : start + BATCH_SIZE])
        left = {erasure.call_id: erasure.trouble for erasure in storage.erasures.open(requested)}
        continues = is_daemon_alive(instance)
    return [ErasureAttempt(id_, id_ not in left, left.get(id_)) for id_ in call_ids], continues
