"""Turns at a service: no more at once than allowed, whoever asks, and none kept by the dead."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from callpipeline.domain.call import Lane
from callpipeline.storage.database import Database, name_of_run
from callpipeline.storage.turns import AdvisoryTurns


class CountedTurns(AdvisoryTurns):
    """Counts how often it looks for a free slot."""

    looked = 0

    def _try(self) -> int | None:
        self.looked += 1
        return super()._try()


@contextmanager
def run(url: str, run_id: str) -> Iterator[Database]:
    """The database as another run sees it."""
    with Database(url, run_id=run_id) as database:
        yield database


class Service:
    """Notes how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.served = 0

    async def ask(self, turns: AdvisoryTurns) -> None:
        async with turns.turn():
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.03)
            self.inside -= 1
            self.served += 1


def test_two_runs_together_ask_no_more_at_once_than_allowed(database_url: str) -> None:
    service = Service()

    async def ask(*turns: AdvisoryTurns) -> None:
        await asyncio.gather(*(service.ask(each) for each in turns for _ in range(12)))

    with (
        run(database_url, "one") as one,
        run(database_url, "two") as two,
        closing(AdvisoryTurns(one, "asr", 3)) as first,
        closing(AdvisoryTurns(two, "asr", 3)) as second,
    ):
        asyncio.run(asyncio.wait_for(ask(first, second), 30))
    assert (service.most, service.served) == (3, 24)


def test_services_do_not_wait_for_each_other(database: Database) -> None:
    async def hold_both(asr: AdvisoryTurns, judge: AdvisoryTurns) -> None:
        async with asr.turn(), judge.turn():
            pass

    with (
        closing(AdvisoryTurns(database, "asr", 1)) as asr,
        closing(AdvisoryTurns(database, "judge", 1)) as judge,
    ):
        asyncio.run(asyncio.wait_for(hold_both(asr, judge), 10))


def test_a_backlog_leaves_one_turn_to_live_calls(database: Database) -> None:
    async def live_beside_bulk(bulk: AdvisoryTurns, live: AdvisoryTurns) -> None:
        async with bulk.turn():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(bulk.turn().__aenter__(), 0.6)
            async with live.turn():
                pass

    with (
        closing(AdvisoryTurns(database, "asr", 2, Lane.BULK)) as bulk,
        closing(AdvisoryTurns(database, "asr", 2, Lane.LIVE)) as live,
    ):
        asyncio.run(asyncio.wait_for(live_beside_bulk(bulk, live), 10))


def test_a_single_turn_serves_the_backlog_too(database: Database) -> None:
    async def take(turns: AdvisoryTurns) -> None:
        async with turns.turn():
            pass

    with closing(AdvisoryTurns(database, "asr", 1, Lane.BULK)) as bulk:
        asyncio.run(asyncio.wait_for(take(bulk), 10))


def test_of_many_that_wait_one_looks_for_a_turn_and_less_often_the_longer_it_waits(
    database_url: str,
) -> None:
    service = Service()

    async def wait(taken: AdvisoryTurns, waiting: CountedTurns) -> int:
        async with taken.turn():
            asking = [asyncio.create_task(service.ask(waiting)) for _ in range(16)]
            await asyncio.sleep(2)
            looked = waiting.looked
        await asyncio.gather(*asking)
        return looked

    with (
        run(database_url, "one") as one,
        run(database_url, "two") as two,
        closing(AdvisoryTurns(one, "asr", 1)) as taken,
        closing(CountedTurns(two, "asr", 1)) as waiting,
    ):
        looked = asyncio.run(asyncio.wait_for(wait(taken, waiting), 30))
    # At intervals of 0.05 s and more: 50 looks in two seconds if they were half as long each.
    assert 2 <= looked <= 25
    assert (service.most, service.served) == (1, 16)


def test_who_is_called_off_while_a_turn_is_taken_for_it_keeps_none(database: Database) -> None:
    async def call_off(turns: AdvisoryTurns) -> None:
        for _ in range(20):
            asking = asyncio.create_task(turns.turn().__aenter__())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        async with turns.turn():
            pass

    with closing(AdvisoryTurns(database, "asr", 1)) as turns:
        asyncio.run(asyncio.wait_for(call_off(turns), 10))


def test_a_run_that_is_cut_off_gives_its_turn_to_others(database_url: str) -> None:
    """What the reconciler does with a run that was stopped in the middle of a request."""

    async def take(turns: AdvisoryTurns) -> None:
        async with turns.turn():
            pass

    async def overtake(stopped: AdvisoryTurns, other: AdvisoryTurns) -> None:
        async with stopped.turn():
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name=%s"
            with psycopg.connect(database_url) as connection:
                connection.execute(cut, [name_of_run("stopped")])
            await take(other)
        # Letting go of what was lost is no error, and the next turn connects anew.
        await take(stopped)

    with (
        run(database_url, "stopped") as theirs,
        run(database_url, "other") as ours,
        closing(AdvisoryTurns(theirs, "asr", 1)) as stopped,
        closing(AdvisoryTurns(ours, "asr", 1)) as other,
    ):
        asyncio.run(asyncio.wait_for(overtake(stopped, other), 20))


@pytest.mark.parametrize("lane", Lane)
def test_a_turn_that_ends_is_handed_over_within_a_run_without_a_look_at_the_clock(
    database: Database, monkeypatch: pytest.MonkeyPatch, lane: Lane
) -> None:
    monkeypatch.setattr("callpipeline.storage.turns.POLL_S", dict.fromkeys(Lane, 60.0))

    async def hand_over(turns: AdvisoryTurns) -> None:
        async def take() -> None:
            async with turns.turn():
                await asyncio.sleep(0.05)

        await asyncio.gather(*(take() for _ in range(4)))

    with closing(AdvisoryTurns(database, "asr", 1, lane)) as turns:
        asyncio.run(asyncio.wait_for(hand_over(turns), 10))
