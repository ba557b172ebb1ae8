"""Functions run in processes of their own, for engines that hold the GIL or may crash.

Not `ProcessPoolExecutor`: there a process that dies takes the calls of all others with it, and a
spawned process imports the program's main module again, which under Dagster takes seconds.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self, TypeVar

from callpipeline.errors import EngineUnavailable

Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1
START = "from callpipeline.engines.processes import serve; serve({fd}, {parent}, {niceness})"


class Processes:
    """Up to `count` processes, started when needed, each serving one call at a time.

    A process that dies, or takes longer than `timeout_s`, fails its own call alone (with
    EngineUnavailable) and is replaced for the next. All end with this process, also when it is
    killed. Not bound to an event loop. `niceness` (0 to 19) lets others on the machine go first.
    """

    def __init__(
        self,
        role: str,
        count: int | None = None,
        *,
        timeout_s: float = 600.0,
        niceness: int = 0,
    ) -> None:
        self._role = role
        self._timeout_s = timeout_s
        self._niceness = niceness
        self.count = count or available_cpus()
        self._threads = ThreadPoolExecutor(self.count, role.replace(" ", "-"))
        self._of_thread = threading.local()
        self._processes: set[_Process] = set()
        self._is_closed = False

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """`function(*arguments)` in a process; the function stands in a module, all is pickled."""
        if self._is_closed:
            raise EngineUnavailable(f"the {self._role} is closed")
        return await asyncio.wrap_future(self._threads.submit(self._call, function, arguments))

    async def run_each(
        self, function: Callable[..., Result], calls: Iterable[tuple[object, ...]]
    ) -> list[Result]:
        """`run` with each of the arguments; the first that fails cancels those not begun.

        No more at once than could run: the next waits behind those of others, so that who has few
        need not wait for who has many.
        """
        turns = asyncio.Semaphore(self.count)

        async def in_turn(arguments: tuple[object, ...]) -> Result:
            async with turns:
                return await self.run(function, *arguments)

        tasks = [asyncio.ensure_future(in_turn(arguments)) for arguments in calls]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:  # what is left of a call that failed must not keep others waiting
                task.cancel()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that were started and not yet found dead."""
        return tuple(process.pid for process in self._processes)

    def close(self) -> None:
        """End the processes: waiting calls are cancelled, running ones fail."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in tuple(self._processes):
            process.kill()
        self._threads.shutdown()

    def _call(self, function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
        process = self._process_of_this_thread()
        try:
            is_error, outcome = process.call(function, arguments, self._timeout_s)
        except TimeoutError as error:
            self._drop(process)
            took_s = f"{self._timeout_s:.0f} s"
            raise EngineUnavailable(f"the {self._role}'s process took over {took_s}") from error
        except (EOFError, OSError) as error:
            self._drop(process)
            raise EngineUnavailable(
                f"the {self._role}'s process died, it can be retried"
            ) from error
        if is_error:
            raise outcome
        return outcome

    def _process_of_this_thread(self) -> "_Process":
        """Linux kills a process with the thread that started it, so each thread has its own."""
        process = getattr(self._of_thread, "process", None)
        if process is None:
            process = self._of_thread.process = _Process(self._niceness)
            self._processes.add(process)
        if self._is_closed:
            process.kill()
        return process

    def _drop(self, process: "_Process") -> None:
        process.kill()
        self._processes.discard(process)
        self._of_thread.process = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


class InProcesses:
    """What works in `_processes`, and ends them."""

    _processes: Processes

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes at work."""
        return self._processes.pids

    def close(self) -> None:
        """End the processes."""
        self._processes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


class _Process:
    """One Python process that serves calls from a pipe."""

    def __init__(self, niceness: int) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            fd, parent = theirs.fileno(), os.getpid()
            start = START.format(fd=fd, parent=parent, niceness=niceness)
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-c", start),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        self.pid = self._process.pid

    def call(
        self, function: Callable[..., Any], arguments: tuple[object, ...], for_s: float
    ) -> Any:
        self._connection.send_bytes(pickle.dumps((function, arguments)))
        if not self._connection.poll(for_s):
            raise TimeoutError
        return self._connection.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def serve(fd: int, parent: int, niceness: int) -> None:
    """Answer calls from the pipe until it closes; the main loop of each process."""
    _die_with(parent)
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this one
    connection = Connection(fd)
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(call))


def available_cpus() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _answer(call: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((False, function(*arguments)))
    except Exception as error:  # whatever it is, the caller is to have it
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    try:
        pickled = pickle.dumps((True, error))
        pickle.loads(pickled)
    except Exception:  # errors of C libraries often do not survive the journey
        return pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}")))
    return pickled


def _die_with(parent: int) -> None:
    """Ask Linux for SIGKILL when the parent is gone; elsewhere the closed pipe ends the process
    after its call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)
