"""Blocking work in a thread of its own."""

import asyncio
import threading

import pytest

from callpipeline.pipeline.processing.workspace import run_in_own_thread


def test_blocking_work_does_not_use_up_shared_threads():
    """More of it than asyncio has threads, all at once."""
    count = 40
    together = threading.Barrier(count)
    seen: set[int | None] = set()

    def work(number: int) -> None:
        together.wait(60)
        seen.add(number)

    async def all_at_once() -> None:
        await asyncio.gather(*(run_in_own_thread(work, number) for number in range(count)))

    asyncio.run(all_at_once())
    assert seen == set(range(count))


def test_an_exception_is_raised_to_the_caller():
    def work() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        asyncio.run(run_in_own_thread(work))
