"""Which days are counted anew, and by which runs."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.stale_days import (
    LONGEST_DAYS,
    LOOK_BACK,
    MOST_RUNS,
    StaleDay,
    Stretch,
    is_due,
    look_from,
    plan,
    stretches,
)

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
DATES = st.dates(date(2025, 12, 1), date(2026, 3, 12))


def changed(day: date, last_s: float, first_s: float | None = None) -> StaleDay:
    """A day whose calls changed so many seconds ago."""
    first = last_s if first_s is None else first_s
    return StaleDay(day, NOW - timedelta(seconds=first), NOW - timedelta(seconds=last_s))


# When


def test_a_day_is_due_a_minute_after_its_last_change() -> None:
    assert not is_due(changed(TODAY, last_s=59), NOW)
    assert is_due(changed(TODAY, last_s=60), NOW)


def test_a_change_on_a_busy_day_waits_a_quarter_of_an_hour_at_most() -> None:
    assert not is_due(changed(TODAY, last_s=1, first_s=899), NOW)
    assert is_due(changed(TODAY, last_s=1, first_s=900), NOW)


def test_a_day_that_has_not_come_yet_waits_until_it_does() -> None:
    """As where the time zone of a source is set wrong."""
    tomorrow = changed(TODAY + timedelta(days=1), last_s=3600)
    assert plan([tomorrow], NOW) == []
    assert plan([tomorrow], NOW + timedelta(hours=12)) == [Stretch(tomorrow.day, tomorrow.day)]
    assert look_from([tomorrow], NOW) < tomorrow.first_changed_at


# By which runs


def test_days_in_a_row_are_one_run() -> None:
    days = [TODAY - timedelta(days=n) for n in (0, 1, 2, 5)]
    asked = plan([changed(day, 100) for day in days], NOW)
    assert asked == [Stretch(days[2], days[0]), Stretch(days[3], days[3])]


def test_a_day_that_has_a_run_is_not_asked_for_again() -> None:
    days = [TODAY - timedelta(days=n) for n in range(3)]
    asked = plan([changed(day, 100) for day in days], NOW, {days[1]})
    assert asked == [Stretch(days[0], days[0]), Stretch(days[2], days[2])]


def test_of_many_days_the_newest_are_asked_for_first() -> None:
    days = [TODAY - timedelta(days=n) for n in range(200)]
    asked = plan([changed(day, 100) for day in days], NOW)
    assert len(asked) == MOST_RUNS
    assert asked == sorted(asked, reverse=True) and asked[0].last == TODAY


@given(st.sets(DATES))
def test_stretches_have_every_day_once_and_none_is_too_long(days: set[date]) -> None:
    found = stretches(days)
    assert [day for stretch in found for day in stretch.days] == sorted(days)
    assert all(len(stretch.days) <= LONGEST_DAYS for stretch in found)
    for before, after in pairwise(found):
        is_next = after.first - before.last == timedelta(days=1)
        assert not is_next or len(before.days) == LONGEST_DAYS


@given(
    st.dictionaries(DATES, st.tuples(st.integers(0, 2000), st.integers(0, 2000))), st.sets(DATES)
)
def test_in_time_every_day_that_has_come_is_asked_for(
    changes: dict[date, tuple[int, int]], busy: set[date]
) -> None:
    """As looks go on: what was asked for is made, and nothing new happens."""
    stale = [changed(day, min(ago), max(ago)) for day, ago in changes.items()]
    later, made = NOW + timedelta(minutes=1), list[date]()
    for _ in range(len(stale) + 1):
        made += [
            day
            for run in plan([s for s in stale if s.day not in made], later, busy)
            for day in run.days
        ]
    assert sorted(made) == sorted(day for day in set(changes) - busy if day <= TODAY)


# From where the next look goes on


def test_nothing_is_looked_at_twice_for_long_when_all_is_counted() -> None:
    assert look_from([], NOW) == NOW - LOOK_BACK


@given(st.lists(st.tuples(DATES, st.integers(0, 10**6))))
def test_what_is_not_counted_yet_is_found_by_the_next_look(changes: list[tuple[date, int]]) -> None:
    stale = [changed(day, ago) for day, ago in changes]
    assert all(each.first_changed_at > look_from(stale, NOW) for each in stale)
