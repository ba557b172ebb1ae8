"""Scheduling of mart refreshes: due days, runs and scans."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.time_buckets import (
    LOOKBACK,
    MAX_RANGE_DAYS,
    MAX_RUNS,
    DayRange,
    StaleDay,
    day_ranges,
    is_due,
    next_scan_start,
    plan_refreshes,
)

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
DATES = st.dates(date(2025, 12, 1), date(2026, 3, 12))


def changed(day: date, last_s: float, first_s: float | None = None) -> StaleDay:
    """Build a day whose calls changed this many seconds ago."""
    first = last_s if first_s is None else first_s
    return StaleDay(day, NOW - timedelta(seconds=first), NOW - timedelta(seconds=last_s))


# Due days


def test_a_day_is_due_a_minute_after_its_last_change() -> None:
    assert not is_due(changed(TODAY, last_s=59), NOW)
    assert is_due(changed(TODAY, last_s=60), NOW)


def test_a_change_on_a_busy_day_waits_a_quarter_of_an_hour_at_most() -> None:
    assert not is_due(changed(TODAY, last_s=1, first_s=899), NOW)
    assert is_due(changed(TODAY, last_s=1, first_s=900), NOW)


def test_a_future_day_waits() -> None:
    """A source with a wrong time zone produces future days."""
    tomorrow = changed(TODAY + timedelta(days=1), last_s=3600)
    assert plan_refreshes([tomorrow], NOW) == []
    assert plan_refreshes([tomorrow], NOW + timedelta(hours=12)) == [
        DayRange(tomorrow.day, tomorrow.day)
    ]
    assert next_scan_start([tomorrow], NOW) < tomorrow.first_changed_at


# Runs


def test_consecutive_days_are_one_run() -> None:
    days = [TODAY - timedelta(days=n) for n in (0, 1, 2, 5)]
    asked = plan_refreshes([changed(day, 100) for day in days], NOW)
    assert asked == [DayRange(days[2], days[0]), DayRange(days[3], days[3])]


def test_a_day_with_a_run_is_not_requested_again() -> None:
    days = [TODAY - timedelta(days=n) for n in range(3)]
    asked = plan_refreshes([changed(day, 100) for day in days], NOW, {days[1]})
    assert asked == [DayRange(days[0], days[0]), DayRange(days[2], days[2])]


def test_the_newest_days_are_requested_first() -> None:
    days = [TODAY - timedelta(days=n) for n in range(200)]
    asked = plan_refreshes([changed(day, 100) for day in days], NOW)
    assert len(asked) == MAX_RUNS
    assert asked == sorted(asked, reverse=True) and asked[0].last == TODAY


@given(st.sets(DATES))
def test_ranges_contain_each_day_once_and_are_limited(days: set[date]) -> None:
    found = day_ranges(days)
    assert [day for stretch in found for day in stretch.days] == sorted(days)
    assert all(len(stretch.days) <= MAX_RANGE_DAYS for stretch in found)
    for before, after in pairwise(found):
        is_next = after.first - before.last == timedelta(days=1)
        assert not is_next or len(before.days) == MAX_RANGE_DAYS


@given(
    st.dictionaries(DATES, st.tuples(st.integers(0, 2000), st.integers(0, 2000))), st.sets(DATES)
)
def test_all_past_days_are_eventually_requested(
    changes: dict[date, tuple[int, int]], busy: set[date]
) -> None:
    """Scans go on, requested runs finish, and no new changes arrive."""
    stale = [changed(day, min(ago), max(ago)) for day, ago in changes.items()]
    later, made = NOW + timedelta(minutes=1), list[date]()
    for _ in range(len(stale) + 1):
        made += [
            day
            for run in plan_refreshes([s for s in stale if s.day not in made], later, busy)
            for day in run.days
        ]
    assert sorted(made) == sorted(day for day in set(changes) - busy if day <= TODAY)


# Start of the next scan


def test_the_next_scan_overlaps_only_slightly_when_nothing_is_stale() -> None:
    assert next_scan_start([], NOW) == NOW - LOOKBACK


@given(st.lists(st.tuples(DATES, st.integers(0, 10**6))))
def test_the_next_scan_finds_all_pending_changes(changes: list[tuple[date, int]]) -> None:
    stale = [changed(day, ago) for day, ago in changes]
    assert all(each.first_changed_at > next_scan_start(stale, NOW) for each in stale)
