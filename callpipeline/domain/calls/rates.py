"""Rates per 100 completed calls, their intervals, and whether a change is more than noise."""

from dataclasses import dataclass
from math import exp, log, sqrt

Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Rate:
    """Events in `of` completed calls; `calls` have at least one."""

    events: int
    calls: int
    of: int

    @property
    def per_100(self) -> float | None:
        """Return the events per 100 calls; None without calls."""
        return 100 * self.events / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of `per_100`; None if there is nothing to estimate from."""
        if self.per_100 is None or not self.events:
            return None
        factor = exp(Z_95 * self.relative_error)
        return self.per_100 / factor, self.per_100 * factor

    @property
    def relative_error(self) -> float:
        """Return the standard error of the rate's logarithm.

        Events come in calls, several in some: the calls that have any are a Poisson number, the
        events of each geometric. Events that come alone have the error of a Poisson count.
        """
        each = self.events / self.calls
        return sqrt((2 - 1 / each) / self.calls)


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate compared with the one of an earlier period."""

    now: Rate
    before: Rate

    @property
    def is_new(self) -> bool:
        """Return true if there are events now and there were none before, in any completed call."""
        return bool(self.now.events and self.before.of and not self.before.events)

    @property
    def relative(self) -> float | None:
        """Return the relative change, 0.5 for +50 %; None if a period has no calls or no events."""
        now, before = self.now.per_100, self.before.per_100
        return now / before - 1 if now is not None and before else None

    @property
    def is_clear(self) -> bool:
        """Return true if chance alone would seldom (1 in 20) make a change as large."""
        now, before = self.now, self.before
        if not (now.events and before.events and now.of and before.of):
            return False
        difference = log(now.events / now.of) - log(before.events / before.of)
        error = sqrt(now.relative_error**2 + before.relative_error**2)
        return abs(difference) > Z_95 * error
