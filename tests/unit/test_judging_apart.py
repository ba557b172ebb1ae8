"""Judging competitor by competitor: what fails for one is kept from the others."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Verdict, judged, unjudged
from callpipeline.engines.sentiment.apart import judge_apart
from callpipeline.errors import EngineUnavailable, MissingObject, StoreUnavailable, UnexpectedError
from tests.builders import a_judgement, a_mention

MENTIONS = [
    a_mention("Vodafone"),
    a_mention("Sky", segment_index=1),
    a_mention("Three", segment_index=2),
    a_mention("Vodafone", segment_index=3),
]
AWAY = EngineUnavailable("The judge does not answer.")


class Asked:
    """Answers for each competitor, or raises what `failures` has for it."""

    def __init__(self, failures: Mapping[str, Exception] | None = None) -> None:
        self.failures, self.asked = failures or {}, dict[str, int]()

    async def __call__(self, competitor: str, mentions: Sequence[Mention]) -> list[Judgement]:
        self.asked[competitor] = len(mentions)
        await asyncio.sleep(0)
        if competitor in self.failures:
            raise self.failures[competitor]
        return [a_judgement(mention) for mention in mentions]


def verdicts(ask: Asked, mentions: Sequence[Mention] = MENTIONS) -> tuple[Verdict, ...]:
    return asyncio.run(judge_apart(mentions, ask))


def test_each_competitor_is_asked_for_once_and_the_order_is_that_of_the_mentions():
    ask = Asked()
    found = verdicts(ask)
    assert ask.asked == {"Vodafone": 2, "Sky": 1, "Three": 1}
    assert [verdict.mention_id for verdict in found] == [m.mention_id for m in MENTIONS]


@pytest.mark.parametrize(("error", "transient"), [(AWAY, True), (MissingObject("gone"), False)])
def test_one_of_three_that_fails_leaves_the_others_judged(error: Exception, transient: bool):
    found = verdicts(Asked({"Sky": error}))
    assert [one.competitor for one in judged(found)] == ["Vodafone", "Three", "Vodafone"]
    (missing,) = unjudged(found)
    assert missing.competitor == "Sky"
    assert (missing.reason, missing.error_class) == (str(error), type(error).__name__)
    assert missing.transient is transient
    assert [verdict.mention_id for verdict in found] == [m.mention_id for m in MENTIONS]


def test_where_all_fail_the_error_is_raised():
    with pytest.raises(EngineUnavailable):
        verdicts(Asked(dict.fromkeys(("Vodafone", "Sky", "Three"), AWAY)))


def test_where_all_fail_an_error_that_may_pass_goes_before_others():
    refused = MissingObject("gone")
    with pytest.raises(StoreUnavailable):
        verdicts(Asked({"Vodafone": refused, "Sky": StoreUnavailable("away"), "Three": refused}))


def test_where_all_are_refused_the_call_is_not_completed_with_nothing():
    with pytest.raises(UnexpectedError, match="refused"):
        verdicts(Asked({"Sky": UnexpectedError("refused")}), [MENTIONS[1]])


def test_a_fault_of_the_judge_itself_is_not_taken_for_an_answer():
    with pytest.raises(ZeroDivisionError):
        verdicts(Asked({"Sky": ZeroDivisionError()}))


def test_nothing_to_judge_is_nothing_asked():
    ask = Asked()
    assert verdicts(ask, []) == ()
    assert ask.asked == {}
