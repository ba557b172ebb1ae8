"""Watching processes from outside: whether they live, who they are, and until when."""

import time
from collections.abc import Callable
from pathlib import Path


def until(
    holds: Callable[[], bool], what: str, within_s: float = 10.0, *, every_s: float = 0.02
) -> None:
    """Poll until something holds; fails saying what never came true."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"after {within_s} s still not: {what}"
        time.sleep(every_s)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which only waits to be buried, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
