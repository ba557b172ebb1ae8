"""Rates per 100 completed calls, and changes that are more than chance."""

import random
from itertools import product

import pytest

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
    assert RateChange(Rate(3, 2, 50), Rate(0, 0, 40)).is_new
    assert not RateChange(Rate(3, 2, 50), Rate(0, 0, 0)).is_new
    assert RateChange(Rate(0, 0, 50), Rate(3, 2, 40)).relative == -1.0
    assert RateChange(Rate(3, 2, 50), Rate(0, 0, 0)).relative is None


def test_a_large_change_is_clear_and_a_small_one_is_not() -> None:
    assert RateChange(Rate(200, 180, 1000), Rate(100, 90, 1000)).is_clear
    assert not RateChange(Rate(11, 10, 100), Rate(9, 9, 100)).is_clear


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


@pytest.mark.parametrize(("share", "again"), list(product((0.05, 0.3), (0.0, 0.5))))
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
