"""Runs that a signal interrupts, whatever Dagster is doing at that moment."""

import gc
import os
import signal
from typing import Any

import dagster as dg
import pytest

from callpipeline.defs.interruption import SIGNALS
from callpipeline.domain.calls.call import CallState
from tests.orchestration.lab import Lab


def _interrupted(lab: Lab, call_ids: list[str]) -> None:
    result = lab.run(call_ids, tags={"callpipeline/batch": "1"})
    run = lab.instance.get_run_by_id(result.run_id)
    assert run and run.status is dg.DagsterRunStatus.CANCELED
    with lab.storage.database.transaction() as connection:
        counted = connection.execute(
            "SELECT state, attempts, releases, idle_runs FROM calls WHERE state <> 'COMPLETED'"
        ).fetchall()
    assert counted, "the interruption came too late"
    for row in counted:
        assert row == {"state": "PENDING", "attempts": 0, "releases": 0, "idle_runs": 0}


def _finish(lab: Lab, call_ids: list[str]) -> None:
    assert lab.run(call_ids, tags={"callpipeline/batch": "1"}).success
    assert lab.storage.ledger.count() == {CallState.COMPLETED: len(call_ids)}


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_signal_while_a_later_call_is_processed_returns_it_to_the_queue(
    lab: Lab, kind: signal.Signals
) -> None:
    call_ids = [lab.add_call(f"call-{number}") for number in range(12)]
    splits: list[int] = []

    def interrupt() -> None:
        splits.append(1)
        if len(splits) == 10:
            os.kill(os.getpid(), kind)

    lab.engines.before_split = interrupt
    _interrupted(lab, call_ids)
    assert lab.materialized("channel_audio"), "it came before the first event"
    lab.engines.before_split = lambda: None
    _finish(lab, call_ids)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_a_signal_while_dagster_stores_an_event_returns_the_calls_to_the_queue(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Dagster then ends the step without a word to the generator that it suspended."""
    call_ids = [lab.add_call(f"call-{number}") for number in range(3)]
    store, stored = dg.DagsterInstance.handle_new_event, [0]

    def interrupt(instance: dg.DagsterInstance, event: dg.EventLogEntry, **options: Any) -> None:
        store(instance, event, **options)
        happened = event.dagster_event
        if happened and happened.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            stored[0] += 1
            if stored[0] == number:
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", interrupt)
    _interrupted(lab, call_ids)
    gc.collect()  # the suspended generator, with all that it holds, ends without a warning
    _finish(lab, call_ids)
