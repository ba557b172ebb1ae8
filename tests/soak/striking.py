"""Faults that strike an installation at random, and how long it takes to get over each."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

from callpipeline.domain.call import CallState
from tests.soak.installation import Installation

BETWEEN_S = (15.0, 45.0)
STOPPED_S = (20.0, 120.0)
BACK_AFTER_S = 2.0


@dataclass
class Strike:
    """A fault, and the calls that were under way when it struck."""

    kind: str
    at: float
    open_calls: set[str]
    recovered_s: float | None = None


@dataclass
class Striker:
    """Strikes when it is time, and puts back what it took away."""

    installation: Installation
    chance: random.Random
    strikes: list[Strike] = field(default_factory=list)
    _next: float = field(default_factory=lambda: time.monotonic() + BETWEEN_S[1])
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def act(self) -> None:
        """Do what is due: put back, and strike."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
        if now >= self._next:
            self._strike()
            self._next = time.monotonic() + self.chance.uniform(*BETWEEN_S)

    def stop(self) -> None:
        """No more faults; everything is put back."""
        self._next = float("inf")
        while self._later:
            self.act()
            time.sleep(0.5)

    def watch(self) -> None:
        """Note which strikes are over: all calls that were under way have ended."""
        waiting = [strike for strike in self.strikes if strike.recovered_s is None]
        if not waiting:
            return
        call_ids = set[str]().union(*(strike.open_calls for strike in waiting))
        calls = self.installation.storage.ledger.calls(call_ids=call_ids)
        ended = {call.call_id for call in calls if call.state.is_final}
        for strike in waiting:
            if strike.open_calls <= ended:
                strike.recovered_s = time.monotonic() - strike.at

    def _strike(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "SIGKILL run": self._kill_run,
            "SIGSTOP run": self._stop_run,
            "SIGKILL code server": lambda: self._kill("code-server"),
            "SIGKILL daemon": lambda: self._kill("daemon"),
            "SIGKILL Postgres": self.installation.kill_postgres,
        }
        kind = self.chance.choice(list(kinds))
        held = self.installation.storage.ledger.calls(states=[CallState.PROCESSING])
        open_calls = {call.call_id for call in held}
        self.strikes.append(Strike(kind, time.monotonic(), open_calls))
        kinds[kind]()

    def _run_at_work(self) -> int | None:
        held = self.installation.storage.ledger.calls(states=[CallState.PROCESSING])
        runs = sorted({call.claimed_by for call in held if call.claimed_by})
        return self.installation.pid_of_run(self.chance.choice(runs)) if runs else None

    def _kill_run(self) -> None:
        if pid := self._run_at_work():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _stop_run(self) -> None:
        pid = self._run_at_work()
        if pid is None:
            return

        def go_on() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self._later.append((time.monotonic() + self.chance.uniform(*STOPPED_S), go_on))

    def _kill(self, name: str) -> None:
        start = {
            "code-server": self.installation.start_code_server,
            "daemon": self.installation.start_daemon,
        }[name]
        self.installation.kill(name)
        self._later.append((time.monotonic() + BACK_AFTER_S, start))


def told(strikes: list[Strike]) -> list[str]:
    """For each kind of fault how often it struck, and the median and longest recovery."""
    lines: list[str] = []
    for kind, count in sorted(Counter(strike.kind for strike in strikes).items()):
        met = [s.recovered_s for s in strikes if s.kind == kind and s.open_calls and s.recovered_s]
        line = f"{kind:20}{count:4} times, {len(met)} with calls under way"
        if met:
            line += f", which ended {median(met):.0f} s later, at most {max(met):.0f} s"
        lines.append(line)
    return lines
