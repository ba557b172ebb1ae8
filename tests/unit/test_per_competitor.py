"""Judging per competitor: a failure for one does not affect the others."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, judged, unjudged
from callpipeline.engines.sentiment.per_competitor import judge_per_competitor
from callpipeline.errors import EngineUnavailable, MissingObject, StoreUnavailable, UnexpectedError
from tests.builders import a_judgement, a_mention

MENTIONS = [
    a_mention("Vodafone"),
    a_mention("Sky", segment_index=1),
    a_mention("Three", segment_index=2),
    a_mention("Vodafone", segment_index=3),
]
UNAVAILABLE = EngineUnavailable("The judge does not answer.")


class RecordingJudge:
    """Judges each competitor, or raises its error in `failures`."""

    def __init__(self, failures: Mapping[str, Exception] | None = None) -> None:
        self.failures, self.calls = failures or {}, dict[str, int]()

    async def __call__(self, competitor: str, mentions: Sequence[Mention]) -> list[Judgement]:
        self.calls[competitor] = len(mentions)
        await asyncio.sleep(0)
        if competitor in self.failures:
            raise self.failures[competitor]
        return [a_judgement(mention) for mention in mentions]


def results(
    judge: RecordingJudge, mentions: Sequence[Mention] = MENTIONS
) -> tuple[JudgeResult, ...]:
    return asyncio.run(judge_per_competitor(mentions, judge))


def test_each_competitor_is_judged_once_and_results_keep_the_order_of_mentions():
    judge = RecordingJudge()
    found = results(judge)
    assert judge.calls == {"Vodafone": 2, "Sky": 1, "Three": 1}
    assert [result.mention_id for result in found] == [m.mention_id for m in MENTIONS]


@pytest.mark.parametrize(
    ("error", "transient"), [(UNAVAILABLE, True), (MissingObject("gone"), False)]
)
def test_a_failure_for_one_competitor_leaves_the_others_judged(error: Exception, transient: bool):
    found = results(RecordingJudge({"Sky": error}))
    assert [each.competitor for each in judged(found)] == ["Vodafone", "Three", "Vodafone"]
    (missing,) = unjudged(found)
    assert missing.competitor == "Sky"
    assert (missing.reason, missing.error_class) == (str(error), type(error).__name__)
    assert missing.transient is transient
    assert [result.mention_id for result in found] == [m.mention_id for m in MENTIONS]


def test_if_all_fail_the_error_is_raised():
    with pytest.raises(EngineUnavailable):
        results(RecordingJudge(dict.fromkeys(("Vodafone", "Sky", "Three"), UNAVAILABLE)))


def test_if_all_fail_a_transient_error_takes_precedence():
    refused = MissingObject("gone")
    with pytest.raises(StoreUnavailable):
        results(
            RecordingJudge({"Vodafone": refused, "Sky": StoreUnavailable("down"), "Three": refused})
        )


def test_if_all_are_refused_the_call_is_not_completed_without_judgements():
    with pytest.raises(UnexpectedError, match="refused"):
        results(RecordingJudge({"Sky": UnexpectedError("refused")}), [MENTIONS[1]])


def test_a_bug_in_the_judge_is_raised():
    with pytest.raises(ZeroDivisionError):
        results(RecordingJudge({"Sky": ZeroDivisionError()}))


def test_without_mentions_nothing_is_judged():
    judge = RecordingJudge()
    assert results(judge, []) == ()
    assert judge.calls == {}
