"""Many calls at once: a bounded number under way, each failing alone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import TypeVar

from callpipeline.domain.call import Call, Stage
from callpipeline.pipeline.process import Event, Processor

Of = TypeVar("Of")
Happened = TypeVar("Happened")


async def process_calls(
    processor: Processor, calls: Sequence[Call], wanted: Collection[Stage], *, concurrency: int
) -> AsyncIterator[Event]:
    """What happens to the calls, as it happens; at most `concurrency` are under way at once."""
    events = at_once(lambda call: processor.process(call, wanted), calls, concurrency=concurrency)
    async with aclosing(events):
        async for event in events:
            yield event


async def at_once(
    process: Callable[[Of], AsyncIterator[Happened]], calls: Sequence[Of], *, concurrency: int
) -> AsyncGenerator[Happened, None]:
    """What happens when each call is processed, as it happens; so many are under way at once.

    Only what makes every further call pointless, such as a database that is gone, raises.
    """
    events: asyncio.Queue[Happened | None] = asyncio.Queue()
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            async for event in process(call):
                await events.put(event)

    async def work_until_none_waits() -> None:
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(calls))):
                    workers.create_task(work())
        finally:
            await events.put(None)

    work_of_all = asyncio.create_task(work_until_none_waits())
    try:
        while (event := await events.get()) is not None:
            yield event
        await work_of_all
    except BaseExceptionGroup as failures:
        # Workers fail together when the database is gone: one says it as well as all. A panic in
        # a library's Rust is no Exception, and is to be seen as what it is too.
        raise failures.exceptions[0] from None
    finally:
        work_of_all.cancel()
