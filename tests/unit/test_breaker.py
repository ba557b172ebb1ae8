"""While a service is away nobody asks it, and one request looks whether it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from callpipeline.domain.outage import Outage
from callpipeline.engines.asking import on_behalf_of
from callpipeline.engines.http.breaker import BEHIND_S, MOST_IN_A_ROW, Breaker
from callpipeline.errors import EngineAway


@dataclass
class Board:
    """What all runs know, in this process."""

    known: dict[str, Outage] = field(default_factory=dict)
    may_try: bool = True
    told: list[str] = field(default_factory=list)

    def find(self, service: str) -> Outage | None:
        self.told.append("find")
        return self.known.get(service)

    def begin(self, service: str, reason: str, tries: int, again_s: float) -> None:
        self.told.append(f"begin {tries} {again_s:g}")
        self.known[service] = Outage(reason, tries, again_s)

    def take_try(self, service: str, again_s: float) -> bool:
        self.told.append("take")
        return self.may_try

    def end(self, service: str) -> None:
        self.told.append("end")
        self.known.pop(service, None)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Trial:
    def __init__(self) -> None:
        self.board, self.clock = Board(), Clock()
        self.breaker = self.another()

    def another(self) -> Breaker:
        """The breaker of another run."""
        return Breaker("scribe", self.board, self.clock)

    async def away(self, *, is_try: bool = False, again_s: float | None = None) -> float:
        with pytest.raises(EngineAway, match="no connection") as caught:
            await self.breaker.failed("no connection", is_away=True, is_try=is_try, again_s=again_s)
        return caught.value.again_s

    async def stumble(self) -> None:
        await self.breaker.failed("500", is_away=False, is_try=await self.breaker.admit())


Test = Callable[[Trial], Awaitable[None]]


def in_a_loop(test: Test) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(Trial()), 5))

    run.__name__, run.__doc__ = getattr(test, "__name__", "test"), test.__doc__
    return run


@in_a_loop
async def test_what_no_recording_can_cause_opens_it_at_once(trial: Trial) -> None:
    assert await trial.breaker.admit() is False
    assert await trial.away() == 15
    with pytest.raises(EngineAway) as caught:
        await trial.breaker.admit()
    assert caught.value.again_s == 15
    assert trial.board.told == ["find", "begin 0 15"]


@in_a_loop
async def test_what_a_recording_may_cause_opens_it_after_several_in_a_row(trial: Trial) -> None:
    for _ in range(MOST_IN_A_ROW - 1):
        await trial.stumble()
    assert not trial.breaker.is_open
    with pytest.raises(EngineAway) as caught:
        await trial.stumble()
    assert caught.value.again_s == 15 + BEHIND_S, "it may be what the service chokes on"


@in_a_loop
async def test_a_success_between_is_none_in_a_row(trial: Trial) -> None:
    for _ in range(3):
        for _ in range(MOST_IN_A_ROW - 1):
            await trial.stumble()
        await trial.breaker.succeeded()
    assert not trial.breaker.is_open
    assert "end" not in trial.board.told


@in_a_loop
async def test_one_tries_and_the_others_wait_for_what_comes_of_it(trial: Trial) -> None:
    await trial.away()
    trial.clock.now = 15
    assert await trial.breaker.admit() is True
    others = [asyncio.create_task(trial.breaker.admit()) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert not any(other.done() for other in others)
    await trial.breaker.succeeded(is_try=True)
    assert await asyncio.gather(*others) == [False] * 8
    assert trial.board.told[-1] == "end"


@in_a_loop
async def test_a_try_that_fails_doubles_the_wait_and_nobody_else_asks(trial: Trial) -> None:
    await trial.away()
    waits: list[float] = []
    for _ in range(6):
        trial.clock.now += 1000
        assert await trial.breaker.admit() is True
        other = asyncio.create_task(trial.breaker.admit())
        await asyncio.sleep(0.01)
        waits.append(await trial.away(is_try=True))
        with pytest.raises(EngineAway):
            await other
    assert waits == [30, 60, 120, 240, 300, 300]


@in_a_loop
async def test_requests_that_were_under_way_make_the_wait_no_longer(trial: Trial) -> None:
    await trial.away()
    trial.clock.now = 5
    assert [await trial.away() for _ in range(8)] == [10.0] * 8
    assert trial.board.told == ["begin 0 15"]


@in_a_loop
async def test_what_the_service_asks_for_is_obeyed(trial: Trial) -> None:
    assert await trial.away(again_s=3600) == 3600


@in_a_loop
async def test_a_try_that_was_called_off_lets_another_try(trial: Trial) -> None:
    await trial.away()
    trial.clock.now = 15
    assert await trial.breaker.admit() is True
    other = asyncio.create_task(trial.breaker.admit())
    await asyncio.sleep(0.01)
    trial.breaker.let_go(is_try=True)
    assert await other is True


@in_a_loop
async def test_another_run_knows_of_it_and_may_not_try_meanwhile(trial: Trial) -> None:
    await trial.away()
    later = trial.another()
    with pytest.raises(EngineAway):
        await later.admit()
    trial.clock.now = 15
    trial.board.may_try = False
    with pytest.raises(EngineAway):
        await later.admit()


@in_a_loop
async def test_another_run_that_saw_it_back_spares_the_try(trial: Trial) -> None:
    await trial.away()
    trial.board.known.clear()
    trial.board.may_try = False
    trial.clock.now = 15
    assert await trial.breaker.admit() is False
    assert not trial.breaker.is_open


@in_a_loop
async def test_many_failures_of_one_call_are_one(trial: Trial) -> None:
    with on_behalf_of("poison"):
        for _ in range(3 * MOST_IN_A_ROW):
            await trial.stumble()
    for number in range(MOST_IN_A_ROW - 2):
        with on_behalf_of(f"call-{number}"):
            await trial.stumble()
    assert not trial.breaker.is_open
    with on_behalf_of("call-5"), pytest.raises(EngineAway):
        await trial.stumble()


@in_a_loop
async def test_a_late_answer_to_what_was_asked_before_does_not_close_it(trial: Trial) -> None:
    await trial.away()
    await trial.breaker.succeeded()
    assert trial.breaker.is_open
    trial.clock.now = 15
    await trial.breaker.succeeded(is_try=await trial.breaker.admit())
    assert not trial.breaker.is_open


@in_a_loop
async def test_an_answer_tells_that_bad_recordings_were_no_outage(trial: Trial) -> None:
    for _ in range(MOST_IN_A_ROW - 1):
        await trial.stumble()
    with pytest.raises(EngineAway):
        await trial.stumble()
    await trial.breaker.succeeded()
    assert not trial.breaker.is_open


@in_a_loop
async def test_a_run_in_the_middle_hears_of_it_as_it_fails(trial: Trial) -> None:
    """Its call loses no try, though it has met too little to open its own."""
    middle = trial.another()
    assert await middle.admit() is False
    await trial.away()
    with pytest.raises(EngineAway) as caught:
        await middle.failed("500", is_away=False, is_try=False)
    assert caught.value.service == "scribe"


@in_a_loop
async def test_it_knows_whether_others_were_answered_meanwhile(trial: Trial) -> None:
    with on_behalf_of("one"):
        await trial.breaker.succeeded()
        assert not trial.breaker.answered_others_since(0)
    trial.clock.now = 5
    with on_behalf_of("other"):
        assert trial.breaker.answered_others_since(0)
        assert not trial.breaker.answered_others_since(1)
