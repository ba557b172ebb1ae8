"""Helpers that wait for conditions and inspect processes."""

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 5
MIN_PATIENCE_S = 60.0
"""Waits are longer than on an idle machine: two cores run three tests, and may stall."""

SERVER_PORTS = range(11_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, which would take one before its use,
and above those that browsers refuse."""


def until(
    condition: Callable[[], bool],
    description: str,
    within_s: float = 10.0,
    *,
    every_s: float = 0.02,
) -> None:
    """Poll until a condition is true; fail with its description after a timeout."""
    patience_s = max(within_s * PATIENCE, MIN_PATIENCE_S)
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {description}"
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
    """Return a random port on which nothing listens; the caller binds it later."""
    for port in random.SystemRandom().sample(SERVER_PORTS, 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
