"""Talk time, silence and overlap."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, compute_metrics
from tests.builders import a_channel

EDGES = st.tuples(st.integers(0, 50), st.integers(1, 10)).map(lambda at: (at[0], at[0] + at[1]))


def test_talk_time_by_speaker_and_overlap():
    agent = a_channel(Channel.LEFT, (1, 5), (10, 12))
    customer = a_channel(Channel.RIGHT, (4, 8))
    metrics = compute_metrics(20.0, (agent, customer), "by hand")
    assert (metrics.agent_talk_s, metrics.customer_talk_s, metrics.unknown_talk_s) == (6, 4, 0)
    assert metrics.overlap_s == 1
    assert metrics.silence_s == 20 - 7 - 2
    assert metrics.longest_silence_s == 8
    assert metrics.speech_detector == "by hand"


def test_overlapping_intervals_count_once():
    metrics = compute_metrics(10.0, (a_channel(Channel.LEFT, (0, 4), (2, 5)),), "by hand")
    assert metrics.agent_talk_s == 5


def test_speech_of_a_mono_recording_has_an_unknown_speaker():
    metrics = compute_metrics(10.0, (a_channel(Channel.MIXED, (0, 4)),), "by hand")
    assert (metrics.agent_talk_s, metrics.customer_talk_s, metrics.unknown_talk_s) == (0, 0, 4)
    assert metrics.overlap_s == 0


def test_a_call_without_speech_is_one_silence():
    metrics = compute_metrics(7.5, (a_channel(Channel.LEFT), a_channel(Channel.RIGHT)), "by hand")
    assert (metrics.silence_s, metrics.longest_silence_s) == (7.5, 7.5)


@pytest.mark.parametrize(
    ("speech", "longest_s"), [((6, 10), 6), ((0, 3), 7), ((0, 10), 0), ((4, 5), 5)]
)
def test_silence_before_the_first_and_after_the_last_word_counts(
    speech: tuple[float, float], longest_s: float
):
    metrics = compute_metrics(10.0, (a_channel(Channel.LEFT, speech),), "by hand")
    assert metrics.longest_silence_s == longest_s


def test_speech_beyond_the_end_gives_no_negative_silence():
    """The last frame of a speech detector may end after the recording."""
    metrics = compute_metrics(10.0, (a_channel(Channel.LEFT, (0, 10.03)),), "by hand")
    assert (metrics.silence_s, metrics.longest_silence_s) == (0, 0)


@given(st.lists(EDGES, max_size=6), st.lists(EDGES, max_size=6))
@hypothesis_settings(max_examples=30, deadline=None)
def test_talk_time_and_silence_add_up(
    agent: list[tuple[float, float]], customer: list[tuple[float, float]]
):
    both = (a_channel(Channel.LEFT, *agent), a_channel(Channel.RIGHT, *customer))
    m = compute_metrics(100.0, both, "by hand")
    assert m.agent_talk_s + m.customer_talk_s - m.overlap_s + m.silence_s == 100.0
    assert 0 <= m.longest_silence_s <= m.silence_s
