"""Call filters, and the filters of the calls behind a figure."""

from datetime import date

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import (
    COUNTED_STATES,
    NO_AGENT,
    CallFilters,
    MentionSentiment,
)
from callpipeline.domain.sentiment import Sentiment

ALL = CallFilters()


def test_duplicates_are_listed_but_not_counted():
    assert ALL.counted().states == COUNTED_STATES
    assert CallFilters(states=(CallState.DUPLICATE,)).counted().states == ()
    assert CallFilters(states=(CallState.FAILED,)).counted().states == (CallState.FAILED,)


def test_disjoint_states_match_no_call():
    failed = CallFilters(states=(CallState.FAILED,))
    assert failed.in_state(CallState.COMPLETED).states == ()
    assert failed.in_state(CallState.FAILED).states == (CallState.FAILED,)


def test_the_calls_behind_a_figure_keep_the_other_filters():
    wanted = CallFilters(agent="ann", competitors=("EE", "Sky"), from_day=date(2026, 3, 1))
    assert wanted.with_competitor("EE") == CallFilters(
        agent="ann",
        competitors=("EE",),
        from_day=date(2026, 3, 1),
        named=True,
        states=COUNTED_STATES,
    )
    assert wanted.with_sentiment(Sentiment.NEGATIVE).sentiment == MentionSentiment.NEGATIVE
    assert wanted.for_agent(None).agent == NO_AGENT


def test_days_of_a_bucket_stay_within_the_filtered_range():
    march = CallFilters(from_day=date(2026, 3, 4), to_day=date(2026, 3, 20))
    week = march.between(date(2026, 3, 2), date(2026, 3, 8))
    assert (week.from_day, week.to_day) == (date(2026, 3, 4), date(2026, 3, 8))
    last = march.between(date(2026, 3, 16), date(2026, 3, 22))
    assert last.to_day == date(2026, 3, 20)
    assert ALL.between(date(2026, 3, 2), date(2026, 3, 8)).from_day == date(2026, 3, 2)


def test_conditions_on_mentions_require_a_mention():
    assert not CallFilters(agent="ann").requires_mention
    assert all(f.requires_mention for f in (ALL.mentioning_any(), ALL.with_competitor("EE")))
    assert CallFilters(sentiment=MentionSentiment.UNJUDGED).requires_mention
