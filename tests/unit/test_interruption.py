"""Interruption of work by a signal: it is cancelled, and the coroutine gets to its end."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import pytest

from callpipeline.defs.interruption import SIGNALS, Interruption, watch_for_interruption


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_signal_cancels_the_work_on_the_next_event(kind: signal.Signals):
    seen: list[int] = []
    closed: list[bool] = []

    async def events() -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                if number == 2:
                    os.kill(os.getpid(), kind)
                    await asyncio.sleep(3600)
                yield number
        finally:
            closed.append(True)

    async def work() -> Interruption:
        with watch_for_interruption() as interruption:
            async for number in interruption.limit(events()):
                seen.append(number)
            return interruption

    interruption = asyncio.run(work())
    assert seen == [0, 1] and closed == [True]
    assert interruption.is_set and interruption.cut_work_short


def test_a_signal_between_two_events_ends_the_work():
    async def events() -> AsyncGenerator[int, None]:
        for number in range(100):
            yield number

    async def work() -> list[int]:
        seen: list[int] = []
        with watch_for_interruption() as interruption:
            async for number in interruption.limit(events()):
                seen.append(number)
                if number == 3:  # as while Dagster stores the event
                    os.kill(os.getpid(), signal.SIGTERM)
        return seen

    assert asyncio.run(work()) == [0, 1, 2, 3]


def test_work_without_events_is_cancelled():
    cancelled: list[bool] = []

    async def sleep() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def work() -> bool:
        with watch_for_interruption() as interruption:
            await interruption.run(sleep())
            return interruption.cut_work_short

    assert asyncio.run(work()) and cancelled == [True]


def test_undisturbed_work_ends_by_itself_and_its_errors_are_raised():
    async def events() -> AsyncGenerator[int, None]:
        yield 1
        raise ZeroDivisionError

    async def fail() -> None:
        raise KeyError

    async def work() -> None:
        before = [signal.getsignal(kind) for kind in SIGNALS]
        with watch_for_interruption() as interruption:
            with pytest.raises(ZeroDivisionError):
                _ = [number async for number in interruption.limit(events())]
            with pytest.raises(KeyError):
                await interruption.run(fail())
            await interruption.run(asyncio.sleep(0))
            assert not interruption.is_set and not interruption.cut_work_short
        assert [signal.getsignal(kind) for kind in SIGNALS] == before

    asyncio.run(work())


def test_outside_the_main_thread_nothing_is_watched():
    async def work() -> bool:
        with watch_for_interruption() as interruption:
            return interruption.is_set

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: asyncio.run(work())).result() is False
