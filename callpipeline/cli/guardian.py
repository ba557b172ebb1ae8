"""Ends process groups when the process that started them is gone, be it by kill -9.

Run as a script: reads one process group id a line from standard input, which its parent holds
open. At the end of the input it stops all groups: SIGTERM, and SIGKILL after a grace period.
"""

import os
import signal
import sys
import time

GRACE_S = 15.0
"""Dagster's daemon and code server need 1–5 s to leave on SIGTERM."""


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups = [int(line) for line in sys.stdin]
    stop(groups)


def stop(groups: list[int]) -> None:
    """Returns when no process of the groups is left."""
    for kind, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        groups = [group for group in groups if send(group, kind)]
        deadline = time.monotonic() + patience_s
        while groups and time.monotonic() < deadline:
            time.sleep(0.05)
            groups = [group for group in groups if send(group, 0)]


def send(group: int, kind: int) -> bool:
    """Signal a group; False when nobody is in it any more."""
    try:
        os.killpg(group, kind)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
