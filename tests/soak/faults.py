"""Faults that are planned: armed by a file in the data folder, struck where a run reaches them."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from callpipeline.domain.call import Stage
from callpipeline.errors import StoreUnavailable

ARRIVAL_S = 20.0
MOMENTS = ("before", "during", "after")
STAGE_POINTS = tuple(f"{stage}.{moment}" for stage in Stage for moment in MOMENTS)
CALL_POINTS = ("claim.after", "complete.before", "complete.after")
"""`during`: objects are put, rows are written, nothing is committed. `after`: committed, and
Dagster has not been told."""

Kind = Literal["kill", "refuse", "hang"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a crash point, and to how many that arrive there.

    `kill` waits until `together` calls of the process stand at crash points of theirs, so that one
    SIGKILL tries them all; `refuse` raises what a store does, `hang` waits `wait_s` before it does.
    """

    kind: Kind = "kill"
    times: int = 1
    together: int = 1
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened to a call in a process, at seconds since 1970."""

    point: str
    call_id: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of the installation on a data folder."""

    folder: Path

    def arm(self, point: str, call_id: str, fault: Fault | None = None) -> None:
        """Let a call meet a fault when a run reaches the point with it."""
        (self.folder / "struck").mkdir(parents=True, exist_ok=True)
        (self.folder / "armed").mkdir(exist_ok=True)
        partial = self.folder / f"{point}@{call_id}"
        partial.write_text(json.dumps(asdict(fault or Fault())))
        partial.rename(self._armed(point, call_id))

    def reach(self, point: str, call_id: str) -> None:
        """Called by a run at a point: does what was planned there, if anything was."""
        armed = self._armed(point, call_id)
        struck = self.folder / "struck" / f"{point}@{call_id}@{os.getpid()}@{time.monotonic_ns()}"
        try:
            armed.rename(struck)
        except FileNotFoundError:
            return
        os.utime(struck)
        fault = Fault(**json.loads(struck.read_text()))
        if fault.times > 1:
            self.arm(point, call_id, replace(fault, times=fault.times - 1))
        self._strike(fault)

    def struck(self) -> list[Struck]:
        """What happened so far, in order."""
        found = [(path.name.split("@"), path.stat()) for path in (self.folder / "struck").iterdir()]
        struck = (Struck(n[0], n[1], int(n[2]), about.st_mtime) for n, about in found)
        return sorted(struck, key=lambda each: each.at)

    def _armed(self, point: str, call_id: str) -> Path:
        return self.folder / "armed" / f"{point}@{call_id}"

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "kill":
            self._wait_for_others(fault.together)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(fault.wait_s)
        raise StoreUnavailable("The store did not answer (planned).")

    def _wait_for_others(self, together: int) -> None:
        deadline = time.monotonic() + ARRIVAL_S
        mine = f"*@{os.getpid()}@*"
        while sum(1 for _ in (self.folder / "struck").glob(mine)) < together:
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
