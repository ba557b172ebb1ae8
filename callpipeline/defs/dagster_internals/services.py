"""Dagster's code server and daemon, so that an upload becomes a result within a second or two.

`python -m callpipeline.defs.dagster_internals.services MODULE …` works like `python -m MODULE …`,
with a log without terminal colours, and:

- The code server forks run processes from a process that has imported everything (a forkserver):
  spawned ones import for a second first. If that process dies, the next run starts another.
- The daemon evaluates the sensor of waiting calls as soon as one waits (Postgres notifies it),
  and launches the run at once. Without notifications, it does both at their usual intervals.
"""

import atexit
import importlib
import logging
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import dagster as dg
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from callpipeline.errors import CallpipelineError
from callpipeline.storage.calls.queue import listen_for_waiting_calls
from callpipeline.storage.postgres.locks import OPERATE, OperatorLock, hold_operator_lock

OUTLIVING = "callpipeline.defs.outlive"
PRELOADED = "callpipeline.defs.dagster_internals.preload"
log = logging.getLogger(__name__)

WOKEN_SENSOR = "waiting_calls"
REPEATS_S = (0.0, 0.3, 1.0)
"""Wake-ups after a notification: Dagster passes over a sensor whose last tick is not over."""
SHORTEST_S = 0.1
"""Wake-ups that are closer together are one."""
CHECK_SHUTDOWN_S = 0.5
CODE_SERVER = "CALLPIPELINE_DAGSTER_CODE_SERVER"
"""Variable with the process id of the code server; run processes inherit it."""
CLOCK_TOLERANCE_S = 5.0
"""Longest time by which the last tick of a sensor may be in the future: clocks differ a little."""
LAUNCH_INTERVAL_S = 2.0
"""Interval at which the daemon looks for runs that another process queued."""


def main() -> None:
    """Run the module that the first argument names, with the other arguments."""
    import coloredlogs

    coloredlogs.ansi_wrap = uncoloured
    del sys.argv[0]
    if sys.argv[0] == "dagster":
        fork_run_processes()
    elif sys.argv[0] == "dagster_webserver":
        from callpipeline.defs.dagster_internals.webserver import install_guard

        install_guard()
    elif sys.argv[0] == "dagster._daemon":
        if OPERATE in os.environ:
            operate_alone(os.environ["CALLPIPELINE_DATABASE_URL"])
        wake_daemon()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def operate_alone(url: str) -> None:
    """Hold the operator's lock until this process ends; exits with a sentence without it.

    Another daemon would evaluate every sensor a second time. If this one loses the lock to another
    one, it stops.
    """
    stack = ExitStack()
    try:
        operator = stack.enter_context(hold_operator_lock(url))
    except CallpipelineError as error:
        sys.exit(f"error: {error}")
    atexit.register(stack.close)
    threading.Thread(target=stop_if_lost, args=[operator], name="lost-lock", daemon=True).start()


def stop_if_lost(operator: OperatorLock) -> None:
    """Stop this process as soon as another one has the lock."""
    while True:
        try:
            operator.check()
        except CallpipelineError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(CHECK_SHUTDOWN_S)


def uncoloured(text: str, **_: object) -> str:
    return text


def is_code_server() -> bool:
    """Return True in the process that evaluates sensors for the daemon."""
    return os.environ.get(CODE_SERVER) == str(os.getpid())


def fork_run_processes() -> None:
    """Make the code server of this process fork the processes of its runs, and warm up."""
    from dagster._grpc.server import DagsterApiServer

    from callpipeline.defs.dagster_internals.schema import inherit_schema

    os.environ[CODE_SERVER] = str(os.getpid())
    original = DagsterApiServer.__init__
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([OUTLIVING, PRELOADED])

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        self._mp_ctx = context
        try:
            with dg.DagsterInstance.get() as instance:
                inherit_schema(instance)
        except Exception as error:  # say, Postgres is away: runs then ask for themselves
            log.warning("Dagster's tables were not looked at: %s", type(error).__name__)
        context.Process(target=int, name="warm-up").start()

    DagsterApiServer.__init__ = init


