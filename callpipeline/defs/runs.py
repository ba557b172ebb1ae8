"""Runs without a daemon: the command line runs the same batches as the sensor asks for."""

import json
import uuid
from collections.abc import Collection
from pathlib import Path

import dagster as dg

from callpipeline.defs.lost import release_lost
from callpipeline.defs.selection import JOB, plan_batches, request_runs
from callpipeline.storage.claims import Claims
from callpipeline.storage.queue import Queue


def waiting_runs(
    queue: Queue, batch_size: int, folder: Path, *, but: Collection[str] = ()
) -> dict[str, list[str]]:
    """By batch of waiting calls the command (after `python`) that runs it to its end.

    Batches in `but` are left out. Run configs are written to `folder`, since the command takes
    them as files only.
    """
    with dg.DagsterInstance.get() as instance:
        planned = plan_batches(queue, uuid.uuid4().hex[:12], batch_size)
        batches = [batch for batch in planned if batch.batch_id not in but]
        requests = request_runs(instance, batches)
        return {b.batch_id: _command(r, folder) for b, r in zip(batches, requests, strict=True)}


def _command(request: dg.RunRequest, folder: Path) -> list[str]:
    execute = ["-m", "dagster", "job", "execute", "-m", "callpipeline.definitions", "-j", JOB]
    tags = ["--tags", json.dumps(dict(request.tags))]
    if not request.run_config:
        return [*execute, *tags]
    config = folder / f"{request.run_key}.yaml"
    config.write_text(json.dumps(request.run_config))  # YAML takes JSON as it is
    return [*execute, *tags, "-c", str(config)]


UNFINISHED = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def take_back(claims: Claims, *, nobody_else: bool) -> int:
    """Take calls back from runs that are gone; returns how many.

    With `nobody_else`, which is for the sole operator of an embedded database before it starts
    anything, runs that are not finished were killed with their machine or their `up`, and are
    marked as failed. A database that others use may have runs under way elsewhere.
    """
    with dg.DagsterInstance.get() as instance:
        if nobody_else:
            for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
                instance.report_run_failed(run, "callpipeline was stopped during this run.")
        return release_lost(instance, claims).released
