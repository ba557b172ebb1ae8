"""Simulated outages in steps of sensor ticks: number of runs, requests and retries."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from callpipeline.defs.jobs.process_calls import plan_batches
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.engines.http.breaker import CircuitBreaker
from callpipeline.engines.ports import call_context
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.calls.queue import Batch
from callpipeline.wiring import Storage
from tests.integration.calls import enter, row, store

SCRIBE = "transcription http://scribe"
TICK_S = 5.0
AGE = (
    "UPDATE calls SET next_attempt_at = next_attempt_at - interval '5 s', "
    "unavailable_since = unavailable_since - interval '5 s', "
    "batched_at = batched_at - interval '5 s'",
    "UPDATE outages SET retry_at = retry_at - interval '5 s', since = since "
    "- interval '5 s', probe_started_at = probe_started_at - interval '5 s'",
)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@dataclass
class World:
    """The sensor, runs on the ledger, and a service with outages."""

    storage: Storage
    is_unavailable: bool = True
    service: str = SCRIBE
    poison: Collection[str] = ()
    now: float = 0.0
    runs: int = 0
    attempts: int = 0
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
        calls = self.storage.claims.claim(batch.call_ids, run_id, only_pending=True)
        breaker = CircuitBreaker(self.service, self.storage.outages, lambda: self.now)
        for call in calls:
            self.attempts += 1
            try:
                with call_context(call.call_id):
                    asyncio.run(self._request(breaker, call.call_id))
            except EngineUnavailable as error:
                fail = self.storage.claims.fail
                if fail(call.call_id, run_id, Stage.TRANSCRIPTS, error) is None:
                    self.failed[call.call_id] = self.now
            else:
                self.done[call.call_id] = self.now
                store(self.storage, call.call_id, *Stage, run_id=run_id)
                self.storage.claims.complete(call.call_id, run_id)
        self.storage.claims.release(run_id)

    async def _request(self, breaker: CircuitBreaker, call_id: str) -> None:
        breaker._admission = asyncio.Lock()
        is_probe = await breaker.admit()
        self.requests.append(self.now)
        try:
            if self.is_unavailable or call_id in self.poison:
                reason, is_outage = ("503", True) if self.is_unavailable else ("500", False)
                await breaker.failed(reason, is_outage=is_outage, is_probe=is_probe)
                raise EngineUnavailable(reason)
            await breaker.succeeded(is_probe=is_probe)
        finally:
            breaker.release(is_probe=is_probe)


@pytest.fixture
def world(storage: Storage) -> World:
    return World(storage)


def enter_calls(world: World, count: int) -> list[str]:
    half = count // 2
    live = enter(world.storage, *(f"live-{n}.wav" for n in range(half)), lane=Lane.LIVE)
    bulk = enter(world.storage, *(f"bulk-{n}.wav" for n in range(half)), lane=Lane.BULK)
    return live + bulk


def test_an_outage_costs_one_run_per_probe_and_no_retries(world: World) -> None:
    waiting = enter_calls(world, 60)
    world.pass_time(800)
    assert not world.failed
    assert all(row(world.storage, call_id)["retries"] == 0 for call_id in waiting)
    probes = len(world.requests)
    assert probes <= 7, "after 15 s, 30, 60, 120, 240, 300"
    assert world.runs <= 2 + probes
    assert world.attempts <= len(waiting) + probes
    world.is_unavailable = False
    back_at = world.now
    world.pass_time(320)
    assert set(world.done) == set(waiting)
    assert max(world.done.values()) - back_at <= 315
    first = min(world.done.values())
    assert max(world.done.values()) - first <= 15, "all others follow at once"


def test_patience_ends_for_calls_that_were_never_probes(world: World) -> None:
    waiting = enter_calls(world, 12)
    world.pass_time(60)
    with world.storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET unavailable_since = now() - interval '25 hours'")
    world.pass_time(10)
    assert set(world.failed) == set(waiting)


def test_a_call_that_breaks_the_service_fails_without_delaying_others(world: World) -> None:
    world.is_unavailable = False
    [poison] = enter(world.storage, "poison.wav")
    world.poison = {poison}
    world.pass_time(900)
    assert set(world.failed) == {poison}, "alone, it uses up its retries"
    assert len(world.requests) == 4
    assert world.storage.outages.all() == []
    [second] = enter(world.storage, "second.wav")
    world.poison = {second}
    good = enter_calls(world, 100)
    world.pass_time(900)
    assert set(world.done) == set(good)
    assert set(world.failed) == {poison, second}


def test_five_bad_calls_do_not_delay_a_good_one(world: World) -> None:
    """Every probe is another call."""
    world.is_unavailable = False
    world.poison = set(enter(world.storage, *(f"bad-{n}.wav" for n in range(6))))
    world.tick()
    [good] = enter(world.storage, "good.wav")
    world.pass_time(600)
    assert set(world.done) == {good}
    world.pass_time(900)
    assert set(world.failed) | {
        call_id for call_id in world.poison if row(world.storage, call_id)["unavailable_service"]
    } == set(world.poison)


def test_a_new_service_address_releases_all_calls(world: World) -> None:
    waiting = enter_calls(world, 20)
    world.pass_time(20)
    world.is_unavailable, world.service = False, "transcription http://elsewhere"
    world.pass_time(60)
    assert set(world.done) == set(waiting)
    assert world.storage.outages.all() == []


def test_a_manual_retry_probes_a_service_with_a_long_retry_after(world: World) -> None:
    waiting = enter_calls(world, 4)
    world.tick()
    with world.storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET retry_at = now() + interval '6 hours'")
    world.is_unavailable = False
    world.pass_time(60)
    assert not world.done
    assert world.storage.ledger.retry(waiting[:1]) == set(waiting[:1])
    world.pass_time(10)
    assert set(world.done) == set(waiting)
