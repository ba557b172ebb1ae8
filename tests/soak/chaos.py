"""Random disruptions of an installation, and the time that it takes to recover from each."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from statistics import median

from callpipeline.domain.calls.call import CallState
from tests.soak.installation import Installation

BETWEEN_S = (15.0, 45.0)
STOPPED_S = (20.0, 120.0)
BACK_AFTER_S = 2.0


@dataclass
class Disruption:
    """A fault, and the calls that were being processed when it occurred."""

    kind: str
    at: float
    open_calls: set[str]
    recovered_s: float | None = None


@dataclass
class ChaosMonkey:
    """Causes disruptions at random times and restores the killed or stopped processes."""

    installation: Installation
    random: Random
    disruptions: list[Disruption] = field(default_factory=list)
    _next: float = field(default_factory=lambda: time.monotonic() + BETWEEN_S[1])
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def act(self) -> None:
        """Run the restorations that are due, and cause the next disruption if it is time."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
        if now >= self._next:
            self._disrupt()
            self._next = time.monotonic() + self.random.uniform(*BETWEEN_S)

    def stop(self) -> None:
        """Cause no more disruptions; restore everything."""
        self._next = float("inf")
        while self._later:
            self.act()
            time.sleep(0.5)

    def watch(self) -> None:
        """Record the recovery of each disruption whose calls have all reached a final state."""
        waiting = [each for each in self.disruptions if each.recovered_s is None]
        if not waiting:
            return
        call_ids = set[str]().union(*(each.open_calls for each in waiting))
        calls = self.installation.storage.ledger.calls(call_ids=call_ids)
        ended = {call.call_id for call in calls if call.state.is_final}
        for each in waiting:
            if each.open_calls <= ended:
                each.recovered_s = time.monotonic() - each.at

    def _disrupt(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "SIGKILL run": self._kill_run,
            "SIGSTOP run": self._stop_run,
            "SIGKILL code server": lambda: self._kill("code-server"),
            "SIGKILL daemon": lambda: self._kill("daemon"),
            "SIGKILL Postgres": self.installation.kill_postgres,
        }
        kind = self.random.choice(list(kinds))
        claimed = self.installation.storage.ledger.calls(states=[CallState.PROCESSING])
        open_calls = {call.call_id for call in claimed}
        self.disruptions.append(Disruption(kind, time.monotonic(), open_calls))
        kinds[kind]()

    def _pid_of_a_busy_run(self) -> int | None:
        claimed = self.installation.storage.ledger.calls(states=[CallState.PROCESSING])
        runs = sorted({call.claimed_by for call in claimed if call.claimed_by})
        return self.installation.pid_of_run(self.random.choice(runs)) if runs else None

    def _kill_run(self) -> None:
        if pid := self._pid_of_a_busy_run():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _stop_run(self) -> None:
        pid = self._pid_of_a_busy_run()
        if pid is None:
            return

        def resume() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self._later.append((time.monotonic() + self.random.uniform(*STOPPED_S), resume))

    def _kill(self, name: str) -> None:
        start = {
            "code-server": self.installation.start_code_server,
            "daemon": self.installation.start_daemon,
        }[name]
        self.installation.kill(name)
        self._later.append((time.monotonic() + BACK_AFTER_S, start))


def summary_lines(disruptions: list[Disruption]) -> list[str]:
    """Return for each kind its count and the median and longest recovery."""
    lines: list[str] = []
    for kind, count in sorted(Counter(each.kind for each in disruptions).items()):
        times_s = [
            each.recovered_s
            for each in disruptions
            if each.kind == kind and each.open_calls and each.recovered_s
        ]
        line = f"{kind:20}{count:4} times, {len(times_s)} with calls in progress"
        if times_s:
            line += f", which ended {median(times_s):.0f} s later, at most {max(times_s):.0f} s"
        lines.append(line)
    return lines
