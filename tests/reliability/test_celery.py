"""Runs on Celery workers: they are canceled, interrupted and killed, and lose no call."""

import signal
from collections.abc import Iterator

import dagster as dg
import pytest

from callpipeline.defs.dagster_internals.probes import worker_status
from callpipeline.domain.calls.call import CallState
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import tally
from tests.soak.workers import NO_REDIS, REDIS, with_workers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(REDIS is None, reason=NO_REDIS)]

CALLS = 6


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with with_workers(tmp_path_factory.mktemp("celery"), runs=1, slots=1) as installation:
        installation.start_worker("worker-1")
        yield installation


def test_a_burst_is_processed_by_the_workers(installation: Installation) -> None:
    keys = [installation.record(Script(n, 2, wait_s=2.0)) for n in range(CALLS)]
    call_ids = installation.register(keys[:1])
    installation.run_at_work(call_ids[0])
    call_ids += installation.register(keys[1:])
    installation.wait_until_final(call_ids, 240)
    assert set(installation.states(call_ids)) == {CallState.COMPLETED}
    assert tally(installation.url, installation.store, call_ids).is_clean
    with installation.instance() as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "process_waiting_calls"]
    assert len(runs) >= 2, "the later calls waited for a run of their own"
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_a_canceled_run_ends_canceled_and_its_calls_are_processed_later(
    installation: Installation,
) -> None:
    call_ids = installation.register([installation.record(Script(100, 1, wait_s=30.0))])
    run_id = installation.run_at_work(call_ids[0])
    with installation.instance() as instance:
        assert instance.run_launcher.terminate(run_id)
        until(lambda: _status(instance, run_id).name == "CANCELED", "the run is canceled", 60)
    installation.end_wait(100)
    until(lambda: not _holder(installation, call_ids[0], run_id), "its call is released", 60)
    installation.wait_until_final(call_ids, 240)
    assert installation.states(call_ids) == [CallState.COMPLETED]


def test_a_stopped_worker_hands_its_calls_to_the_next_one(installation: Installation) -> None:
    call_ids = installation.register([installation.record(Script(200, 1, wait_s=30.0))])
    run_id = installation.run_at_work(call_ids[0])
    broker = installation.environment["CALLPIPELINE_CELERY_BROKER"]
    assert worker_status(broker, 60) is None
    worker = installation.running["worker-1"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0
    assert worker_status(broker, 2) == "no worker on this machine answers"
    counted = "SELECT state, attempts, releases, idle_runs FROM calls WHERE call_id = '{}'"
    assert execute_sql(installation.url, counted.format(call_ids[0])) == [("PENDING", 0, 0, 0)]
    with installation.instance() as instance:
        assert _status(instance, run_id) is dg.DagsterRunStatus.CANCELED
    installation.end_wait(200)
    installation.start_worker("worker-2")
    installation.wait_until_final(call_ids, 240)
    assert installation.states(call_ids) == [CallState.COMPLETED]


def _holder(installation: Installation, call_id: str, run_id: str) -> bool:
    return installation.storage.ledger.find(call_id).claimed_by == run_id


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status
