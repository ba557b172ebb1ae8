"""Runs that are killed, stopped or poisoned: each of their calls ends once.

The fixtures start all scenarios at once, since most of the time is spent waiting.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import psycopg
import pytest

from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.storage.postgres.sql import SCHEMA
from tests.processes import is_alive, until
from tests.soak.faults import CALL_POINTS, STAGE_POINTS, Fault
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import count_missing_in_dagster, tally

pytestmark = pytest.mark.slow

RECOVERED_S = 300.0
"""On an idle machine it is less than 60 s."""
TOGETHER = [point for point in (*STAGE_POINTS, *CALL_POINTS) if point != "claim.after"]
MENTIONS = 2

Results = list[tuple[object, ...]]
"""Call, run, stage and time of each stored result; a later write would change the time."""


@dataclass
class Zombie:
    """A stopped run, and the results that it had stored by then."""

    run_id: str
    pid: int
    stored: Results


@pytest.fixture(scope="module")
def poisoned(installation: Installation) -> tuple[str, list[str]]:
    """Start a call that kills each of its runs; return it and the other calls of its batch."""
    poison = installation.record(Script(200, MENTIONS, wait_s=0.5, poison=1))
    others = [installation.record(Script(n, MENTIONS, wait_s=1.5)) for n in range(201, 204)]
    first, *rest = installation.register([poison, *others], Lane.BULK)
    return first, rest


@pytest.fixture(scope="module")
def calls_to_stop(installation: Installation, poisoned: tuple[str, list[str]]) -> list[str]:
    """Start calls in a batch of their own, whose first run will be stopped."""
    keys = [installation.record(Script(n, MENTIONS, wait_s=5.0)) for n in range(100, 103)]
    call_ids = installation.register(keys)
    _wait_for_batch(installation, call_ids)
    return call_ids


@pytest.fixture(scope="module")
def crashed(installation: Installation, calls_to_stop: list[str]) -> dict[str, str]:
    """Start a call per crash point. The first run dies at one of them, the second at the others."""
    points = ["claim.after", *TOGETHER]
    keys = [installation.record(Script(n, MENTIONS)) for n in range(len(points))]
    calls = {point: installation.call_id(key) for point, key in zip(points, keys, strict=True)}
    for point, call_id in calls.items():
        together = 1 if point == "claim.after" else len(TOGETHER)
        installation.faults.arm(point, call_id, Fault(together=together))
    installation.register(keys)
    return calls


@pytest.fixture(scope="module")
def zombie(installation: Installation, calls_to_stop: list[str], crashed: dict[str, str]) -> Zombie:
    """Stop a run with SIGSTOP in the middle of its calls."""
    run_id = _run_processing(installation, calls_to_stop)
    pid = installation.pid_of_run(run_id)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    return Zombie(run_id, pid, _results(installation, calls_to_stop))


def test_a_run_killed_at_any_point_loses_and_duplicates_nothing(
    installation: Installation, crashed: dict[str, str], zombie: Zombie
) -> None:
    installation.wait_until_final(list(crashed.values()), 240)
    ended = time.time()
    struck = installation.faults.struck()
    assert {fault.point for fault in struck} == set(crashed)
    kills = sorted({fault.pid: fault.at for fault in struck}.values())
    print(f"killed {len(kills)} runs; all calls ended {ended - kills[-1]:.0f} s after the last")
    assert len(kills) == 2
    assert ended - kills[-1] <= RECOVERED_S
    assert set(installation.states(list(crashed.values()))) == {CallState.COMPLETED}


def test_a_stopped_run_that_resumes_writes_nothing(
    installation: Installation, calls_to_stop: list[str], zombie: Zombie
) -> None:
    took_s = installation.wait_until_final(calls_to_stop, 240)
    print(f"another run had finished the zombie's calls {took_s:.0f} s later")
    before = _results(installation, calls_to_stop)
    os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: not is_alive(zombie.pid), "the end of the zombie", 60, every_s=0.2)
    assert _results(installation, calls_to_stop) == before
    assert [row for row in before if row[1] == zombie.run_id] == zombie.stored
    assert len(before) > len(zombie.stored)
    with installation.instance() as instance:
        run = instance.get_run_by_id(zombie.run_id)
        assert run and run.status is dg.DagsterRunStatus.FAILURE


def test_a_call_that_kills_its_worker_fails_alone(
    installation: Installation, poisoned: tuple[str, list[str]]
) -> None:
    poison, others = poisoned
    installation.wait_until_final([poison, *others], 300)
    call = installation.storage.ledger.find(poison)
    assert (call.state, call.error_class) == (CallState.FAILED, "PoisonCall")
    assert set(installation.states(others)) == {CallState.COMPLETED}


def test_nothing_is_lost_or_duplicated(installation: Installation) -> None:
    found = tally(installation.url, installation.store)
    print(found)
    assert found.is_clean, (found.lost, found.dup, found.partial)


def test_results_that_dead_runs_did_not_report_appear_in_dagster(
    installation: Installation,
) -> None:
    def shows_all() -> bool:
        return count_missing_in_dagster(installation.url) == 0

    until(shows_all, "Dagster shows all results", 90, every_s=1)


def _wait_for_batch(installation: Installation, call_ids: Sequence[str]) -> None:
    """Wait until the calls are in a batch; calls registered later are in another one."""

    def are_batched() -> bool:
        with psycopg.connect(installation.url) as connection:
            waiting = connection.execute(
                f"SELECT count(*) FROM {SCHEMA}.calls WHERE call_id = ANY(%s) "
                "AND batch_id IS NULL AND state = 'PENDING'".encode(),
                [list(call_ids)],
            ).fetchone()
        return waiting == (0,)

    until(are_batched, "a batch", 30, every_s=0.2)


def _run_processing(installation: Installation, call_ids: Sequence[str]) -> str:
    """Return the run that has begun to process all of the calls."""
    run_ids: set[str | None] = set()

    def is_processing() -> bool:
        nonlocal run_ids
        calls = installation.storage.ledger.calls(call_ids=call_ids)
        run_ids = {call.claimed_by for call in calls}
        return all(call.attempts and call.stages for call in calls)

    until(is_processing, "a run that processes the calls", 60, every_s=0.1)
    [run_id] = run_ids
    assert run_id
    return run_id


def _results(installation: Installation, call_ids: Sequence[str]) -> Results:
    with psycopg.connect(installation.url) as connection:
        return connection.execute(
            f"SELECT call_id, run_id, stage, stored_at FROM {SCHEMA}.call_stages "
            "WHERE call_id = ANY(%s) ORDER BY 1, 3".encode(),
            [list(call_ids)],
        ).fetchall()
