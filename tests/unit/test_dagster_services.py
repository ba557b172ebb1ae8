"""The daemon's loop waits for a wake-up, and the code server's runs are forked."""

import subprocess
import sys
from threading import Event, Timer

import pytest

from callpipeline.defs.dagster_internals.services import REPEAT_S, WakeableWait

LONG_S = 60.0


class Clock:
    """A clock that advances with each reading."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def test_a_wait_without_a_wake_up_takes_its_time():
    clock = Clock(0.001)
    assert not WakeableWait(Event(), clock=clock).wait(0.05)
    assert clock.now_s >= 0.05


def test_a_short_wait_takes_the_least_time():
    clock = Clock(0.05)
    assert not WakeableWait(Event(), least_s=0.4, clock=clock).wait(0.1)
    assert clock.now_s >= 0.4


def test_a_wake_up_ends_the_wait_of_another_thread():
    wait = WakeableWait(Event())
    Timer(0.1, wait.wake).start()
    assert not wait.wait(LONG_S)


def test_a_wake_up_before_the_wait_is_not_missed():
    wait = WakeableWait(Event())
    wait.wake()
    assert not wait.wait(LONG_S)


def test_a_wake_up_is_repeated_once():
    clock = Clock(0.001)
    wait = WakeableWait(Event(), clock=clock)
    wait.wake()
    assert not wait.wait(LONG_S)
    clock.now_s = REPEAT_S + 0.1
    assert not wait.wait(LONG_S)
    assert clock.now_s < REPEAT_S + 1
    assert not wait.wait(0.05)


def test_many_wake_ups_at_once_are_one():
    clock = Clock(0.001)
    wait = WakeableWait(Event(), clock=clock)
    for _ in range(20):
        wait.wake()
    assert not wait.wait(LONG_S)
    before_s = clock.now_s
    assert not wait.wait(0.05)
    assert clock.now_s >= before_s + 0.05


@pytest.mark.parametrize("is_set_before", [True, False])
def test_a_shutdown_ends_the_wait(is_set_before: bool):
    shutdown = Event()
    wait = WakeableWait(shutdown)
    if is_set_before:
        shutdown.set()
    else:
        Timer(0.1, shutdown.set).start()
    assert wait.wait(LONG_S)


COUNT_THREADS = """
import os
import callpipeline.defs.dagster_internals.preload
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_that_forks_runs_has_a_single_thread():
    counted = subprocess.check_output([sys.executable, "-c", COUNT_THREADS], text=True)
    assert counted.splitlines()[-1] == "1"
