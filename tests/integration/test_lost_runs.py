"""Runs that die: how it is noticed, and what becomes of the calls they held."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
import pytest
import stamina

from callpipeline.domain.call import CallState
from callpipeline.errors import ClaimLost, DatabaseUnavailable, EngineUnavailable
from callpipeline.storage.claims import ClaimingRun, Claims
from callpipeline.storage.database import Database
from callpipeline.storage.life import signs_of_life
from callpipeline.storage.tries import MAX_ATTEMPTS
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, lose
from tests.integration.databases import asked
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


# Being told


def test_a_run_that_holds_calls_says_that_it_lives(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    with storage.database.transaction() as connection:
        connection.execute("UPDATE runs SET alive_at = now() - interval '50 seconds'")
    (silent,) = claims.claiming_runs()
    assert silent.run_id == "run-1" and 50 <= silent.silent_s < 80
    assert claims.alive("run-1")
    (lively,) = claims.claiming_runs()
    assert 0 <= lively.silent_s < 30


def test_a_run_that_was_taken_for_dead_is_told_so(claims: Claims, call_id: str):
    claimed(claims, call_id)
    claims.release(["run-1"])
    assert not claims.alive("run-1")
    assert not claims.alive("run-of-another-day")
    assert claims.claiming_runs() == []


def test_a_run_that_found_nothing_to_take_is_watched_until_it_ends(claims: Claims):
    claimed(claims, "2026-03-02-000000000000")
    assert [run.run_id for run in claims.claiming_runs()] == ["run-1"]
    assert claims.release(["run-1"]) == {}
    assert claims.claiming_runs() == []


def test_a_run_of_before_there_were_signs_of_life_is_as_silent_as_its_last_write(
    storage: Storage, claims: Claims
):
    old, new = enter(storage, "1.wav", "2.wav")
    claimed(claims, old, new)
    with storage.database.transaction() as connection:
        connection.execute("DELETE FROM runs")
    change(storage, [old], updated_at="now() - interval '300 seconds'")
    change(storage, [new], updated_at="now() - interval '40 seconds'")
    (run,) = claims.claiming_runs()
    assert run == ClaimingRun("run-1", run.silent_s) and 40 <= run.silent_s < 70
    assert claims.release(["run-1"]) == {old: CallState.PENDING, new: CallState.PENDING}


# Signs of life


def last_sign(storage: Storage) -> datetime:
    ((alive_at,),) = asked(storage.database.url, "SELECT alive_at FROM runs")
    return alive_at


def signs_come(storage: Storage) -> None:
    before = last_sign(storage)
    until(lambda: last_sign(storage) > before, "another sign of life has come")


def test_a_run_gives_signs_of_life_while_its_event_loop_is_busy(
    storage: Storage, claims: Claims, call_id: str
):
    claimed(claims, call_id)
    before = last_sign(storage)
    deadline = time.monotonic() + 30
    with signs_of_life(claims, "run-1", every_s=0.02):
        while last_sign(storage) == before:
            busy_until = time.monotonic() + 0.1
            while time.monotonic() < busy_until:
                pass
            assert time.monotonic() < deadline


def test_whatever_keeps_a_sign_of_life_from_coming_the_next_one_comes(
    storage: Storage,
    claims: Claims,
    call_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    claimed(claims, call_id)
    alive, failures = Claims.alive, iter([KeyError("marzipan")])

    def fails_once(self: Claims, run_id: str) -> bool:
        for failure in failures:
            raise failure
        return alive(self, run_id)

    monkeypatch.setattr(Claims, "alive", fails_once)
    with signs_of_life(claims, "run-1", every_s=0.02):
        signs_come(storage)
    assert "could not give a sign of life: KeyError" in caplog.text
    assert "marzipan" not in caplog.text


def test_a_run_that_has_ended_gives_no_sign_of_life_any_more(
    storage: Storage, claims: Claims, call_id: str
):
    claimed(claims, call_id)
    with pytest.raises(ZeroDivisionError), signs_of_life(claims, "run-1", every_s=0.01):  # noqa: PT012
        signs_come(storage)
        raise ZeroDivisionError
    last = last_sign(storage)
    time.sleep(0.1)
    assert last_sign(storage) == last


def test_a_run_whose_connections_are_all_busy_gives_signs_of_life(
    storage: Storage, database_url: str, call_id: str
):
    """Each call under way keeps one while its audio is put into a slow object store."""
    claimed(storage.claims, call_id)
    with (
        Database(database_url, max_connections=1) as database,
        database.transaction(),
        signs_of_life(Claims(database), "run-1", every_s=0.02),
    ):
        signs_come(storage)


@contextmanager
def away(postgres: str, database_url: str) -> Iterator[None]:
    """The database refuses connections meanwhile, and has cut those that it had."""
    name = database_url.rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_a_run_outlives_a_database_that_is_away_and_gives_signs_of_life_afterwards(
    storage: Storage,
    postgres: str,
    database_url: str,
    call_id: str,
    caplog: pytest.LogCaptureFixture,
):
    claimed(storage.claims, call_id)
    before = last_sign(storage)
    with (
        stamina.set_testing(True, attempts=2),
        Database(database_url) as database,
        signs_of_life(Claims(database), "run-1", every_s=0.02),
    ):
        with away(postgres, database_url):
            until(lambda: "could not give a sign of life" in caplog.text, "a sign was missed")
        until(lambda: last_sign(storage) > before, "signs of life come again")


# Runs that are gone


def test_the_call_of_a_run_that_is_gone_waits_again(storage: Storage, claims: Claims, call_id: str):
    claimed(claims, call_id)
    assert claims.release(["run-1", "run-of-another-day"]) == {call_id: CallState.PENDING}
    assert claims.release(["run-1"]) == claims.release([]) == {}
    assert storage.ledger.find(call_id).claimed_by is None


def test_a_call_whose_runs_die_every_time_fails_with_a_reason(storage: Storage, call_id: str):
    lose(storage, call_id, times=MAX_ATTEMPTS - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    lose(storage, call_id)
    record = storage.ledger.find(call_id)
    assert (record.state, record.error_class) == (CallState.FAILED, "PoisonCall")
    assert "died 3 times" in (record.error_message or "")
    assert (record.error_transient, record.error_stage) == (False, "run")


def test_lost_runs_are_counted_anew_when_a_person_runs_such_a_call(storage: Storage, call_id: str):
    lose(storage, call_id, times=MAX_ATTEMPTS + MAX_ATTEMPTS - 1)
    assert storage.ledger.find(call_id).state is CallState.PENDING
    lose(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.FAILED


def test_only_calls_of_the_runs_that_are_gone_are_given_back(storage: Storage, claims: Claims):
    one, two = enter(storage, "1.wav", "2.wav")
    claimed(claims, one)
    claimed(claims, two, run_id="run-2")
    assert list(claims.release(["run-1"])) == [one]
    assert storage.ledger.find(two).claimed_by == "run-2"


def test_runs_that_ended_well_or_with_a_reason_are_not_counted_as_lost(
    storage: Storage, claims: Claims, call_id: str
):
    """Else a call that failed for want of an engine would count as one that kills its run."""
    for run in range(MAX_ATTEMPTS):
        claimed(claims, call_id, run_id=f"run-{run}")
        claims.begin(call_id, f"run-{run}")
        claims.fail(call_id, f"run-{run}", "transcripts", BUSY)
    lose(storage, call_id)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_calls_that_a_dying_run_had_not_begun_are_innocent(storage: Storage, claims: Claims):
    """One call that kills its workers must not take the others of its batch along."""
    killer, bystander = enter(storage, "1.wav", "2.wav")
    for attempt in range(MAX_ATTEMPTS):
        claimed(claims, killer, bystander, run_id=f"run-{attempt}")
        claims.begin(killer, f"run-{attempt}")
        claims.release([f"run-{attempt}"])
    assert storage.ledger.find(killer).state is CallState.FAILED
    assert storage.ledger.find(bystander).state is CallState.PENDING
    assert storage.ledger.find(bystander).attempts == 0


def test_a_run_that_was_stopped_in_the_middle_of_a_write_does_not_keep_its_call(
    storage: Storage, claims: Claims, database_url: str, call_id: str
):
    claimed(claims, call_id, run_id="zombie")
    with Database(database_url, run_id="zombie") as database:
        with pytest.raises(DatabaseUnavailable), database.transaction() as connection:  # noqa: PT012
            connection.execute("UPDATE calls SET sha256 = 'aa'")
            assert claims.release(["zombie"]) == {call_id: CallState.PENDING}
            connection.execute("SELECT 1")
        with stamina.set_testing(True, attempts=3), pytest.raises(ClaimLost):
            Claims(database).complete(call_id, "zombie")
