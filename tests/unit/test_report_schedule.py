"""When weekly reports are due: once a week, at an hour of the time zone, also if clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.calls.saved_views import ReportSchedule, reported_days

AUCKLAND, BERLIN = ZoneInfo("Pacific/Auckland"), ZoneInfo("Europe/Berlin")
MONDAY_8 = ReportSchedule(1, time(8))


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 3, 29, 18, 59, tzinfo=UTC), date(2026, 3, 23)),
        (datetime(2026, 3, 29, 19, 0, tzinfo=UTC), date(2026, 3, 30)),
        # Clocks in Auckland went back on 5 April.
        (datetime(2026, 4, 5, 19, 59, tzinfo=UTC), date(2026, 3, 30)),
        (datetime(2026, 4, 5, 20, 0, tzinfo=UTC), date(2026, 4, 6)),
    ],
)
def test_a_report_is_due_at_the_hour_of_the_zone(now: datetime, due: date) -> None:
    assert MONDAY_8.due_day(now, AUCKLAND) == due


def test_an_hour_that_clocks_leave_out_is_due_at_the_next() -> None:
    sunday = ReportSchedule(7, time(2, 30))
    day = date(2026, 3, 29)  # 2 AM to 3 AM do not exist in Berlin
    assert sunday.due_day(datetime(2026, 3, 29, 0, 59, tzinfo=UTC), BERLIN) == day - timedelta(7)
    assert sunday.due_day(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), BERLIN) == day


def test_a_schedule_that_was_just_made_waits_for_its_hour() -> None:
    made = datetime(2026, 3, 31, 12, tzinfo=BERLIN)  # a Tuesday
    schedule = ReportSchedule(1, time(8), set_at=made)
    assert schedule.due_day(made, BERLIN) is None
    assert schedule.due_day(datetime(2026, 4, 6, 7, 59, tzinfo=BERLIN), BERLIN) is None
    assert schedule.due_day(datetime(2026, 4, 6, 8, tzinfo=BERLIN), BERLIN) == date(2026, 4, 6)


@given(
    weekday=st.integers(1, 7),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(["UTC", "Pacific/Auckland", "America/Havana", "Atlantic/Azores"]),
    start_h=st.floats(0, 8000),
    waits_h=st.lists(st.floats(0.1, 90), min_size=30, max_size=60),
)
def test_each_week_is_reported_once_however_often_it_is_checked(
    weekday: int, at: time, zone: str, start_h: float, waits_h: list[float]
) -> None:
    """A check that comes late, after a restart, reports the week that was missed."""
    now, known, sent = (
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=start_h),
        None,
        list[date](),
    )
    for wait_h in waits_h:
        now += timedelta(hours=wait_h)
        day = ReportSchedule(weekday, at, reported_on=known).due_day(now, ZoneInfo(zone))
        if day:
            assert day.isoweekday() == weekday
            assert datetime.combine(day, at) <= now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            sent.append(day)
            known = day
    gaps = {(later - earlier).days for earlier, later in pairwise(sent)}
    assert gaps <= {7}


def test_a_report_is_about_the_seven_days_before() -> None:
    assert reported_days(date(2026, 4, 6)) == (date(2026, 3, 30), date(2026, 4, 5))
