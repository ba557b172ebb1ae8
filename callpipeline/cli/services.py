"""Processes that live no longer than the command which started them, whatever ends it."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from callpipeline.cli import guardian
from callpipeline.errors import SettingsInvalid


class Services:
    """Starts processes in groups of their own and, at the end, stops them with all they started.

    A guardian process does the stopping: it notices that its input ends, which also happens when
    this process is killed and cannot do anything itself.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        # Unbuffered: a log that lacks the last words of a process that died explains nothing.
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
        """Start `python <command>`; what it prints is kept in `<name>.log`."""
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

    def start_again(self, name: str) -> None:
        """Start a service that died as it was started before; what it had started lives on."""
        self.start(name, self._commands[name])

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def ended(self) -> str | None:
        """The name of a process that is not running any more, if there is one."""
        return next(iter(self.dead()), None)

    def dead(self) -> dict[str, int]:
        """The processes that are not running any more, with their exit codes."""
        exits = {name: process.poll() for name, process in self._running.items()}
        return {name: code for name, code in exits.items() if code is not None}

    def last_words(self, name: str, lines: int = 12) -> str:
        """The end of a process's log."""
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def sole_operator(home: Path) -> Iterator[bool]:
    """Whether this process is the only `up` or `demo` on the data folder; held while open."""
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
    """Whether an `up` or a `demo` is at work on the data folder."""
    with sole_operator(home) as nobody:
        return not nobody


def refuse_second_operator(home: Path) -> None:
    """Raises SettingsInvalid that names the process which works on the folder already."""
    pid = (home / "operator.lock").read_text().strip() or "unknown"
    raise SettingsInvalid(
        f"callpipeline runs on {home} already (process {pid}). Stop it first, or give this one a "
        "data folder of its own with CALLPIPELINE_HOME."
    )
