"""Child processes that are restarted when they die and end with the command that started them."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from callpipeline.cli.installation import guardian
from callpipeline.errors import EngineUnavailable, SettingsInvalid


class Services:
    """Process groups that are stopped on exit.

    A guardian process stops them: it notices the end of its input, which also comes when this
    process is killed.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        # Unbuffered, so that the log has the last output of a process that died.
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, Sequence[str]] = {}

    def __enter__(self) -> "Services":
        self._logs.mkdir(parents=True, exist_ok=True)
        self._guardian = subprocess.Popen(
            [sys.executable, guardian.__file__], stdin=subprocess.PIPE, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._guardian.stdin
        self._guardian.stdin.close()
        for process in self._running.values():
            process.wait()
        self._guardian.wait()

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `python <command>`; its output goes to `<name>.log`."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        assert self._guardian.stdin
        self._guardian.stdin.write(f"{process.pid}\n".encode())
        self._guardian.stdin.flush()
        self._running[name], self._commands[name] = process, command
        return process

    def restart(self, name: str) -> None:
        """Start a service again with the same command; children of the dead one keep running."""
        self.start(name, self._commands[name])

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def ended(self) -> str | None:
        """Return the name of a process that has ended, if any."""
        return next(iter(self.dead()), None)

    def dead(self) -> dict[str, int]:
        """Return the processes that have ended, with their exit codes."""
        exits = {name: process.poll() for name, process in self._running.items()}
        return {name: code for name, code in exits.items() if code is not None}

    def log_tail(self, name: str, lines: int = 12) -> str:
        """Return the last lines of a process's log."""
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def sole_operator(home: Path) -> Iterator[bool]:
    """Try to lock the data folder for one `up` or `demo`; yields False if another has it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "operator.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield True
        lock.truncate(0)


def is_operated(home: Path) -> bool:
    """Return True if an `up` or a `demo` is running on the data folder."""
    with sole_operator(home) as is_free:
        return not is_free


def refuse_second_operator(home: Path) -> None:
    """Raise SettingsInvalid that names the process running on the folder."""
    pid = (home / "operator.lock").read_text().strip() or "unknown"
    raise SettingsInvalid(
        f"callpipeline is already running on {home} (process {pid}). Stop it first, or set "
        "CALLPIPELINE_HOME to another data folder."
    )


WAITS_S = (0.0, 1.0, 2.0, 5.0)
"""Delays before each restart of a service; one more death stops everything."""
WITHIN_S = 600.0
"""Period in which deaths are counted."""


class Supervisor:
    """Restarts services that die, on the same ports and logs.

    Runs survive the code server that started them; if they died with it, the sensor `lost_runs`
    reclaims their calls.
    """

    def __init__(
        self,
        services: Services,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._report = report
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._due: dict[str, float] = {}

    def restart_dead(self) -> None:
        """Restart dead services when due. Raises EngineUnavailable if one keeps dying."""
        for name, exit_code in self._services.dead().items():
            if name not in self._due:
                self._due[name] = self._clock() + self._wait_after_death(name, exit_code)
            if self._clock() >= self._due[name]:
                del self._due[name]
                self._services.restart(name)
                self._log(f"{name} restarted; logs are in {self._services.log(name)}.")

    def _wait_after_death(self, name: str, exit_code: int) -> float:
        now = self._clock()
        recent = [died for died in self._deaths.get(name, []) if now - died < WITHIN_S]
        self._deaths[name] = [*recent, now]
        if len(recent) >= len(WAITS_S):
            raise EngineUnavailable(
                f"{name} died {len(recent) + 1} times within {WITHIN_S / 60:.0f} minutes "
                f"({_describe_exit(exit_code)}):\n{self._services.log_tail(name)}"
            )
        wait_s = WAITS_S[len(recent)]
        when = f"in {wait_s:.0f} s" if wait_s else "now"
        self._log(f"{name} died ({_describe_exit(exit_code)}); restarting {when}.")
        return wait_s

    def _log(self, sentence: str) -> None:
        self._report(f"{datetime.now().astimezone():%H:%M:%S} {sentence}")


def _describe_exit(exit_code: int) -> str:
    """Describe an exit code."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
