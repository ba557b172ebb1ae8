"""Ends process groups when the process that started them is gone, be it by kill -9.

Run as a script: reads one process group id a line from standard input, which its parent holds
open. At the end of the input it stops all groups: SIGTERM, and SIGKILL after a grace period.
"""

import contextlib
import os
import select
import signal
import time
from pathlib import Path

GRACE_S = 15.0
"""Dagster's daemon and code server need 1–5 s to leave on SIGTERM."""

FORGET_S = 30.0
"""How often groups are forgotten that have ended: their ids may become those of strangers."""

STDIN = 0


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    stop(collected(STDIN))


def collected(source: int, forget_s: float = FORGET_S) -> list[int]:
    """The groups told on a pipe until its end, without those that have ended meanwhile.

    A line is written in one piece and is short, so it is also read in one piece.
    """
    groups: list[int] = []
    while True:
        told, _, _ = select.select([source], [], [], forget_s)
        if not told:
            groups = alive(groups)
        elif lines := os.read(source, 4096):
            groups += [int(line) for line in lines.split()]
        else:
            return groups


def stop(groups: list[int]) -> None:
    """Returns when no process of the groups is left."""
    for kind, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, kind)
        deadline = time.monotonic() + patience_s
        while (groups := alive(groups)) and time.monotonic() < deadline:
            time.sleep(0.05)


def alive(groups: list[int]) -> list[int]:
    """The groups in which a process still runs.

    The dead ones of a killed parent may stay zombies for ever where process 1 buries nobody, as
    in many containers, and a signal still reaches them: on Linux they are told apart.
    """
    processes = Path("/proc")
    if not (processes / "self").exists():
        return [group for group in groups if signalled(group)]
    running = set()
    for entry in processes.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group …; the name may hold spaces and brackets
            state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
            if state not in "ZX":
                running.add(int(group))
    return [group for group in groups if group in running]


def signalled(group: int) -> bool:
    """Whether anybody is in the group to get a signal."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
