"""Planned faults: armed by a file in the data folder, injected where a run reaches them."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from callpipeline.domain.calls.call import Stage
from callpipeline.errors import StoreUnavailable

ARRIVAL_S = 60.0
MOMENTS = ("before", "during", "after")
STAGE_POINTS = tuple(f"{stage}.{moment}" for stage in Stage for moment in MOMENTS)
CALL_POINTS = ("claim.after", "complete.before", "complete.after")
"""`during`: objects and rows are written, nothing is committed. `after`: committed, but not yet
reported to Dagster."""

Kind = Literal["kill", "refuse", "hang"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at a crash point, injected `times` times.

    `kill` waits until `together` calls of the process have reached their crash points, so that one
    SIGKILL tests them all; `refuse` raises a store's error, `hang` waits `wait_s` before that.
    """

    kind: Kind = "kill"
    times: int = 1
    together: int = 1
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StruckFault:
    """A fault that was injected into a call; `at` is in seconds since 1970."""

    point: str
    call_id: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of the installation in a data folder."""

    folder: Path

    def arm(self, point: str, call_id: str, fault: Fault | None = None) -> None:
        """Plan a fault for when a run reaches the point with a call."""
        (self.folder / "struck").mkdir(parents=True, exist_ok=True)
        (self.folder / "armed").mkdir(exist_ok=True)
        partial = self.folder / f"{point}@{call_id}"
        partial.write_text(json.dumps(asdict(fault or Fault())))
        partial.rename(self._armed(point, call_id))

    def reach(self, point: str, call_id: str) -> None:
        """Inject the fault that is planned for a call at a point, if any; runs call this."""
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

    def struck(self) -> list[StruckFault]:
        """Return the faults injected so far, oldest first."""
        files = [(path.name.split("@"), path.stat()) for path in (self.folder / "struck").iterdir()]
        struck = (StruckFault(n[0], n[1], int(n[2]), stat.st_mtime) for n, stat in files)
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
