"""Rates per 100 completed calls, and changes that are more than chance."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.calls.rates import Rate, RateChange


def test_a_backlog_does_not_turn_growth_into_decline() -> None:
    """Fewer mentions in far fewer completed calls are more per call."""
    change = RateChange(Rate(93, 80, 410), Rate(100, 85, 500))
    assert change.relative == pytest.approx(93 / 410 / (100 / 500) - 1)
    assert change.relative and change.relative > 0.13
    assert not change.is_clear


def test_rates_need_calls() -> None:
    assert Rate(0, 0, 0).per_100 is None and Rate(0, 0, 0).interval is None
    assert Rate(0, 0, 50).per_100 == 0.0
    assert Rate(0, 0, 50).interval == (0.0, pytest.approx(100 * 1.96**2 / 50))
    assert RateChange(Rate(3, 2, 50), Rate(0, 0, 40)).is_new
    assert not RateChange(Rate(3, 2, 50), Rate(0, 0, 0)).is_new
    assert RateChange(Rate(0, 0, 50), Rate(3, 2, 40)).relative == -1.0
    assert RateChange(Rate(3, 2, 50), Rate(0, 0, 0)).relative is None


def test_a_large_change_is_clear_and_a_small_one_is_not() -> None:
    assert RateChange(Rate(200, 180, 1000), Rate(100, 90, 1000)).is_clear
    assert not RateChange(Rate(11, 10, 100), Rate(9, 9, 100)).is_clear


def test_what_vanishes_is_a_clear_loss_and_what_appears_a_clear_gain() -> None:
    """A period without events has an interval too: the upper end is about 4 events."""
    many, none = Rate(30, 25, 400), Rate(0, 0, 400)
    assert RateChange(none, many).is_clear and RateChange(none, many).relative == -1.0
    assert RateChange(many, none).is_clear and RateChange(many, none).is_new
    assert not RateChange(none, Rate(2, 2, 400)).is_clear
    assert not RateChange(Rate(2, 2, 400), none).is_clear
    assert not RateChange(none, none).is_clear
    assert not RateChange(many, Rate(0, 0, 0)).is_clear
    assert not RateChange(none, Rate(30, 1, 400)).is_clear, "one call does not make a trend"


@st.composite
def rates(draw: st.DrawFn, *, least: int = 0) -> Rate:
    of = draw(st.integers(1, 5_000))
    calls = draw(st.integers(min(least, of), of))
    return Rate(calls + draw(st.integers(0, 3 * calls)) if calls else 0, calls, of)


@given(rates(), rates())
def test_a_change_is_as_clear_backwards(now: Rate, before: Rate) -> None:
    assert RateChange(now, before).is_clear == RateChange(before, now).is_clear


@given(rates())
def test_the_same_rate_is_no_change_and_lies_in_its_interval(rate: Rate) -> None:
    assert not RateChange(rate, rate).is_clear
    assert rate.interval is not None and rate.per_100 is not None
    low, high = rate.interval
    assert 0 <= low <= rate.per_100 <= high


@given(rates(least=1), st.integers(2, 20))
def test_what_vanishes_clearly_does_so_with_more_of_the_same(before: Rate, times: int) -> None:
    more = Rate(before.events * times, before.calls * times, before.of * times)
    vanished = RateChange(Rate(0, 0, before.of), before)
    if vanished.is_clear:
        assert RateChange(Rate(0, 0, more.of), more).is_clear


def simulate(rng: random.Random, calls: int, share: float, again: float) -> Rate:
    """Return the rate in calls of which a share has mentions, each followed by another or not."""
    events = having = 0
    for _ in range(calls):
        if rng.random() < share:
            having += 1
            events += 1
            while rng.random() < again:
                events += 1
    return Rate(events, having, calls)


@pytest.mark.parametrize(("share", "again"), list(product((0.004, 0.05, 0.3), (0.0, 0.5))))
def test_chance_alone_is_seldom_called_a_change(share: float, again: float) -> None:
    rng = random.Random(1)
    sizes = (400, 300)
    pairs = [[simulate(rng, size, share, again) for size in sizes] for _ in range(400)]
    clear = sum(RateChange(now, before).is_clear for now, before in pairs)
    assert clear / len(pairs) < 0.08
    covered = sum(
        interval[0] <= 100 * share / (1 - again) <= interval[1]
        for now, _ in pairs
        if (interval := now.interval)
    )
    assert covered / len(pairs) > 0.9
