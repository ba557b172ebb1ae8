"""Date ranges: buckets of charts, and the days whose daily marts are stale."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

MAX_DAYS_BY_DAY = 62
MAX_DAYS_BY_WEEK = 430
"""Longest ranges in days: two months are charted by day, fourteen months by week."""


class BucketSize(StrEnum):
    """Length of a bucket; weeks start on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def days(self) -> int:
        """Return the length in days; 0 for months, which vary."""
        return {BucketSize.DAY: 1, BucketSize.WEEK: 7, BucketSize.MONTH: 0}[self]


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """A bucket clipped to `first`..`last` (inclusive); `since` is its calendar start."""

    since: date
    first: date
    last: date


def bucket_size_for(first: date, last: date) -> BucketSize:
    """Return the size that gives at most 62 buckets; months may give more."""
    days = (last - first).days + 1
    if days <= MAX_DAYS_BY_DAY:
        return BucketSize.DAY
    return BucketSize.WEEK if days <= MAX_DAYS_BY_WEEK else BucketSize.MONTH


def bucket_start(first: date, size: BucketSize) -> date:
    """Return the first day of the bucket that contains the day."""
    if size is BucketSize.MONTH:
        return first.replace(day=1)
    return first - timedelta(days=first.weekday()) if size is BucketSize.WEEK else first


def time_buckets(first: date, last: date, size: BucketSize) -> Iterator[TimeBucket]:
    """Yield all buckets from that of `first` to that of `last`, including empty ones."""
    since = bucket_start(first, size)
    while since <= last:
        following = _following(since, size)
        yield TimeBucket(since, max(since, first), min(following - timedelta(days=1), last))
        since = following


def _following(since: date, size: BucketSize) -> date:
    if size is not BucketSize.MONTH:
        return since + timedelta(days=size.days)
    return (since.replace(day=1) + timedelta(days=32)).replace(day=1)


SETTLE_TIME = timedelta(minutes=1)
"""Wait this long after the last change, so that a busy day isn't refreshed over and over."""
MAX_WAIT = timedelta(minutes=15)
"""Refresh after this long even if changes keep coming."""
LOOKBACK = timedelta(minutes=10)
"""Overlap of scans: a change is dated by the start of its transaction but visible at its end."""
MAX_RANGE_DAYS = 31
"""Limit per run, which holds all calls of its days in memory."""
MAX_RUNS = 3


@dataclass(frozen=True, slots=True)
class StaleDay:
    """A day with the first and last change that its marts may lack."""

    day: date
    first_changed_at: datetime
    last_changed_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class DayRange:
    """Consecutive days that one run refreshes; `first` and `last` are inclusive."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def is_due(stale: StaleDay, now: datetime) -> bool:
    """Return true if the day should be refreshed now; future days of the zone of `now` wait."""
    settled = now - stale.last_changed_at >= SETTLE_TIME
    waited = now - stale.first_changed_at >= MAX_WAIT
    return stale.day <= now.date() and (settled or waited)


def plan_refreshes(
    stale: Iterable[StaleDay], now: datetime, busy: Collection[date] = ()
) -> list[DayRange]:
    """Return the ranges to refresh, newest first; `busy` days have a run already."""
    due = {each.day for each in stale if is_due(each, now)}
    return day_ranges(due - set(busy))[-MAX_RUNS:][::-1]


def day_ranges(days: Iterable[date]) -> list[DayRange]:
    """Group the days into ranges, each short enough for one run."""
    ranges: list[DayRange] = []
    for day in sorted(days):
        last = ranges[-1] if ranges else None
        if last and day - last.last == timedelta(days=1) and len(last.days) < MAX_RANGE_DAYS:
            ranges[-1] = DayRange(last.first, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def next_scan_start(stale: Sequence[StaleDay], now: datetime) -> datetime:
    """Return the time from which the next scan reads changes; all earlier ones are done."""
    return min([now - LOOKBACK, *(each.first_changed_at - LOOKBACK for each in stale)])
