"""Time buckets of charts."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.time_buckets import BucketSize, bucket_size_for, time_buckets

DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(DAYS, st.integers(0, 1500), st.sampled_from(BucketSize))
def test_each_day_is_in_one_bucket(first: date, days: int, step: BucketSize):
    last = first + timedelta(days=days)
    found = list(time_buckets(first, last, step))
    assert (found[0].first, found[-1].last) == (first, last)
    assert all(a.last + timedelta(days=1) == b.first for a, b in pairwise(found))
    assert all(each.since <= each.first <= each.last for each in found)


@given(DAYS, st.integers(0, 430))
def test_no_more_than_62_fit_on_a_chart(first: date, days: int):
    last = first + timedelta(days=days)
    assert len(list(time_buckets(first, last, bucket_size_for(first, last)))) <= 63


@pytest.mark.parametrize(("days", "step"), [(1, "day"), (62, "day"), (63, "week"), (500, "month")])
def test_longer_ranges_have_larger_buckets(days: int, step: str):
    first = date(2026, 3, 4)
    assert bucket_size_for(first, first + timedelta(days=days - 1)) == step


def test_weeks_start_on_monday_and_months_on_the_first():
    weeks = list(time_buckets(date(2026, 3, 4), date(2026, 3, 10), BucketSize.WEEK))
    assert [each.since for each in weeks] == [date(2026, 3, 2), date(2026, 3, 9)]
    months = list(time_buckets(date(2026, 1, 31), date(2026, 3, 1), BucketSize.MONTH))
    assert [each.since.month for each in months] == [1, 2, 3]
