"""Process pool for engines that hold the GIL or may crash.

Unlike in `ProcessPoolExecutor`, a process that dies fails no calls but its own, and a new process
does not import the program's main module, which takes seconds under Dagster.
"""

import asyncio
import ctypes
import math
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
START_CODE = "from callpipeline.engines.processes import serve; serve({fd}, {parent}, {niceness})"


class ProcessPool:
    """Up to `count` processes (default: one per CPU), started on demand, each serving one call.

    A process that dies or exceeds `timeout_s` only fails its own call (with EngineUnavailable) and
    is replaced for the next one. All processes end with this one, even if it is killed. The pool is
    not bound to an event loop. `niceness` (0 to 19) lowers the priority of the processes.
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
        self._local = threading.local()
        self._processes: set[_WorkerProcess] = set()
        self._is_closed = False

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a function in a process. The function and its arguments must be picklable."""
        if self._is_closed:
            raise EngineUnavailable(f"the {self._role} is closed")
        return await asyncio.wrap_future(self._threads.submit(self._call, function, arguments))

    async def run_each(
        self, function: Callable[..., Result], calls: Iterable[tuple[object, ...]]
    ) -> list[Result]:
        """Run a function with each of the arguments; the first error cancels the waiting ones.

        At most `count` are submitted at once, so that a caller with few calls need not wait for a
        caller with many.
        """
        semaphore = asyncio.Semaphore(self.count)

        async def run_one(arguments: tuple[object, ...]) -> Result:
            async with semaphore:
                return await self.run(function, *arguments)

        tasks = [asyncio.ensure_future(run_one(arguments)) for arguments in calls]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:  # the rest of a failed call must not delay others
                task.cancel()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the ids of the processes that were started and not found dead since."""
        return tuple(process.pid for process in self._processes)

    def close(self) -> None:
        """End the processes: cancel waiting calls, fail running ones."""
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
            limit = f"{self._timeout_s:.0f} s"
            raise EngineUnavailable(f"the {self._role}'s process took over {limit}") from error
        except (EOFError, OSError) as error:
            self._drop(process)
            raise EngineUnavailable(f"the {self._role}'s process died, try again") from error
        if is_error:
            raise outcome
        return outcome

    def _process_of_this_thread(self) -> "_WorkerProcess":
        """Return the process of this thread: Linux kills it with the thread that started it."""
        process = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = _WorkerProcess(self._niceness)
            self._processes.add(process)
        if self._is_closed:
            process.kill()
        return process

    def _drop(self, process: "_WorkerProcess") -> None:
        process.kill()
        self._processes.discard(process)
        self._local.process = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


class PooledEngine:
    """Base class of engines that run in a process pool."""

    _processes: ProcessPool

    @property
    def pids(self) -> tuple[int, ...]:
        return self._processes.pids

    def close(self) -> None:
        self._processes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


class _WorkerProcess:
    """Python process that serves calls from a pipe."""

    def __init__(self, niceness: int) -> None:
        self._connection, remote_end = Pipe()
        with remote_end:
            fd, parent = remote_end.fileno(), os.getpid()
            start = START_CODE.format(fd=fd, parent=parent, niceness=niceness)
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-c", start),
                stdin=subprocess.DEVNULL,
                pass_fds=(fd,),
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        self.pid = self._process.pid

    def call(
        self, function: Callable[..., Any], arguments: tuple[object, ...], timeout_s: float
    ) -> Any:
        self._connection.send_bytes(pickle.dumps((function, arguments)))
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        return self._connection.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def lower_priority(niceness: int) -> None:
    """Lower the priority of this process to a niceness (0 to 19), unless it is lower already."""
    present = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(present, niceness))


def serve(fd: int, parent: int, niceness: int) -> None:
    """Serve calls from the pipe until it closes; the main loop of each process."""
    _end_with_parent(parent)
    lower_priority(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and ends this process
    connection = Connection(fd)
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_outcome(call))


def available_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPUs that this process may use, also in a container with a quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, math.ceil(_cpu_quota(cgroups) or count)))


def _cpu_quota(cgroups: Path) -> float | None:
    """Return the CPU quota of this container in CPUs, None without one."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:  # cgroups of version 1
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # `max`, or -1
    return int(quota) / int(period)


def _outcome(call: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(call)
        return pickle.dumps((False, function(*arguments)))
    except Exception as error:  # raised again in the caller
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    try:
        pickled = pickle.dumps((True, error))
        pickle.loads(pickled)
    except Exception:  # errors of C libraries often can't be unpickled
        return pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}")))
    return pickled


def _end_with_parent(parent: int) -> None:
    """Make Linux send SIGKILL when the parent dies; elsewhere the closed pipe ends the process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the prctl call
        os._exit(1)
