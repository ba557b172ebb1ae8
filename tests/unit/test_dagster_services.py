"""The daemon's loop waits for a wake-up, and the code server's runs are forked."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from callpipeline.config import CHECKOUT
from callpipeline.defs.dagster_internals import services
from callpipeline.defs.dagster_internals.services import REPEATS_S, Notified, WakeableWait
from callpipeline.defs.resources import KeptStorage
from callpipeline.errors import DatabaseUnavailable

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


def test_a_wake_up_is_repeated():
    clock = Clock(0.01)
    wait = WakeableWait(Event(), clock=clock)
    wait.wake()
    assert not wait.wait(LONG_S)
    for repeat_s in REPEATS_S[1:]:
        clock.now_s = repeat_s + 0.05
        assert not wait.wait(LONG_S)
        assert clock.now_s < repeat_s + 0.2
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


@dataclass(frozen=True)
class Data:
    last_tick_start_timestamp: float | None


@dataclass(frozen=True)
class State:
    instigator_data: Data | None


@dataclass(frozen=True)
class Sensor:
    name: str


def test_a_notified_sensor_is_due_until_a_tick_begins_after_the_notification():
    notified = Notified("waiting_calls", lambda state, sensor: True)
    ticked = State(Data(time.time() - 1))
    assert notified.is_under_min_interval(ticked, Sensor("waiting_calls"))
    notified.note()
    assert not notified.is_under_min_interval(ticked, Sensor("waiting_calls"))
    assert not notified.is_under_min_interval(State(Data(None)), Sensor("waiting_calls"))
    assert notified.is_under_min_interval(ticked, Sensor("lost_runs"))
    assert notified.is_under_min_interval(State(None), Sensor("waiting_calls"))
    assert notified.is_under_min_interval(State(Data(time.time() + 1)), Sensor("waiting_calls"))


def test_a_sensor_whose_last_tick_is_in_the_future_is_due():
    """The clock was set back by an hour: Dagster alone would not tick for an hour."""
    notified = Notified("waiting_calls", lambda state, sensor: True)
    for name in ("waiting_calls", "lost_runs"):
        assert not notified.is_under_min_interval(State(Data(time.time() + 3600)), Sensor(name))


PROBE = """
import sys
frame = sys._getframe()
while frame and frame.f_code.co_name != "main":
    frame = frame.f_back
print(frame.f_globals["__name__"])
"""


def test_a_service_runs_in_the_module_that_dagster_imports(tmp_path: Path):
    (tmp_path / "probe_of_services.py").write_text(PROBE)
    command = [sys.executable, "-m", services.__name__, "probe_of_services"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    output = subprocess.check_output(command, text=True, env=environment, cwd=CHECKOUT)
    assert output.splitlines()[-1] == services.__name__


COUNT_THREADS = """
import os
import callpipeline.defs.dagster_internals.preload
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_that_forks_runs_has_a_single_thread():
    counted = subprocess.check_output([sys.executable, "-c", COUNT_THREADS], text=True)
    assert counted.splitlines()[-1] == "1"


def test_the_storage_of_sensors_is_opened_once_and_again_after_an_error():
    opened: list[object] = []

    @contextmanager
    def open_storage() -> Iterator[Any]:
        opened.append(object())
        if len(opened) == 1:
            raise DatabaseUnavailable("Postgres did not respond.")
        yield opened[-1]

    kept = KeptStorage(open_storage)
    with pytest.raises(DatabaseUnavailable):
        kept.get()
    with ThreadPoolExecutor(8) as threads:
        storages = set(map(id, threads.map(lambda _: kept.get(), range(50))))
    assert storages == {id(opened[1])}
    assert len(opened) == 2
