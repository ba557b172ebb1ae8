"""The stance of a call towards one competitor."""

import pytest

from callpipeline.domain.sentiment import Sentiment, overall

P, N, X, U = Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.UNSURE


@pytest.mark.parametrize(
    ("mentions", "stance"),
    [
        ([], U),
        ([P], P),
        ([N], N),
        ([X], X),
        ([U], U),
        ([X, X, X, P], P),
        ([X, U], X),
        ([P, N], U),
        ([P, N, X], U),
        ([P, P, N], P),
        ([P, N, N, U, X], N),
        ([U, U, P], P),
    ],
)
def test_the_majority_of_what_is_not_neutral_decides(mentions: list[Sentiment], stance: Sentiment):
    assert overall(mentions) is stance
    assert overall(reversed(mentions)) is stance
