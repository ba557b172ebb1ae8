"""A circuit breaker stops requests to a service that is down, and probes it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from callpipeline.domain.egress import Outage
from callpipeline.engines.http.breaker import FAILURE_THRESHOLD, SUSPECT_DELAY_S, CircuitBreaker
from callpipeline.engines.ports import call_context
from callpipeline.errors import ServiceUnavailable


@dataclass
class SharedOutages:
    """Outages that several breakers share, with a log of the calls."""

    current: dict[str, Outage] = field(default_factory=dict)
    may_probe: bool = True
    log: list[str] = field(default_factory=list)

    def find(self, service: str) -> Outage | None:
        self.log.append("find")
        return self.current.get(service)

    def begin(self, service: str, reason: str, attempts: int, retry_after_s: float) -> None:
        self.log.append(f"begin {attempts} {retry_after_s:g}")
        self.current[service] = Outage(reason, attempts, retry_after_s)

    def acquire_probe(self, service: str, retry_after_s: float) -> bool:
        self.log.append("acquire_probe")
        return self.may_probe

    def end(self, service: str) -> None:
        self.log.append("end")
        self.current.pop(service, None)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Lab:
    def __init__(self) -> None:
        self.outages, self.clock = SharedOutages(), Clock()
        self.breaker = self.other_run()

    def other_run(self) -> CircuitBreaker:
        """Return the breaker of another run."""
        return CircuitBreaker("transcription", self.outages, self.clock)

    async def fail_with_outage(
        self, *, is_probe: bool = False, retry_after_s: float | None = None
    ) -> float:
        with pytest.raises(ServiceUnavailable, match="no connection") as caught:
            await self.breaker.failed(
                "no connection", is_outage=True, is_probe=is_probe, retry_after_s=retry_after_s
            )
        return caught.value.retry_after_s

    async def fail(self) -> None:
        await self.breaker.failed("500", is_outage=False, is_probe=await self.breaker.admit())


Test = Callable[[Lab], Awaitable[None]]


def run_in_loop(test: Test) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(Lab()), 60))

    run.__name__, run.__doc__ = getattr(test, "__name__", "test"), test.__doc__
    return run


@run_in_loop
async def test_a_failure_that_no_recording_can_cause_opens_it_at_once(lab: Lab) -> None:
    assert await lab.breaker.admit() is False
    assert await lab.fail_with_outage() == 15
    with pytest.raises(ServiceUnavailable) as caught:
        await lab.breaker.admit()
    assert caught.value.retry_after_s == 15
    assert lab.outages.log == ["find", "begin 0 15"]


@run_in_loop
async def test_failures_that_recordings_may_cause_open_it_after_several_in_a_row(lab: Lab) -> None:
    for _ in range(FAILURE_THRESHOLD - 1):
        await lab.fail()
    assert not lab.breaker.is_open
    with pytest.raises(ServiceUnavailable) as caught:
        await lab.fail()
    assert caught.value.retry_after_s == 15 + SUSPECT_DELAY_S, "its recording may be the cause"


@run_in_loop
async def test_a_success_resets_the_count_of_failures(lab: Lab) -> None:
    for _ in range(3):
        for _ in range(FAILURE_THRESHOLD - 1):
            await lab.fail()
        await lab.breaker.succeeded()
    assert not lab.breaker.is_open
    assert "end" not in lab.outages.log


@run_in_loop
async def test_one_request_probes_and_the_others_wait_for_its_result(lab: Lab) -> None:
    await lab.fail_with_outage()
    lab.clock.now = 15
    assert await lab.breaker.admit() is True
    others = [asyncio.create_task(lab.breaker.admit()) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert not any(other.done() for other in others)
    await lab.breaker.succeeded(is_probe=True)
    assert await asyncio.gather(*others) == [False] * 8
    assert lab.outages.log[-1] == "end"


@run_in_loop
async def test_a_failed_probe_doubles_the_wait_and_no_other_request_is_sent(lab: Lab) -> None:
    await lab.fail_with_outage()
    waits: list[float] = []
    for _ in range(6):
        lab.clock.now += 1000
        assert await lab.breaker.admit() is True
        other = asyncio.create_task(lab.breaker.admit())
        await asyncio.sleep(0.01)
        waits.append(await lab.fail_with_outage(is_probe=True))
        with pytest.raises(ServiceUnavailable):
            await other
    assert waits == [30, 60, 120, 240, 300, 300]


@run_in_loop
async def test_requests_in_progress_do_not_extend_the_wait(lab: Lab) -> None:
    await lab.fail_with_outage()
    lab.clock.now = 5
    assert [await lab.fail_with_outage() for _ in range(8)] == [10.0] * 8
    assert lab.outages.log == ["begin 0 15"]


@run_in_loop
async def test_the_wait_that_a_service_requests_is_respected(lab: Lab) -> None:
    assert await lab.fail_with_outage(retry_after_s=3600) == 3600


@run_in_loop
async def test_a_cancelled_probe_lets_another_request_probe(lab: Lab) -> None:
    await lab.fail_with_outage()
    lab.clock.now = 15
    assert await lab.breaker.admit() is True
    other = asyncio.create_task(lab.breaker.admit())
    await asyncio.sleep(0.01)
    lab.breaker.release(is_probe=True)
    assert await other is True


@run_in_loop
async def test_another_run_sees_the_outage_and_may_not_probe_meanwhile(lab: Lab) -> None:
    await lab.fail_with_outage()
    other = lab.other_run()
    with pytest.raises(ServiceUnavailable):
        await other.admit()
    lab.clock.now = 15
    lab.outages.may_probe = False
    with pytest.raises(ServiceUnavailable):
        await other.admit()


@run_in_loop
async def test_no_probe_is_needed_if_another_run_found_the_service_available(lab: Lab) -> None:
    await lab.fail_with_outage()
    lab.outages.current.clear()
    lab.outages.may_probe = False
    lab.clock.now = 15
    assert await lab.breaker.admit() is False
    assert not lab.breaker.is_open


@run_in_loop
async def test_many_failures_of_one_call_count_once(lab: Lab) -> None:
    with call_context("poison"):
        for _ in range(3 * FAILURE_THRESHOLD):
            await lab.fail()
    for number in range(FAILURE_THRESHOLD - 2):
        with call_context(f"call-{number}"):
            await lab.fail()
    assert not lab.breaker.is_open
    with call_context("call-5"), pytest.raises(ServiceUnavailable):
        await lab.fail()


@run_in_loop
async def test_a_late_response_to_an_earlier_request_does_not_close_it(lab: Lab) -> None:
    await lab.fail_with_outage()
    await lab.breaker.succeeded()
    assert lab.breaker.is_open
    lab.clock.now = 15
    await lab.breaker.succeeded(is_probe=await lab.breaker.admit())
    assert not lab.breaker.is_open


@run_in_loop
async def test_a_success_shows_that_bad_recordings_were_no_outage(lab: Lab) -> None:
    for _ in range(FAILURE_THRESHOLD - 1):
        await lab.fail()
    with pytest.raises(ServiceUnavailable):
        await lab.fail()
    await lab.breaker.succeeded()
    assert not lab.breaker.is_open


@run_in_loop
async def test_a_run_with_a_closed_breaker_learns_of_the_outage_when_a_request_fails(
    lab: Lab,
) -> None:
    """Its call loses no attempt, though its own failures don't open its breaker."""
    other = lab.other_run()
    assert await other.admit() is False
    await lab.fail_with_outage()
    with pytest.raises(ServiceUnavailable) as caught:
        await other.failed("500", is_outage=False, is_probe=False)
    assert caught.value.service == "transcription"


@run_in_loop
async def test_it_knows_whether_requests_of_other_calls_succeeded_meanwhile(lab: Lab) -> None:
    with call_context("one"):
        await lab.breaker.succeeded()
        assert not lab.breaker.other_calls_answered_since(0)
    lab.clock.now = 5
    with call_context("other"):
        assert lab.breaker.other_calls_answered_since(0)
        assert not lab.breaker.other_calls_answered_since(1)
