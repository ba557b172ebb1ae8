"""Stretches of time for charts: as many as fit on a page, whose first and last may be cut short."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

LONGEST_BY_DAY = 62
LONGEST_BY_WEEK = 430
"""Days: two months are shown day by day, a year and two months by weeks."""


class Step(StrEnum):
    """How long a stretch is; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def days(self) -> int:
        """0 for months, which differ."""
        return {Step.DAY: 1, Step.WEEK: 7, Step.MONTH: 0}[self]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days in a row, both inclusive; `since` names it, also where its first days are cut off."""

    since: date
    first: date
    last: date


def step_for(first: date, last: date) -> Step:
    """Such that there are 62 stretches at most, but for years of months."""
    days = (last - first).days + 1
    if days <= LONGEST_BY_DAY:
        return Step.DAY
    return Step.WEEK if days <= LONGEST_BY_WEEK else Step.MONTH


def origin(first: date, step: Step) -> date:
    """The beginning of the stretch that the day is in."""
    if step is Step.MONTH:
        return first.replace(day=1)
    return first - timedelta(days=first.weekday()) if step is Step.WEEK else first


def stretches(first: date, last: date, step: Step) -> Iterator[Stretch]:
    """All from the one with `first` to the one with `last`, also those in which nothing is."""
    since = origin(first, step)
    while since <= last:
        following = _following(since, step)
        yield Stretch(since, max(since, first), min(following - timedelta(days=1), last))
        since = following


def _following(since: date, step: Step) -> date:
    if step is not Step.MONTH:
        return since + timedelta(days=step.days)
    return (since.replace(day=1) + timedelta(days=32)).replace(day=1)
