"""Helpers that wait for conditions and inspect processes."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 3
"""Waits are this many times as long as on an idle machine: two cores run three tests at once."""


def until(
    condition: Callable[[], bool],
    description: str,
    within_s: float = 10.0,
    *,
    every_s: float = 0.02,
) -> None:
    """Poll until a condition is true; fail with its description after a timeout."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {description}"
        time.sleep(every_s)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie doesn't."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
