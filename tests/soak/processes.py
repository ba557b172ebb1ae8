"""What processes cost: their memory, and their processor time with that of their dead children."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of a process, and of its children that have ended and were waited for."""

    own_s: float
    ended_children_s: float


def cpu(pid: int) -> Cpu:
    """The time that a process took so far; nothing for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Cpu(0.0, 0.0)
    user, system, children_user, children_system = map(int, stat[11:15])
    return Cpu((user + system) * TICK_S, (children_user + children_system) * TICK_S)


def children(pid: int) -> list[int]:
    """The children of a process, whichever of its threads started them."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, thread.read_text().split())
    return found


def cpu_of_children(pid: int) -> float:
    """Seconds of all children of a process, ended ones and those at work, with their own."""
    at_work = (cpu(child) for child in children(pid))
    return cpu(pid).ended_children_s + sum(c.own_s + c.ended_children_s for c in at_work)


def resident_mb(pid: int, peak: bool = False) -> float:
    """Memory that a process holds, or held at most, in megabytes; 0 for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


class Peaks:
    """The most memory that the processes of each role held, by looking again and again."""

    def __init__(self) -> None:
        self.mb: dict[str, float] = {}

    def look(self, role: str, pids: Iterable[int]) -> None:
        """Processes of a role, of which the largest counts."""
        for pid in pids:
            self.mb[role] = max(self.mb.get(role, 0.0), resident_mb(pid, peak=True))
