"""A service that is away, in steps of a sensor's tick: what is asked, by how many runs."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from callpipeline.defs.selection import plan_batches
from callpipeline.domain.call import Lane, Stage
from callpipeline.engines.asking import on_behalf_of
from callpipeline.engines.http.breaker import Breaker
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.queue import Batch
from callpipeline.wiring import Storage
from tests.integration.calls import enter, row, store

SCRIBE = "transcription http://scribe"
TICK_S = 5.0
AGE = (
    "UPDATE calls SET not_before = not_before - interval '5 s', away_since = away_since "
    "- interval '5 s', batched_at = batched_at - interval '5 s'",
    "UPDATE outages SET again_at = again_at - interval '5 s', since = since "
    "- interval '5 s', asked_at = asked_at - interval '5 s'",
)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@dataclass
class World:
    """Sensor and runs on the ledger, and a service that answers or does not."""

    storage: Storage
    is_away: bool = True
    service: str = SCRIBE
    poison: Collection[str] = ()
    now: float = 0.0
    runs: int = 0
    passes: int = 0
    requests: list[float] = field(default_factory=list)
    done: dict[str, float] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)

    def tick(self) -> None:
        for batch in plan_batches(self.storage.queue, f"batch-{self.now:g}", 200):
            self._run(batch)
        with self.storage.database.transaction() as connection:
            for statement in AGE:
                connection.execute(statement.encode())
        self.now += TICK_S

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.tick()

    def _run(self, batch: Batch) -> None:
        self.runs += 1
        run_id = f"run-{self.runs}"
        calls = self.storage.claims.claim(batch.call_ids, run_id, only_waiting=True)
        breaker = Breaker(self.service, self.storage.outages, lambda: self.now)
        for call in calls:
            self.passes += 1
            try:
                with on_behalf_of(call.call_id):
                    asyncio.run(self._ask(breaker, call.call_id))
            except EngineUnavailable as error:
                fail = self.storage.claims.fail
                if fail(call.call_id, run_id, Stage.TRANSCRIPTS, error) is None:
                    self.failed[call.call_id] = self.now
            else:
                self.done[call.call_id] = self.now
                store(self.storage, call.call_id, *Stage, run_id=run_id)
                self.storage.claims.complete(call.call_id, run_id)
        self.storage.claims.give_back(run_id)

    async def _ask(self, breaker: Breaker, call_id: str) -> None:
        breaker._asking = asyncio.Lock()
        is_try = await breaker.admit()
        self.requests.append(self.now)
        try:
            if self.is_away or call_id in self.poison:
                said, away = ("503", True) if self.is_away else ("500", False)
                await breaker.failed(said, is_away=away, is_try=is_try)
                raise EngineUnavailable(said)
            await breaker.succeeded(is_try=is_try)
        finally:
            breaker.let_go(is_try=is_try)


@pytest.fixture
def world(storage: Storage) -> World:
    return World(storage)


def wait(world: World, count: int) -> list[str]:
    half = count // 2
    live = enter(world.storage, *(f"live-{n}.wav" for n in range(half)), lane=Lane.LIVE)
    bulk = enter(world.storage, *(f"bulk-{n}.wav" for n in range(half)), lane=Lane.BULK)
    return live + bulk


def test_it_costs_a_run_for_each_try_and_no_call_a_try(world: World) -> None:
    waiting = wait(world, 60)
    world.pass_time(800)
    assert not world.failed
    assert all(row(world.storage, call_id)["retries"] == 0 for call_id in waiting)
    tries = len(world.requests)
    assert tries <= 7, "after 15 s, 30, 60, 120, 240, 300"
    assert world.runs <= 2 + tries
    assert world.passes <= len(waiting) + tries
    world.is_away = False
    back_at = world.now
    world.pass_time(320)
    assert set(world.done) == set(waiting)
    assert max(world.done.values()) - back_at <= 315
    first = min(world.done.values())
    assert max(world.done.values()) - first <= 15, "all follow at once"


def test_patience_ends_for_calls_that_nobody_sent_to_try(world: World) -> None:
    waiting = wait(world, 12)
    world.pass_time(60)
    with world.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET away_since = now() - interval '25 hours'")
    world.pass_time(10)
    assert set(world.failed) == set(waiting)


def test_a_call_that_a_service_chokes_on_ends_and_holds_up_nobody(world: World) -> None:
    world.is_away = False
    [poison] = enter(world.storage, "poison.wav")
    world.poison = {poison}
    world.pass_time(900)
    assert set(world.failed) == {poison}, "alone, it uses up its tries"
    assert len(world.requests) == 4
    assert world.storage.outages.all() == []
    [second] = enter(world.storage, "second.wav")
    world.poison = {second}
    good = wait(world, 100)
    world.pass_time(900)
    assert set(world.done) == set(good)
    assert set(world.failed) == {poison, second}


def test_five_bad_calls_do_not_keep_a_good_one_waiting(world: World) -> None:
    """Each time another one tries."""
    world.is_away = False
    world.poison = set(enter(world.storage, *(f"bad-{n}.wav" for n in range(6))))
    world.tick()
    [good] = enter(world.storage, "good.wav")
    world.pass_time(600)
    assert set(world.done) == {good}
    world.pass_time(900)
    assert set(world.failed) | {
        call_id for call_id in world.poison if row(world.storage, call_id)["away_from"]
    } == set(world.poison)


def test_a_service_of_another_address_frees_all_at_once(world: World) -> None:
    waiting = wait(world, 20)
    world.pass_time(20)
    world.is_away, world.service = False, "transcription http://elsewhere"
    world.pass_time(60)
    assert set(world.done) == set(waiting)
    assert world.storage.outages.all() == []


def test_a_person_has_a_service_tried_at_once_that_asked_for_hours(world: World) -> None:
    waiting = wait(world, 4)
    world.tick()
    with world.storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET again_at = now() + interval '6 hours'")
    world.is_away = False
    world.pass_time(60)
    assert not world.done
    assert world.storage.ledger.retry(waiting[:1]) == set(waiting[:1])
    world.pass_time(10)
    assert set(world.done) == set(waiting)
