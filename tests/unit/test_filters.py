"""What a person wants to see, and the filters of the calls behind a number."""

from datetime import date

from callpipeline.domain.call import CallState
from callpipeline.domain.filters import COUNTED, NOBODY, Filters, Stance
from callpipeline.domain.sentiment import Sentiment

ALL = Filters()


def test_duplicates_are_listed_but_not_counted():
    assert ALL.counted().states == COUNTED
    assert Filters(states=(CallState.DUPLICATE,)).counted().states == ()
    assert Filters(states=(CallState.FAILED,)).counted().states == (CallState.FAILED,)


def test_no_state_in_common_lets_no_call_through():
    failed = Filters(states=(CallState.FAILED,))
    assert failed.in_state(CallState.COMPLETED).states == ()
    assert failed.in_state(CallState.FAILED).states == (CallState.FAILED,)


def test_the_calls_behind_a_number_keep_the_other_filters():
    wanted = Filters(agent="ann", competitors=("EE", "Sky"), from_day=date(2026, 3, 1))
    assert wanted.naming("EE") == Filters(
        agent="ann", competitors=("EE",), from_day=date(2026, 3, 1), named=True, states=COUNTED
    )
    assert wanted.spoken_of(Sentiment.NEGATIVE).sentiment == Stance.NEGATIVE
    assert wanted.of_agent(None).agent == NOBODY


def test_days_of_a_stretch_stay_within_those_asked_for():
    march = Filters(from_day=date(2026, 3, 4), to_day=date(2026, 3, 20))
    week = march.between(date(2026, 3, 2), date(2026, 3, 8))
    assert (week.from_day, week.to_day) == (date(2026, 3, 4), date(2026, 3, 8))
    last = march.between(date(2026, 3, 16), date(2026, 3, 22))
    assert last.to_day == date(2026, 3, 20)
    assert ALL.between(date(2026, 3, 2), date(2026, 3, 8)).from_day == date(2026, 3, 2)


def test_only_calls_with_a_mention_are_meant_where_something_is_wanted_of_it():
    assert not Filters(agent="ann").wants_mention
    assert all(f.wants_mention for f in (ALL.with_mention(), ALL.naming("EE")))
    assert Filters(sentiment=Stance.UNJUDGED).wants_mention