class WakeableWait:
    """Stands for the event with which a daemon's loop waits; `wake` ends a wait early."""

    def __init__(
        self,
        shutdown: threading.Event,
        *,
        least_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shutdown = shutdown
        self._least_s = least_s
        self._clock = clock
        self._due: list[float] = []
        self._changed = threading.Condition()

    def wake(self) -> None:
        """End the present wait, and those that follow at `REPEATS_S`."""
        now = self._clock()
        with self._changed:
            for due in (now + later_s for later_s in REPEATS_S):
                if all(abs(due - other) > SHORTEST_S for other in self._due):
                    self._due.append(due)
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for `timeout` seconds, or the least time; return True if the daemon shuts down."""
        end = self._clock() + max(timeout, self._least_s)
        with self._changed:
            while not self._shutdown.is_set():
                now = self._clock()
                if now >= min((end, *self._due)):
                    self._due = [due for due in self._due if due > now]
                    return False
                until = min((end, now + CHECK_SHUTDOWN_S, *self._due))
                self._changed.wait(until - now)
        return True


class Notified:
    """Makes a sensor due, whatever its interval, if its last tick began before a notification.

    Every sensor is due if its last tick is in the future: the clock was set back, and Dagster would
    wait until it has caught up.
    """

    def __init__(self, sensor_name: str, is_under_min_interval: Callable[..., bool]) -> None:
        self._sensor_name = sensor_name
        self._is_under_min_interval = is_under_min_interval
        self._at = 0.0

    def note(self) -> None:
        self._at = time.time()

    def is_under_min_interval(self, state: Any, sensor: Any, *arguments: Any) -> bool:
        """Return False if the sensor is due; stands for Dagster's function of the same name."""
        data = state.instigator_data
        if data is not None:
            began_at = data.last_tick_start_timestamp or 0.0
            if began_at > time.time() + CLOCK_TOLERANCE_S:
                return False
            if sensor.name == self._sensor_name and began_at < self._at:
                return False
        return self._is_under_min_interval(state, sensor, *arguments)


_launchers: list[WakeableWait] = []
"""The waits of this process's daemon that launches queued runs."""


def wake_daemon() -> None:
    """Make this process's daemon evaluate sensors when a call waits, and launch runs at once."""
    from dagster._daemon import sensor as sensors
    from dagster._daemon.daemon import SensorDaemon
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
        QueuedRunCoordinatorDaemon,
    )

    evaluate, launch = SensorDaemon.core_loop, QueuedRunCoordinatorDaemon.core_loop
    notified = Notified(WOKEN_SENSOR, sensors.is_under_min_interval)
    sensors.is_under_min_interval = notified.is_under_min_interval

    def evaluate_sensors(self: Any, workspace_process_context: Any, shutdown_event: Any) -> Any:
        wait = WakeableWait(shutdown_event)

        def wake() -> None:
            notified.note()
            wait.wake()

        url = os.environ["CALLPIPELINE_DATABASE_URL"]
        threading.Thread(
            target=listen_for_waiting_calls,
            args=[url, wake, shutdown_event],
            name="waiting-calls",
            daemon=True,
        ).start()
        yield from evaluate(self, workspace_process_context, wait)  # pyright: ignore[reportArgumentType]

    def launch_runs(self: Any, workspace_process_context: Any, shutdown_event: Any) -> Any:
        wait = WakeableWait(shutdown_event, least_s=LAUNCH_INTERVAL_S)
        _launchers.append(wait)
        yield from launch(self, workspace_process_context, wait)  # pyright: ignore[reportArgumentType]

    SensorDaemon.core_loop = evaluate_sensors
    QueuedRunCoordinatorDaemon.core_loop = launch_runs


class PromptRunCoordinator(QueuedRunCoordinator):
    """Queues runs, which the daemon launches at once if it queued them, else within seconds."""

    @property
    def dequeue_interval_seconds(self) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Shorter than half a second, the least that Dagster's daemon waits."""
        return 0.1

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        submitted = super().submit_run(context)
        for launcher in _launchers:
            launcher.wake()
        return submitted


if __name__ == "__main__":
    # Dagster imports this module by its name: the run coordinator must find that one's launchers.
    with suppress(KeyboardInterrupt):
        importlib.import_module("callpipeline.defs.dagster_internals.services").main()
