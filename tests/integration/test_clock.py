"""The clock is set back or forth by an hour: nothing waits longer, and no claim is stolen."""

import pytest

from callpipeline.errors import EngineUnavailable
from callpipeline.storage.calls.claims import STALE_AFTER_S
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.integration.databases import execute_sql, move_clock

HOUR_S = 3600.0


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def settled(storage: Storage) -> Storage:
    storage.queue.settle_clock()
    return storage


def seconds_until(url: str, column: str, table: str) -> float:
    [(found,)] = execute_sql(url, f"SELECT extract(epoch FROM {column} - now()) FROM {table}")
    return float(found)


def test_a_retry_is_due_when_it_was(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    settled.claims.begin(call_id, "run-1")
    settled.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    wait_s = seconds_until(database_url, "next_attempt_at", "calls")
    move_clock(database_url, -HOUR_S)
    assert seconds_until(database_url, "next_attempt_at", "calls") > HOUR_S / 2
    assert settled.queue.settle_clock() > HOUR_S / 2
    assert seconds_until(database_url, "next_attempt_at", "calls") < wait_s + HOUR_S / 2
    assert settled.queue.settle_clock() == 0


def test_a_dead_run_is_dead_at_once(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    age = f"interval '{10 * STALE_AFTER_S} seconds'"
    execute_sql(database_url, f"UPDATE runs SET heartbeat_at = now() - {age}")
    move_clock(database_url, -HOUR_S)
    [run] = settled.claims.claiming_runs()
    assert run.heartbeat_age_s < 0, "it would look alive for an hour"
    settled.queue.settle_clock()
    [run] = settled.claims.claiming_runs()
    assert run.heartbeat_age_s > 0, "and a little later it is dead"


def test_a_service_is_tried_when_it_was_due(settled: Storage, database_url: str):
    settled.outages.begin("hub", "It is away.", 1, 120)
    move_clock(database_url, -HOUR_S)
    settled.queue.settle_clock()
    assert seconds_until(database_url, "retry_at", "outages") < HOUR_S / 2


def test_a_clock_that_is_set_forth_delays_nothing(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    settled.claims.begin(call_id, "run-1")
    settled.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    move_clock(database_url, HOUR_S)
    assert settled.queue.settle_clock() == 0
    assert settled.queue.assign_batch("batch", 1), "it is due earlier"


def test_a_small_correction_moves_nothing(settled: Storage, database_url: str):
    settled.outages.begin("hub", "It is away.", 1, 600)
    move_clock(database_url, -20)
    assert settled.queue.settle_clock() == 0
    assert seconds_until(database_url, "retry_at", "outages") > 0
