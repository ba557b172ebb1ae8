"""Speech intervals: merging and overlap agree with a simple reference implementation."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callpipeline.domain.audio import (
    Channel,
    Interval,
    Speaker,
    merge_intervals,
    overlap_s,
    speaker_of,
)

# Whole seconds: the reference below counts them one by one.
INTERVALS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda at: Interval(at[0], at[0] + at[1])),
    max_size=8,
)
QUICK = hypothesis_settings(max_examples=30, deadline=None)


def seconds(intervals: list[Interval] | tuple[Interval, ...]) -> set[int]:
    return {s for i in intervals for s in range(int(i.start_s), int(i.end_s))}


@pytest.mark.parametrize(
    ("channel", "agent_channel", "speaker"),
    [
        (Channel.LEFT, "left", Speaker.AGENT),
        (Channel.RIGHT, "left", Speaker.CUSTOMER),
        (Channel.LEFT, "right", Speaker.CUSTOMER),
        (Channel.RIGHT, "right", Speaker.AGENT),
        (Channel.MIXED, "left", Speaker.UNKNOWN),
        (Channel.MIXED, "right", Speaker.UNKNOWN),
    ],
)
def test_the_agent_is_on_the_agents_channel(channel: Channel, agent_channel: str, speaker: Speaker):
    assert speaker_of(channel, agent_channel) is speaker


def test_touching_intervals_are_merged():
    assert merge_intervals([Interval(2, 3), Interval(0, 1), Interval(1, 2)]) == (Interval(0, 3),)


def test_a_contained_interval_does_not_shorten_the_outer_one():
    assert merge_intervals([Interval(0, 9), Interval(1, 2)]) == (Interval(0, 9),)


def test_a_gap_is_bridged_up_to_its_length_and_no_further():
    apart = [Interval(0, 1), Interval(1.5, 2), Interval(3, 4)]
    assert merge_intervals(apart, gap_s=0.5) == (Interval(0, 2), Interval(3, 4))


def test_merging_no_intervals_gives_none():
    assert merge_intervals([]) == ()
    assert overlap_s([], [Interval(0, 1)]) == 0.0


@given(INTERVALS)
@QUICK
def test_merging_keeps_every_second_and_leaves_gaps_between(intervals: list[Interval]):
    merged = merge_intervals(intervals)
    assert seconds(merged) == seconds(intervals)
    assert all(a.end_s < b.start_s for a, b in pairwise(merged))


@given(INTERVALS, INTERVALS)
@QUICK
def test_overlap_is_the_seconds_in_both(one: list[Interval], other: list[Interval]):
    both = len(seconds(one) & seconds(other))
    assert overlap_s(merge_intervals(one), merge_intervals(other)) == both
    assert overlap_s(merge_intervals(other), merge_intervals(one)) == both
