"""Interruption of a run from outside: a deployment, an evicted pod, a machine that shuts down.

An interruption is no failure: the calls go back to the queue at once, and lose no attempt.
"""

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

import dagster as dg

from callpipeline.defs.dagster_internals.runs import is_canceling, report_interruption
from callpipeline.defs.dagster_internals.storage import flush_events
from callpipeline.storage.calls.claims import Claims, heartbeat

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any] | int | None

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CANCEL_S = 6.0
"""Longest wait for the work in progress to notice its cancellation; a processor waits for 5 s."""


class Interruption:
    """A request to stop this process, for the coroutines of one event loop.

    `cut_work_short` is set if that ended work early.
    """

    def __init__(self, received: socket.socket | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._received = received
        self._is_set = False
        self._limited: AsyncGenerator[Any, None] | None = None
        self.cut_work_short = False

    @property
    def is_set(self) -> bool:
        """Return True if a signal was received, whoever handled it."""
        if self._received and not self._is_set:
            with suppress(BlockingIOError):
                self._is_set = not set(self._received.recv(4096)).isdisjoint(SIGNALS)
        return self._is_set

    def watch(self) -> None:
        """Handle signals, in place of the handlers of now. Does nothing outside of main threads."""
        if self._received:
            for kind in SIGNALS:
                signal.signal(kind, self._interrupt)

    def unwatch(self, handlers: Mapping[signal.Signals, Handler]) -> None:
        """Set the handlers of before, unless others have replaced those of `watch`."""
        for kind, handler in handlers.items():
            if signal.getsignal(kind) == self._interrupt:
                signal.signal(kind, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._is_set = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._event.set)

    async def run(self, work: Coroutine[Any, Any, object]) -> None:
        """Await work until the interruption, which cancels it."""
        working = asyncio.ensure_future(work)
        interrupted = asyncio.ensure_future(self._event.wait())
        await asyncio.wait({working, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        interrupted.cancel()
        if working.done():
            working.result()
        else:
            self.cut_work_short = True
            working.cancel()
            await asyncio.wait({working}, timeout=CANCEL_S)

    def limit(self, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Yield events until the interruption, which cancels the work on the next one."""
        self._limited = self._limit(events)
        return self._limited

    def close(self) -> None:
        """Cancel the work of `limit` from outside of the event loop; later would be too late."""
        if self._limited is not None and not self._loop.is_closed():
            closing = asyncio.wait_for(self._limited.aclose(), CANCEL_S)
            with suppress(TimeoutError):
                self._loop.run_until_complete(closing)

    async def _limit(self, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        interrupted = asyncio.ensure_future(self._event.wait())
        try:
            while True:
                # Dagster stores each event under handlers of its own, and sets others then.
                self.watch()
                if self.is_set:
                    self.cut_work_short = True
                    return
                following = asyncio.ensure_future(_next(events))
                await asyncio.wait({following, interrupted}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following}, timeout=CANCEL_S)
                    continue
                if not following.result():
                    return
                yield following.result()[0]
        finally:
            interrupted.cancel()
            with suppress(RuntimeError):  # it runs on: its work has not noticed the cancellation
                await events.aclose()


async def _next(events: AsyncGenerator[T, None]) -> list[T]:
    """Return the next event; an empty list after the last one."""
    async for event in events:
        return [event]
    return []


@contextmanager
def watch_for_interruption() -> Iterator[Interruption]:
    """Watch for SIGINT and SIGTERM in place of Dagster's handlers.

    Those raise an error wherever the main thread happens to be, which leaves a coroutine suspended
    for good: it would neither cancel its work nor release its calls.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Interruption()  # only the main thread receives signals
        return
    received, noted = socket.socketpair()
    with received, noted:
        received.setblocking(False)
        noted.setblocking(False)
        interruption = Interruption(received)
        handlers = {kind: signal.getsignal(kind) for kind in SIGNALS}
        # Python writes each signal to it before it calls whichever handler is set.
        previous = signal.set_wakeup_fd(noted.fileno(), warn_on_full_buffer=False)
        interruption.watch()
        try:
            yield interruption
        finally:
            signal.set_wakeup_fd(previous)
            interruption.unwatch(handlers)


_held: dict[str, "HeldClaims"] = {}
"""Claims of runs of this process that have not ended."""


class HeldClaims:
    """Keeps the claims of a run alive meanwhile, and releases what is left of them at the end.

    Pass all work through the Interruption. Raises DagsterExecutionInterruptedError if the run was
    interrupted, or canceled by a person.
    """

    # No generator: the garbage collector may finish that of a suspended run first.

    def __init__(
        self, context: dg.AssetExecutionContext | dg.OpExecutionContext, claims: Claims
    ) -> None:
        self._instance, self._run_id = context.instance, context.run.run_id
        self._claims = claims
        self._exits = ExitStack()

    async def __aenter__(self) -> Interruption:
        with ExitStack() as exits:
            self._interruption = exits.enter_context(watch_for_interruption())
            exits.callback(self._release)
            exits.enter_context(heartbeat(self._claims, self._run_id))
            self._exits = exits.pop_all()
        _held[self._run_id] = self
        return self._interruption

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._exits.close()
        if kind is None and self._interruption.cut_work_short:
            raise dg.DagsterExecutionInterruptedError

    def end_suspended(self) -> None:
        """Release the claims, and cancel the work; the event loop does not run."""
        self._interruption.cut_work_short = True
        try:
            self._exits.close()
        finally:
            self._interruption.close()

    def _release(self) -> None:
        _held.pop(self._run_id, None)
        # If this fails, the run keeps its claims, and `lost_runs` reports its stages.
        flush_events(self._instance)
        interruption = self._interruption
        if interruption.is_set and not is_canceling(self._instance, self._run_id):
            # At once, since the grace period may be short.
            self._claims.hand_back(self._run_id)
            if interruption.cut_work_short:
                report_interruption(self._instance, self._run_id)
        else:
            # Unprocessed calls of a canceled or stopped run wait for another run.
            self._claims.release(self._run_id)


def end_suspended_run(run_id: str) -> None:
    """Release the claims of a run that has not done so, before its resources are closed.

    If a signal arrives while Dagster stores an event, Dagster ends the step without resuming its
    generator.
    """
    if held := _held.get(run_id):
        held.end_suspended()
