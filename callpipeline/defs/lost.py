"""Runs that died with calls in their hands, and batches of calls whose run will not come."""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._time import get_current_timestamp

from callpipeline.defs.selection import BATCH_TAG
from callpipeline.domain.call import Stage
from callpipeline.storage.claims import Claims
from callpipeline.storage.life import SILENT_S
from callpipeline.storage.queue import Batch, Queue

LATE_S = 120.0
"""A run that began and has not taken its calls after so long never will: it takes them first."""
MEMORY_S = 60.0
"""A silence that was noted longer ago says nothing: the reconciler itself was away meanwhile."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A run that gave no sign of life; `noted_at` is when that was seen, in seconds since 1970."""

    run_id: str
    alive_at: float
    noted_at: float


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of looking at the runs that hold calls; `suspects` are silent, not yet dead."""

    released: int
    dead: frozenset[str]
    suspects: tuple[Silent, ...]

    @property
    def cursor(self) -> list[tuple[str, float, float]]:
        return [(s.run_id, s.alive_at, s.noted_at) for s in self.suspects]


def silent_before(cursor: str | None) -> tuple[Silent, ...]:
    """The suspects of the last look; none where the cursor is of another version."""
    try:
        return tuple(Silent(*noted) for noted in json.loads(cursor or "[]"))
    except (ValueError, TypeError):
        return ()


def release_lost(
    instance: dg.DagsterInstance, claims: Claims, suspects: Iterable[Silent] = ()
) -> Reconciled:
    """Take calls back from runs that have ended, or that were silent this time and the last.

    Twice, since after an outage of the database every run seems silent at first.
    """
    holding = claims.claiming_runs()
    runs = _runs_by_id(instance, [run.run_id for run in holding])
    now = time.time()
    silent = [
        Silent(run.run_id, now - run.silent_s, now) for run in holding if run.silent_s > SILENT_S
    ]
    ended = {r.run_id for r in holding if r.run_id not in runs or runs[r.run_id].is_finished}
    given_up = _still_silent(silent, suspects) - ended
    for run_id in given_up:
        # First, so that a tick which ends here is made up for by the next: Dagster would keep the
        # slot of a run whose process is gone for a day.
        instance.report_run_failed(
            runs[run_id],
            "The run's process gave no sign of life any more; its calls are given to another run.",
        )
    dead = frozenset(ended | given_up)
    released = claims.release(dead) if dead else {}
    _report_unseen(instance, claims.stored_by(dead) if dead else [])
    return Reconciled(len(released), dead, tuple(s for s in silent if s.run_id not in dead))


def _still_silent(silent: Iterable[Silent], before: Iterable[Silent]) -> set[str]:
    """Those that were noted not long ago, and have given no sign since."""
    noted = {suspect.run_id: suspect for suspect in before}
    return {
        now.run_id
        for now in silent
        if (then := noted.get(now.run_id))
        and now.noted_at - then.noted_at < MEMORY_S
        and abs(now.alive_at - then.alive_at) < 1
    }


def _runs_by_id(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> dict[str, dg.DagsterRun]:
    if not run_ids:
        return {}
    runs = instance.get_runs(filters=dg.RunsFilter(run_ids=list(run_ids)))
    return {run.run_id: run for run in runs}


def _report_unseen(
    instance: dg.DagsterInstance, stored: Collection[tuple[str, str, Stage]]
) -> None:
    """Tell Dagster of stages that a dead run stored and could not tell of any more.

    Only those of completed calls: another run tells of the others, as it goes on with them.
    """
    seen: Mapping[str, set[tuple[str, str]]] = {
        run_id: _materialized_by(instance, run_id) for run_id in {run_id for run_id, *_ in stored}
    }
    for run_id, call_id, stage in stored:
        if (stage, call_id) not in seen[run_id]:
            told = {"stored_by_run": run_id, "kept_from_earlier_run": True}
            made = dg.AssetMaterialization(stage.value, partition=call_id, metadata=told)
            instance.report_runless_asset_event(made)


def _materialized_by(instance: dg.DagsterInstance, run_id: str) -> set[tuple[str, str]]:
    """Asset and partition of each materialization in a run's log."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = (entry.get_dagster_event() for entry in logged)
    return {(e.asset_key.path[-1], e.partition) for e in found if e.asset_key and e.partition}


def forget_lost(instance: dg.DagsterInstance, queue: Queue) -> int:
    """Let calls whose run will not take them be asked for again; returns how many."""
    late = [batch for batch in queue.open_batches() if _will_never_run(instance, batch)]
    return queue.forget_batches([batch.batch_id for batch in late]) if late else 0


def _will_never_run(instance: dg.DagsterInstance, batch: Batch) -> bool:
    """All its runs have ended, or hang in a process that should have taken the calls long ago.

    A batch without any run is asked for at every tick, so it is not lost; one whose run is still
    starting is Dagster's to give up (`start_timeout_seconds`).
    """
    records = instance.get_run_records(dg.RunsFilter(tags={BATCH_TAG: batch.batch_id}), limit=10)
    for record in records:
        if hangs(record):
            instance.report_run_failed(record.dagster_run, "The run did not begin to work.")
        elif not record.dagster_run.is_finished:
            return False
    return bool(records)


def hangs(record: dg.RunRecord) -> bool:
    """Whether a run began long ago and, as its batch is still there, never took its calls."""
    is_late = get_current_timestamp() - record.update_timestamp.timestamp() > LATE_S
    return record.dagster_run.status is dg.DagsterRunStatus.STARTED and is_late
