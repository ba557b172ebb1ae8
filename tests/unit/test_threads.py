"""Work on a thread of its own."""

import asyncio
import threading

import pytest

from callpipeline.pipeline.threads import on_its_own_thread


def test_work_that_waits_keeps_no_thread_that_others_need():
    """More of it than asyncio has threads, all at once."""
    count = 40
    together = threading.Barrier(count)
    seen: set[int | None] = set()

    def work(number: int) -> None:
        together.wait(10)
        seen.add(number)

    async def all_at_once() -> None:
        await asyncio.gather(*(on_its_own_thread(work, number) for number in range(count)))

    asyncio.run(all_at_once())
    assert seen == set(range(count))


def test_what_it_raises_is_raised():
    def work() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        asyncio.run(on_its_own_thread(work))
