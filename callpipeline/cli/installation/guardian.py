"""Stop process groups when the process that started them is gone, even by kill -9.

Run as a script. It reads one process group id per line from standard input, which its parent keeps
open. At the end of the input it sends SIGTERM to all groups, and SIGKILL after a grace period.
"""

import contextlib
import os
import select
import signal
import time
from pathlib import Path

GRACE_S = 15.0
"""Dagster's daemon and code server need 1–5 s to exit on SIGTERM."""

FORGET_S = 30.0
"""Interval at which ended groups are dropped, since their ids may be reused."""

STDIN = 0


def main() -> None:
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


if __name__ == "__main__":
    main()
