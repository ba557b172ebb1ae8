"""Services that die are started again, later each time; one that dies too often ends it all."""

import signal
import time
from collections.abc import Callable
from datetime import datetime

from callpipeline.cli.services import Services
from callpipeline.errors import EngineUnavailable

WAITS_S = (0.0, 1.0, 2.0, 5.0)
"""Before the first, second, … start of a service that died; the next death is one too many."""
WITHIN_S = 600.0
"""Deaths that are longer ago do not count."""


class Supervisor:
    """Keeps services running. Their ports and logs stay the same.

    Runs under way survive the code server that started them and go on by themselves; where they
    died with it, the sensor `lost_runs` finds out by their silence.
    """

    def __init__(
        self,
        services: Services,
        tell: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._tell = tell
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._due: dict[str, float] = {}

    def look(self) -> None:
        """Start again what died and is due. Raises EngineUnavailable for what dies all the time."""
        for name, exit_code in self._services.dead().items():
            if name not in self._due:
                self._due[name] = self._clock() + self._wait_after_death(name, exit_code)
            if self._clock() >= self._due[name]:
                del self._due[name]
                self._services.start_again(name)
                self._say(f"{name} was started again; logs are in {self._services.log(name)}.")

    def _wait_after_death(self, name: str, exit_code: int) -> float:
        now = self._clock()
        recent = [died for died in self._deaths.get(name, []) if now - died < WITHIN_S]
        self._deaths[name] = [*recent, now]
        if len(recent) >= len(WAITS_S):
            raise EngineUnavailable(
                f"{name} died {len(recent) + 1} times within {WITHIN_S / 60:.0f} minutes "
                f"({_how(exit_code)}):\n{self._services.last_words(name)}"
            )
        wait_s = WAITS_S[len(recent)]
        when = f"in {wait_s:.0f} s" if wait_s else "at once"
        self._say(f"{name} died ({_how(exit_code)}); it is started again {when}.")
        return wait_s

    def _say(self, sentence: str) -> None:
        self._tell(f"{datetime.now().astimezone():%H:%M:%S} {sentence}")


def _how(exit_code: int) -> str:
    """An exit code as a person says it."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
