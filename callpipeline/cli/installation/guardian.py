"""Stop process groups when the process that started them is gone, even by kill -9.

Run as a script. It reads one process group id per line from standard input, which its parent keeps
open. At the end of the input it sends SIGTERM to all groups, and SIGKILL after a grace period.

With a grace period and a command as arguments, it runs this command instead, in a process group
that it stops as a whole: the code server would leave its runs behind. As the first process of a
container it also reaps orphans.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

GRACE_S = 15.0
"""Dagster's daemon and code server need 1–5 s to exit on SIGTERM."""

FORGET_S = 30.0
"""Interval at which ended groups are dropped, since their ids may be reused."""

STDIN = 0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    if arguments := sys.argv[1:]:
        sys.exit(run(float(arguments[0]), arguments[1:]))
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    stop(read_groups(STDIN))


def read_groups(source: int, forget_s: float = FORGET_S) -> list[int]:
    """Return the groups written to a pipe until its end, without those that have ended.

    Lines are short and written at once, so they are also read at once.
    """
    groups: list[int] = []
    while True:
        readable, _, _ = select.select([source], [], [], forget_s)
        if not readable:
            groups = running_groups(groups)
        elif lines := os.read(source, 4096):
            groups += [int(line) for line in lines.split()]
        else:
            return groups


def stop(groups: list[int]) -> None:
    """Stop the groups; returns when no process of them is left."""
    for kind, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, kind)
        deadline = time.monotonic() + patience_s
        while (groups := running_groups(groups)) and time.monotonic() < deadline:
            time.sleep(0.05)


def running_groups(groups: list[int]) -> list[int]:
    """Return the groups in which a process still runs.

    Zombies still accept signals, and in many containers process 1 never reaps them, so on Linux
    they are recognised by their state.
    """
    processes = Path("/proc")
    if not (processes / "self").exists():
        return [group for group in groups if accepts_signals(group)]
    running = set()
    for entry in processes.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group …; the name may hold spaces and brackets
            state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
            if state not in "ZX":
                running.add(int(group))
    return [group for group in groups if group in running]


def accepts_signals(group: int) -> bool:
    """Return True if the group has a process that accepts signals."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def run(grace_s: float, command: Sequence[str]) -> int:
    """Run a command until it and its descendants have ended; return its exit code.

    SIGTERM, SIGINT and SIGHUP stop all of them, as does the end of the command itself. They are
    killed after the grace period.
    """
    adopt_orphans()
    process = subprocess.Popen(
        command,
        process_group=0,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - there is no other thread
    )
    group, exit_code = process.pid, 0

    def stop_group(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, grace_s)

    def kill_group(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill_group)
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, stop_group)
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            # Its default action ends a process, and Python restores that on exit.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            return exit_code
        if pid == group:
            code = os.waitstatus_to_exitcode(status)
            exit_code = code if code >= 0 else 128 - code
            stop_group()


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has ended, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Let signals end this process again, and SIGTERM it when its parent is killed.

    A script ignores SIGINT for commands that it starts in the background, and they inherit that.
    """
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
