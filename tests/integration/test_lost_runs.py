"""Dead runs: heartbeats, and the reclaim of their calls."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
import pytest
import stamina

from callpipeline.domain.calls.call import CallState
from callpipeline.errors import ClaimLost, DatabaseUnavailable, EngineUnavailable
from callpipeline.storage.calls.claims import MAX_ATTEMPTS, ClaimingRun, Claims, heartbeat
from callpipeline.storage.postgres.database import Database
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, lose_runs
from tests.integration.databases import execute_sql
from tests.processes import until


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


BUSY = EngineUnavailable("busy")


@pytest.fixture
def claims(storage: Storage) -> Claims:
    return storage.claims


@pytest.fixture
def call_id(storage: Storage) -> str:
    return enter(storage)[0]


def claimed(claims: Claims, *call_ids: str, run_id: str = "run-1") -> list[str]:
    return [call.call_id for call in claims.claim(call_ids, run_id)]


# Claiming runs


def test_a_claiming_run_has_a_heartbeat_age(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    with storage.database.transaction() as connection:
        connection.execute("UPDATE runs SET heartbeat_at = now() - interval '50 seconds'")
    (stale,) = claims.claiming_runs()
    assert stale.run_id == "run-1" and 50 <= stale.heartbeat_age_s < 80
    assert claims.beat("run-1")
    (live,) = claims.claiming_runs()
    assert 0 <= live.heartbeat_age_s < 30


def test_a_reclaimed_run_cannot_send_a_heartbeat(claims: Claims, call_id: str):
    claimed(claims, call_id)
    claims.reclaim(["run-1"])
    assert not claims.beat("run-1")
    assert not claims.beat("unknown-run")
    assert claims.claiming_runs() == []


def test_a_run_without_calls_is_monitored_until_it_ends(claims: Claims):
    claimed(claims, "2026-03-02-000000000000")
    assert [run.run_id for run in claims.claiming_runs()] == ["run-1"]
    assert claims.reclaim(["run-1"]) == {}
    assert claims.claiming_runs() == []


def test_a_run_without_heartbeats_is_as_old_as_its_last_write(storage: Storage, claims: Claims):
    old, new = enter(storage, "1.wav", "2.wav")
    claimed(claims, old, new)
    with storage.database.transaction() as connection:
        connection.execute("DELETE FROM runs")
    change(storage, [old], updated_at="now() - interval '300 seconds'")
    change(storage, [new], updated_at="now() - interval '40 seconds'")
    (run,) = claims.claiming_runs()
    assert run == ClaimingRun("run-1", run.heartbeat_age_s) and 40 <= run.heartbeat_age_s < 70
    assert claims.reclaim(["run-1"]) == {old: CallState.PENDING, new: CallState.PENDING}


# Heartbeats


def last_heartbeat(storage: Storage) -> datetime:
    ((heartbeat_at,),) = execute_sql(storage.database.url, "SELECT heartbeat_at FROM runs")
    return heartbeat_at


def wait_for_heartbeat(storage: Storage) -> None:
    before = last_heartbeat(storage)
    until(lambda: last_heartbeat(storage) > before, "another heartbeat was sent")


def test_heartbeats_continue_while_the_event_loop_is_busy(
    storage: Storage, claims: Claims, call_id: str
):
    claimed(claims, call_id)
    before = last_heartbeat(storage)
    deadline = time.monotonic() + 120
    with heartbeat(claims, "run-1", every_s=0.02):
        while last_heartbeat(storage) == before:
            busy_until = time.monotonic() + 0.1
            while time.monotonic() < busy_until:
                pass
            assert time.monotonic() < deadline


def test_heartbeats_continue_after_any_error(
    storage: Storage,
    claims: Claims,
    call_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    claimed(claims, call_id)
    beat, failures = Claims.beat, iter([KeyError("marzipan")])

    def fails_once(self: Claims, run_id: str) -> bool:
        for failure in failures:
            raise failure
        return beat(self, run_id)

    monkeypatch.setattr(Claims, "beat", fails_once)
    with heartbeat(claims, "run-1", every_s=0.02):
        wait_for_heartbeat(storage)
    assert "could not send a heartbeat: KeyError" in caplog.text
    assert "marzipan" not in caplog.text


def test_heartbeats_stop_when_the_run_ends(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    with pytest.raises(ZeroDivisionError), heartbeat(claims, "run-1", every_s=0.01):  # noqa: PT012
        wait_for_heartbeat(storage)
        raise ZeroDivisionError
    last = last_heartbeat(storage)
    time.sleep(0.1)
    assert last_heartbeat(storage) == last


def test_heartbeats_continue_while_all_connections_are_busy(
    storage: Storage, database_url: str, call_id: str
):
    """Each call in process keeps one while its audio is written to a slow object store."""
    claimed(storage.claims, call_id)
    with (
        Database(database_url, max_connections=1) as database,
        database.transaction(),
        heartbeat(Claims(database), "run-1", every_s=0.02),
    ):
        wait_for_heartbeat(storage)


@contextmanager
def unavailable(postgres: str, database_url: str) -> Iterator[None]:
    """Make the database refuse connections, and terminate existing ones."""
    name = database_url.rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_heartbeats_continue_after_a_database_outage(
    storage: Storage,
    postgres: str,
    database_url: str,
    call_id: str,
    caplog: pytest.LogCaptureFixture,
):
    claimed(storage.claims, call_id)
    before = last_heartbeat(storage)
    with (
        stamina.set_testing(True, attempts=2),
        Database(database_url) as database,
        heartbeat(Claims(database), "run-1", every_s=0.02),
    ):
        with unavailable(postgres, database_url):
            until(lambda: "could not send a heartbeat" in caplog.text, "a heartbeat was missed")
        until(lambda: last_heartbeat(storage) > before, "heartbeats are sent again")


# Reclaim


def test_the_call_of_a_dead_run_is_reclaimed(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    assert claims.reclaim(["run-1", "unknown-run"]) == {call_id: CallState.PENDING}
    assert claims.reclaim(["run-1"]) == claims.reclaim([]) == {}
    assert storage.ledger.find(call_id).claimed_by is None


def test_a_call_fails_after_too_many_dead_runs(storage: Storage, call_id: str):
    lose_runs(storage, call_id, times=MAX_ATTEMPTS - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    lose_runs(storage, call_id)
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "PoisonCall")
    assert "died 3 times" in (record.error_message or "")
    assert (record.error_transient, record.error_stage) == (False, "run")


def test_dead_runs_are_counted_again_after_a_manual_run(storage: Storage, call_id: str):
    lose_runs(storage, call_id, times=MAX_ATTEMPTS + MAX_ATTEMPTS - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    lose_runs(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.FAILED


def test_only_calls_of_dead_runs_are_reclaimed(storage: Storage, claims: Claims):
    one, two = enter(storage, "1.wav", "2.wav")
    claimed(claims, one)
    claimed(claims, two, run_id="run-2")
    assert list(claims.reclaim(["run-1"])) == [one]
    assert storage.ledger.find(two).claimed_by == "run-2"


def test_runs_that_ended_normally_do_not_count_as_lost(
    storage: Storage, claims: Claims, call_id: str
):
    """Otherwise a call that failed without an engine would count as one that kills its run."""
    for run in range(MAX_ATTEMPTS):
        claimed(claims, call_id, run_id=f"run-{run}")
        claims.begin(call_id, f"run-{run}")
        claims.fail(call_id, f"run-{run}", "transcripts", BUSY)
    lose_runs(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_calls_that_a_dead_run_had_not_begun_have_no_attempt(storage: Storage, claims: Claims):
    """A call that kills its run must not fail the others of its batch."""
    poison, bystander = enter(storage, "1.wav", "2.wav")
    for attempt in range(MAX_ATTEMPTS):
        claimed(claims, poison, bystander, run_id=f"run-{attempt}")
        claims.begin(poison, f"run-{attempt}")
        claims.reclaim([f"run-{attempt}"])
    assert storage.ledger.find(poison).state is CallState.FAILED
    assert storage.ledger.find(bystander).state is CallState.PENDING
    assert storage.ledger.find(bystander).attempts == 0


def test_a_run_stopped_during_a_write_does_not_block_the_reclaim(
    storage: Storage, claims: Claims, database_url: str, call_id: str
):
    claimed(claims, call_id, run_id="zombie")
    with Database(database_url, run_id="zombie") as database:
        with pytest.raises(DatabaseUnavailable), database.transaction() as connection:  # noqa: PT012
            connection.execute("UPDATE calls SET sha256 = 'aa'")
            assert claims.reclaim(["zombie"]) == {call_id: CallState.PENDING}
            connection.execute("SELECT 1")
        with stamina.set_testing(True, attempts=3), pytest.raises(ClaimLost):
            Claims(database).complete(call_id, "zombie")


# Interrupted runs


def test_interruptions_cost_a_call_nothing(storage: Storage, claims: Claims, call_id: str):
    for number in range(2 * MAX_ATTEMPTS):
        assert claimed(claims, call_id, run_id=f"run-{number}") == [call_id]
        claims.begin(call_id, f"run-{number}")
        assert claims.hand_back(f"run-{number}") == 1
        (call,) = storage.ledger.calls(call_ids=[call_id])
        assert call.state is CallState.PENDING and call.claimed_by is None
        counted = "attempts, retries, releases, idle_runs, next_attempt_at <= now()"
        with storage.database.transaction() as connection:
            row = connection.execute(f"SELECT {counted} AS is_due FROM calls".encode()).fetchone()
        assert row and list(row.values()) == [0, 0, 0, 0, True]
    assert claims.claiming_runs() == []


def test_an_interrupted_run_hands_back_its_own_calls_only(storage: Storage, claims: Claims):
    mine, done, other = enter(storage, "1.wav", "2.wav", "3.wav")
    claimed(claims, mine, done)
    claimed(claims, other, run_id="run-2")
    claims.complete(done, "run-1")
    change(storage, [done], state="'COMPLETED'")
    assert claims.hand_back("run-1") == 1
    states = {call.call_id: call.state for call in storage.ledger.calls()}
    assert states == {
        mine: CallState.PENDING,
        done: CallState.COMPLETED,
        other: CallState.PROCESSING,
    }
    with pytest.raises(ClaimLost):
        claims.begin(mine, "run-1")
