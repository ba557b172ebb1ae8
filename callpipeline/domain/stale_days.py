"""Which days are to be counted anew: those whose calls have changed since, and now are at rest."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

REST = timedelta(minutes=1)
"""A day is left alone so long after each change: a busy one would be counted without end."""
PATIENCE = timedelta(minutes=15)
"""… but a change waits no longer than that."""
LOOK_BACK = timedelta(minutes=10)
"""A change is dated by the beginning of its transaction, and seen after its end."""
LONGEST_DAYS = 31
"""Of a run, which has all of their calls in memory."""
MOST_RUNS = 3


@dataclass(frozen=True, slots=True)
class StaleDay:
    """A day with the first and last change that its marts may not know of."""

    day: date
    first_changed_at: datetime
    last_changed_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Days in a row, for one run."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def is_due(stale: StaleDay, now: datetime) -> bool:
    """Whether the day is to be counted now. One that has not come yet waits until it does."""
    at_rest = now - stale.last_changed_at >= REST
    waited = now - stale.first_changed_at >= PATIENCE
    return stale.day <= now.date() and (at_rest or waited)


def plan(stale: Iterable[StaleDay], now: datetime, busy: Collection[date] = ()) -> list[Stretch]:
    """The runs to ask for, of the newest days first; `busy` days have a run already."""
    due = {each.day for each in stale if is_due(each, now)}
    return stretches(due - set(busy))[-MOST_RUNS:][::-1]


def stretches(days: Iterable[date]) -> list[Stretch]:
    """The days as stretches of days in a row, none of them too long for one run."""
    found: list[Stretch] = []
    for day in sorted(days):
        last = found[-1] if found else None
        if last and day - last.last == timedelta(days=1) and len(last.days) < LONGEST_DAYS:
            found[-1] = Stretch(last.first, day)
        else:
            found.append(Stretch(day, day))
    return found


def look_from(stale: Sequence[StaleDay], now: datetime) -> datetime:
    """The time from which the next look takes changes: nothing before is left to be counted."""
    return min([now - LOOK_BACK, *(each.first_changed_at - LOOK_BACK for each in stale)])
