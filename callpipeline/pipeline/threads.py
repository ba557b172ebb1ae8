"""Work that may wait for others for minutes, beside the threads on which a run writes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec

P = ParamSpec("P")


async def on_its_own_thread(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do something on a thread of its own.

    `asyncio.to_thread` has six on a machine of two processors: as many slow hosts of recordings
    would keep all other calls of the run from being written.
    """
    thread = ThreadPoolExecutor(1, "apart")
    try:
        await asyncio.wrap_future(thread.submit(work, *args, **kwargs))
    finally:
        thread.shutdown(wait=False)
