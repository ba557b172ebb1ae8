"""Overall sentiment of a call towards one competitor."""

import pytest

from callpipeline.domain.audio import Speaker
from callpipeline.domain.sentiment import (
    CallStance,
    Sentiment,
    call_stance,
    overall_sentiment,
)

P, N, X, M = Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.MIXED


@pytest.mark.parametrize(
    ("mentions", "stance"),
    [
        ([], M),
        ([P], P),
        ([N], N),
        ([X], X),
        ([M], M),
        ([X, X, X, P], P),
        ([X, M], X),
        ([P, N], M),
        ([P, N, X], M),
        ([P, P, N], P),
        ([P, N, N, M, X], N),
        ([M, M, P], P),
    ],
)
def test_the_non_neutral_majority_decides(mentions: list[Sentiment], stance: Sentiment):
    assert overall_sentiment(mentions) is stance
    assert overall_sentiment(reversed(mentions)) is stance


A, C, U = Speaker.AGENT, Speaker.CUSTOMER, Speaker.UNKNOWN


@pytest.mark.parametrize(
    ("mentions", "stance", "described"),
    [
        ([(C, N), (A, P), (A, P)], CallStance(N, P), "negative (agent: positive)"),
        ([(C, P), (A, N)], CallStance(P, N), "positive (agent: negative)"),
        ([(C, P), (A, P)], CallStance(P, P), "positive"),
        ([(A, N)], CallStance(None, N), "negative (agent only)"),
        ([(U, P)], CallStance(P, None), "positive"),
        ([], CallStance(None, None), "not judged"),
    ],
)
def test_an_agents_view_does_not_change_the_customers(
    mentions: list[tuple[Speaker, Sentiment]], stance: CallStance, described: str
):
    assert call_stance(mentions) == stance
    assert stance.describe() == described
