"""Rates per 100 completed calls, their intervals, and whether a change is more than noise."""

from dataclasses import dataclass
from math import hypot, sqrt

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
        """Return the 95 % interval of `per_100`; None without calls."""
        if not self.of:
            return None
        low, high = _score_interval(self.events, _dispersion(self.events, self.calls))
        return 100 * low / self.of, 100 * high / self.of


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
        """Return true if chance alone would seldom (1 in 20) make a change as large.

        The interval of the difference is put together from those of both rates, which exist without
        events too (MOVER: Zou and Donner, Statistics in Medicine 27, 2008). Both have the same
        dispersion, so a period without events is judged by what the other one is like.
        """
        now, before = self.now, self.before
        if not (now.of and before.of):
            return False
        dispersion = _dispersion(now.events + before.events, now.calls + before.calls)
        rate_now, rate_before = now.events / now.of, before.events / before.of
        low_now, high_now = (end / now.of for end in _score_interval(now.events, dispersion))
        low_before, high_before = (
            end / before.of for end in _score_interval(before.events, dispersion)
        )
        gain_error = hypot(rate_now - low_now, high_before - rate_before)
        loss_error = hypot(high_now - rate_now, rate_before - low_before)
        return not -loss_error <= rate_now - rate_before <= gain_error


def _dispersion(events: int, calls: int) -> float:
    """Return the variance of a number of events in parts of its mean.

    Events come in calls, several in some: the calls that have any are a Poisson number, the events
    of each geometric. Events that come alone have the variance of a Poisson number, 1.
    """
    return 2 * events / calls - 1 if calls else 1.0


def _score_interval(events: int, dispersion: float) -> tuple[float, float]:
    """Return the 95 % score interval of the expected number of events; 0 events have one too."""
    half = Z_95**2 * dispersion / 2
    spread = Z_95 * sqrt(dispersion * events + half * dispersion / 2)
    return max(events + half - spread, 0.0), events + half + spread
