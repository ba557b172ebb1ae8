"""Runs that are asked to stop, as by deployments: their calls lose no attempt."""

import os
import signal

import dagster as dg
import pytest

from callpipeline.domain.calls.call import CallState
from callpipeline.storage.calls.claims import MAX_ATTEMPTS
from tests.integration.databases import execute_sql
from tests.processes import is_alive, until
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import tally

pytestmark = pytest.mark.slow

CALLS = 4


def test_repeated_deployments_interrupt_a_long_call_without_failing_it(
    installation: Installation,
) -> None:
    keys = [installation.record(Script(300 + n, 2, wait_s=20.0)) for n in range(CALLS)]
    call_ids = installation.register(keys)
    interrupted: list[str] = []
    for number in range(MAX_ATTEMPTS + 1):
        run_id, pid = _run_holding(installation, call_ids, interrupted)
        os.kill(pid, (signal.SIGTERM, signal.SIGINT)[number % 2])
        interrupted.append(run_id)
        until(lambda r=run_id: not _holds_calls(installation, r), "it hands back its calls", 30)
        until(lambda p=pid: not is_alive(p), "its process ends", 60)
    for n in range(CALLS):
        installation.end_wait(300 + n)
    waited = installation.wait_until_final(call_ids, 240)
    print(f"all calls had ended {waited:.0f} s after the last of {len(interrupted)} interruptions")
    assert set(installation.states(call_ids)) == {CallState.COMPLETED}
    assert tally(installation.url, installation.store, call_ids).is_clean
    with installation.instance() as instance:
        runs = [instance.get_run_by_id(run_id) for run_id in interrupted]
    assert {run.status for run in runs if run} == {dg.DagsterRunStatus.CANCELED}
    assert execute_sql(installation.url, "SELECT count(*) FROM outbox WHERE kind <> 'custom'") == [
        (0,)
    ]


def _run_holding(
    installation: Installation, call_ids: list[str], not_these: list[str]
) -> tuple[str, int]:
    """Wait for a run that processes all of the calls; return it with its process."""
    found: list[tuple[str, int]] = []

    def is_processing() -> bool:
        calls = installation.storage.ledger.calls(call_ids=call_ids)
        runs = {call.claimed_by for call in calls if call.claimed_by not in not_these}
        if len(runs) != 1 or not (run_id := runs.pop()):
            return False
        # Dagster has stored events of this run: it sets signal handlers of its own after that.
        begun = execute_sql(
            installation.url,
            "SELECT count(*) FROM calls JOIN call_stages USING (call_id)"
            " WHERE attempts = 1 AND claimed_by <> '' AND stage = 'channel_audio'",
        )
        if begun == [(CALLS,)] and (pid := installation.pid_of_run(run_id)):
            found.append((run_id, pid))
        return bool(found)

    until(is_processing, "a run processes the calls", 60, every_s=0.1)
    return found[0]


def _holds_calls(installation: Installation, run_id: str) -> bool:
    held = "SELECT count(*) FROM calls WHERE claimed_by = '{}'"
    return execute_sql(installation.url, held.format(run_id)) != [(0,)]
