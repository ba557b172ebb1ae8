"""Semaphore across runs: the limit holds, and dead runs release their slots."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from callpipeline.domain.calls.call import Lane
from callpipeline.storage.postgres.database import Database, run_application_name
from callpipeline.storage.postgres.locks import AdvisorySemaphore
from tests.integration.databases import execute_sql


class CountingSemaphore(AdvisorySemaphore):
    """Counts its polls for a free slot."""

    polls = 0

    def _acquire_slot(self) -> int | None:
        self.polls += 1
        return super()._acquire_slot()


@contextmanager
def run(url: str, run_id: str) -> Iterator[Database]:
    """Connect to the database as another run."""
    with Database(url, run_id=run_id) as database:
        yield database


class Service:
    """Records the number of concurrent requests; each waits until there have been `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = self.most = self.served = 0

    async def request(self, semaphore: AdvisorySemaphore) -> None:
        async with semaphore.slot():
            self.inside += 1
            self.most = max(self.most, self.inside)
            while self.most < self.limit:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.03)
            self.inside -= 1
            self.served += 1


def test_concurrent_runs_stay_within_the_limit(database_url: str) -> None:
    service = Service(3)

    async def request_all(*semaphores: AdvisorySemaphore) -> None:
        await asyncio.gather(*(service.request(each) for each in semaphores for _ in range(12)))

    with (
        run(database_url, "one") as one,
        run(database_url, "two") as two,
        closing(AdvisorySemaphore(one, "asr", 3)) as first,
        closing(AdvisorySemaphore(two, "asr", 3)) as second,
    ):
        asyncio.run(asyncio.wait_for(request_all(first, second), 60))
    assert (service.most, service.served) == (3, 24)


MACHINE = """
import asyncio, sys
from contextlib import closing
import psycopg
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.locks import AdvisorySemaphore

url, name = sys.argv[1:]

async def request(semaphore, connection, number):
    async with semaphore.slot():
        await connection.execute("INSERT INTO requests VALUES (%s)", [f"{name} {number}"])
        while True:
            await connection.execute(
                "UPDATE most SET n = greatest(n, (SELECT count(*) FROM requests))"
            )
            most = await (await connection.execute("SELECT n FROM most")).fetchone()
            if most[0] >= 3:
                break
            await asyncio.sleep(0.05)
        await connection.execute("INSERT INTO served VALUES (%s)", [name])
        await connection.execute("DELETE FROM requests WHERE id = %s", [f"{name} {number}"])

async def main():
    with Database(url, run_id=name) as database:
        with closing(AdvisorySemaphore(database, "asr", 3)) as semaphore:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                await asyncio.gather(*(request(semaphore, connection, n) for n in range(12)))

asyncio.run(main())
"""


def test_the_limit_holds_across_machines(database_url: str) -> None:
    """Processes that share nothing but the database, as workers and pods do."""
    execute_sql(database_url, "CREATE TABLE public.requests (id text)")
    execute_sql(database_url, "CREATE TABLE public.served (by text)")
    execute_sql(database_url, "CREATE TABLE public.most AS SELECT 0::bigint AS n")
    machines = [
        subprocess.Popen([sys.executable, "-c", MACHINE, database_url, name])
        for name in ("one", "two")
    ]
    assert [machine.wait(300) for machine in machines] == [0, 0]
    assert execute_sql(database_url, "SELECT n FROM public.most") == [(3,)]
    served = execute_sql(
        database_url, "SELECT by, count(*) FROM public.served GROUP BY 1 ORDER BY 1"
    )
    assert served == [("one", 12), ("two", 12)]


def test_services_have_separate_limits(database: Database) -> None:
    async def hold_both(asr: AdvisorySemaphore, judge: AdvisorySemaphore) -> None:
        async with asr.slot(), judge.slot():
            pass

    with (
        closing(AdvisorySemaphore(database, "asr", 1)) as asr,
        closing(AdvisorySemaphore(database, "judge", 1)) as judge,
    ):
        asyncio.run(asyncio.wait_for(hold_both(asr, judge), 60))


def test_bulk_runs_leave_one_slot_to_live_runs(database: Database) -> None:
    async def live_beside_bulk(bulk: AdvisorySemaphore, live: AdvisorySemaphore) -> None:
        async with bulk.slot():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(bulk.slot().__aenter__(), 0.6)
            async with live.slot():
                pass

    with (
        closing(AdvisorySemaphore(database, "asr", 2, Lane.BULK)) as bulk,
        closing(AdvisorySemaphore(database, "asr", 2, Lane.LIVE)) as live,
    ):
        asyncio.run(asyncio.wait_for(live_beside_bulk(bulk, live), 60))


def test_a_single_slot_is_used_by_bulk_runs_too(database: Database) -> None:
    async def take(semaphore: AdvisorySemaphore) -> None:
        async with semaphore.slot():
            pass

    with closing(AdvisorySemaphore(database, "asr", 1, Lane.BULK)) as bulk:
        asyncio.run(asyncio.wait_for(take(bulk), 60))


def test_one_waiter_polls_and_slows_down(
    database_url: str,
) -> None:
    service = Service(1)

    async def wait(taken: AdvisorySemaphore, waiting: CountingSemaphore) -> float:
        """Return the number of polls in a second."""
        async with taken.slot():
            began = time.monotonic()
            requests = [asyncio.create_task(service.request(waiting)) for _ in range(16)]
            await asyncio.sleep(2)
            while waiting.polls < 2:
                await asyncio.sleep(0.05)
            polls, took_s = waiting.polls, time.monotonic() - began
        await asyncio.gather(*requests)
        return polls / took_s

    with (
        run(database_url, "one") as one,
        run(database_url, "two") as two,
        closing(AdvisorySemaphore(one, "asr", 1)) as taken,
        closing(CountingSemaphore(two, "asr", 1)) as waiting,
    ):
        polls_per_s = asyncio.run(asyncio.wait_for(wait(taken, waiting), 60))
    # With intervals of at least 0.05 s; half of that would be 25 polls in a second.
    assert polls_per_s <= 12.5
    assert (service.most, service.served) == (1, 16)


def test_a_cancelled_request_releases_its_slot(database: Database) -> None:
    async def cancel(semaphore: AdvisorySemaphore) -> None:
        for _ in range(20):
            requests = asyncio.create_task(semaphore.slot().__aenter__())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            requests.cancel()
            with pytest.raises(asyncio.CancelledError):
                await requests
        async with semaphore.slot():
            pass

    with closing(AdvisorySemaphore(database, "asr", 1)) as semaphore:
        asyncio.run(asyncio.wait_for(cancel(semaphore), 60))


def test_a_terminated_connection_releases_its_slots(database_url: str) -> None:
    """The reconciler does this to a run that was stopped during a request."""

    async def take(semaphore: AdvisorySemaphore) -> None:
        async with semaphore.slot():
            pass

    async def overtake(stopped: AdvisorySemaphore, other: AdvisorySemaphore) -> None:
        async with stopped.slot():
            terminate = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name=%s"
            )
            with psycopg.connect(database_url) as connection:
                connection.execute(terminate, [run_application_name("stopped")])
            await take(other)
        # Releasing a lost slot is no error, and the next one connects again.
        await take(stopped)

    with (
        run(database_url, "stopped") as theirs,
        run(database_url, "other") as ours,
        closing(AdvisorySemaphore(theirs, "asr", 1)) as stopped,
        closing(AdvisorySemaphore(ours, "asr", 1)) as other,
    ):
        asyncio.run(asyncio.wait_for(overtake(stopped, other), 60))


@pytest.mark.parametrize("lane", Lane)
def test_a_slot_is_handed_over_within_a_run_without_polling(
    database: Database, monkeypatch: pytest.MonkeyPatch, lane: Lane
) -> None:
    monkeypatch.setattr("callpipeline.storage.postgres.locks.POLL_S", dict.fromkeys(Lane, 60.0))

    async def hand_over(semaphore: AdvisorySemaphore) -> None:
        async def take() -> None:
            async with semaphore.slot():
                await asyncio.sleep(0.05)

        await asyncio.gather(*(take() for _ in range(4)))

    with closing(AdvisorySemaphore(database, "asr", 1, lane)) as semaphore:
        asyncio.run(asyncio.wait_for(hand_over(semaphore), 60))
