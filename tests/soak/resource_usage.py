"""Memory and CPU time of processes, including that of ended children."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of a process, and of its children that ended and were waited for."""

    own_s: float
    ended_children_s: float


def cpu_time(pid: int) -> CpuTime:
    """Return the CPU time of a process; 0 if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return CpuTime(0.0, 0.0)
    user, system, children_user, children_system = map(int, stat[11:15])
    return CpuTime((user + system) * TICK_S, (children_user + children_system) * TICK_S)


def children(pid: int) -> list[int]:
    """Return the children of a process, of all its threads."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, thread.read_text().split())
    return found


def cpu_of_children_s(pid: int) -> float:
    """Return the CPU seconds of all children of a process, running and ended, with their own."""
    running = (cpu_time(child) for child in children(pid))
    return cpu_time(pid).ended_children_s + sum(c.own_s + c.ended_children_s for c in running)


def resident_mb(pid: int, peak: bool = False) -> float:
    """Return the current or peak memory of a process in megabytes; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


class PeakMemory:
    """Peak memory of the largest process of each role, in megabytes."""

    def __init__(self) -> None:
        self.mb: dict[str, float] = {}

    def update(self, role: str, pids: Iterable[int]) -> None:
        for pid in pids:
            self.mb[role] = max(self.mb.get(role, 0.0), resident_mb(pid, peak=True))
