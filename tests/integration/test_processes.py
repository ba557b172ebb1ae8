"""Calls in a process pool whose processes die, hang or outlive their parent."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from callpipeline.engines.processes import ProcessPool, lower_priority
from callpipeline.errors import EngineUnavailable, UnsupportedAudio


def is_running(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int, timeout_s: float = 60.0) -> bool:
    until = time.monotonic() + timeout_s
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_call_runs_in_another_process_which_is_reused() -> None:
    async def pids() -> list[int]:
        async with ProcessPool("tester", 1) as processes:
            return [await processes.run(os.getpid) for _ in range(2)]

    first, second = asyncio.run(pids())
    assert first == second != os.getpid()


def test_a_process_may_be_used_from_one_event_loop_after_another() -> None:
    processes = ProcessPool("tester", 1)
    pids = {asyncio.run(processes.run(os.getpid)) for _ in range(2)}
    processes.close()
    assert len(pids) == 1


def test_an_error_is_raised_in_the_caller() -> None:
    async def fail() -> None:
        async with ProcessPool("tester", 1) as processes:
            with pytest.raises(ZeroDivisionError):
                await processes.run(divmod, 1, 0)
            with pytest.raises(FileNotFoundError):
                await processes.run(os.stat, "/no/such/file")
            assert await processes.run(divmod, 7, 2) == (3, 1)

    asyncio.run(fail())


def test_an_error_of_ours_keeps_its_message() -> None:
    async def fail() -> None:
        async with ProcessPool("tester", 1) as processes:
            await processes.run(
                exec, "from callpipeline.errors import *; raise UnsupportedAudio('x y')"
            )

    with pytest.raises(UnsupportedAudio, match="^x y$"):
        asyncio.run(fail())


def test_a_process_that_dies_only_fails_its_own_call() -> None:
    async def kill_one() -> list[object]:
        async with ProcessPool("tester", 2) as processes:
            calls = [
                processes.run(os.kill, 0, 0),
                processes.run(os._exit, 3),
                *(processes.run(divmod, n, 2) for n in range(20)),
            ]
            return list(await asyncio.gather(*calls, return_exceptions=True))

    _, died, *others = asyncio.run(kill_one())
    assert isinstance(died, EngineUnavailable)
    assert str(died) == "the tester's process died, try again"
    assert others == [divmod(n, 2) for n in range(20)]


def test_a_call_over_the_timeout_is_killed_and_the_next_one_served() -> None:
    async def hang() -> object:
        async with ProcessPool("tester", 1, timeout_s=3) as processes:
            with pytest.raises(EngineUnavailable, match="took over 3 s"):
                await processes.run(time.sleep, 3600)
            processes._timeout_s = 60  # the next process may be slow to start
            return await processes.run(abs, -1)

    assert asyncio.run(hang()) == 1


def test_closing_ends_the_processes_and_the_running_calls() -> None:
    async def close_while_busy() -> tuple[int, ...]:
        processes = ProcessPool("tester", 1)
        busy = asyncio.ensure_future(processes.run(time.sleep, 60))
        while not processes.pids:
            await asyncio.sleep(0.01)
        pids = processes.pids
        await asyncio.to_thread(processes.close)
        with pytest.raises(EngineUnavailable):
            await busy
        with pytest.raises(EngineUnavailable, match="is closed"):
            await processes.run(abs, 1)
        return pids

    (pid,) = asyncio.run(close_while_busy())
    assert wait_until_gone(pid)


PARENT = """
import asyncio, sys, time
from callpipeline.engines.processes import ProcessPool, lower_priority

async def work():
    processes = ProcessPool("tester", 1)
    busy = asyncio.ensure_future(processes.run(time.sleep, 60))
    while not processes.pids:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    print(processes.pids[0], flush=True)
    await busy

asyncio.run(work())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a busy child with its parent")
def test_a_busy_process_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen((sys.executable, "-c", PARENT), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    assert wait_until_gone(child)


def test_many_calls_return_their_results_in_order() -> None:
    async def run() -> list[tuple[int, int]]:
        async with ProcessPool("tester", 2) as processes:
            return await processes.run_each(divmod, ((number, 2) for number in range(5)))

    assert asyncio.run(run()) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def test_waiting_calls_are_not_started_after_one_failed(tmp_path: Path) -> None:
    calls = [(str(tmp_path / "missing" / "x"),), *((str(tmp_path / f"{n}"),) for n in range(20))]

    async def run() -> None:
        async with ProcessPool("tester", 1) as processes:
            with pytest.raises(FileNotFoundError):
                await processes.run_each(os.mkdir, calls)
            await processes.run(divmod, 1, 1)

    asyncio.run(run())
    assert len(list(tmp_path.iterdir())) <= 1


def _niceness_after(*wanted: int) -> int:
    for each in wanted:
        lower_priority(each)
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_a_priority_is_lowered_and_never_raised_again() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        lowered = max(7, _niceness_after())  # the test run itself may have a low priority
        assert pool.submit(_niceness_after, 7, 3).result() == lowered
        # Once more in the same process: it adds nothing.
        assert pool.submit(_niceness_after, 7).result() == lowered
