"""Retries of missing judgements of completed calls."""

import asyncio
from collections.abc import Mapping

import pytest

from callpipeline.domain.audio import Interval
from callpipeline.domain.calls.call import Call, CallState, Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import EngineUnavailable, MissingObject
from callpipeline.pipeline.processing.processor import (
    CallFailed,
    RejudgeEvent,
    Rejudger,
    RejudgeResult,
    RejudgeSkipped,
    StageStored,
)
from tests.builders import CATALOG, a_write
from tests.fakes.engines import ScriptedJudge, ScriptedSpeechDetector, ScriptedTranscriber
from tests.fakes.workplace import RUN, Workplace

UNAVAILABLE = EngineUnavailable("The judge does not answer.")
SAID = "vodafone is cheaper and sky broadband is slow"
BOTH = {"Vodafone", "Sky"}


class Rejudging:
    """A call whose judge failed for some competitors."""

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        self.workplace = Workplace(transcriber=ScriptedTranscriber(hears={"one right": SAID}))
        speech = (Interval(0.0, 20.0),)
        self.workplace.detector = ScriptedSpeechDetector(hears={"one right": speech})
        self.workplace.judge = ScriptedJudge(failures, thinks={"Vodafone": Sentiment.POSITIVE})
        self.call: Call = self.workplace.call()
        self.events = self.workplace.process(self.call)

    @property
    def state(self) -> CallState:
        return self.workplace.states.states[self.call.call_id]

    @property
    def judged_competitors(self) -> set[str]:
        return {j.competitor for j in self.workplace.results.judgements(self.call.call_id)}

    def retry(self, failures: Mapping[str, Exception] | None = None) -> RejudgeEvent:
        """Retry once the wait is over."""
        for one in self.workplace.results.missing.get(self.call.call_id, {}).values():
            one.is_due = True
        self.workplace.judge = ScriptedJudge(failures)
        rejudger = Rejudger(self.workplace.stages(), self.workplace.missing, "run-2")

        async def judge() -> list[RejudgeEvent]:
            return [e async for e in rejudger.judge_all([self.call.call_id], concurrency=2)]

        (event,) = asyncio.run(judge())
        return event


@pytest.fixture
def rejudging() -> Rejudging:
    return Rejudging({"Sky": UNAVAILABLE})


def test_a_failure_for_one_competitor_completes_the_call(rejudging: Rejudging):
    last = rejudging.events[-1]
    assert isinstance(last, StageStored)
    assert last.summary == {"Vodafone": "positive", "not_judged": 1}
    assert rejudging.state is CallState.COMPLETED
    assert rejudging.judged_competitors == {"Vodafone"}


def test_a_failure_for_all_competitors_releases_the_call():
    rejudging = Rejudging(dict.fromkeys(BOTH, UNAVAILABLE))
    last = rejudging.events[-1]
    assert isinstance(last, CallFailed)
    assert last.retry_at
    assert rejudging.state is CallState.PENDING
    assert rejudging.judged_competitors == set()


def test_only_missing_judgements_are_retried(rejudging: Rejudging):
    event = rejudging.retry()
    assert isinstance(event, RejudgeResult)
    assert (event.judged, event.missing, event.summary) == (1, (), {"Sky": "neutral"})
    assert rejudging.workplace.judge.asked == ["Sky"]
    assert rejudging.judged_competitors == BOTH
    assert isinstance(rejudging.retry(), RejudgeSkipped)
    assert rejudging.workplace.judge.asked == []


def test_an_outage_leaves_the_call_completed_and_is_recorded(rejudging: Rejudging):
    event = rejudging.retry({"Sky": UNAVAILABLE})
    assert isinstance(event, RejudgeResult)
    assert (event.judged, event.retry_at is not None) == (0, True)
    assert [one.reason for one in event.missing] == [str(UNAVAILABLE)]
    assert rejudging.state is CallState.COMPLETED
    assert isinstance(rejudging.retry(), RejudgeResult)


@pytest.mark.parametrize("error", [MissingObject("No such model."), ZeroDivisionError("secret")])
def test_a_permanent_error_is_recorded_and_not_retried(rejudging: Rejudging, error: Exception):
    event = rejudging.retry({"Sky": error})
    assert isinstance(event, RejudgeResult)
    assert event.retry_at is None
    assert "secret" not in event.missing[0].reason
    assert rejudging.state is CallState.COMPLETED
    assert isinstance(rejudging.retry(), RejudgeSkipped)


def test_a_judge_that_times_out_is_an_outage(rejudging: Rejudging):
    rejudging.workplace.stage_timeout_s = 0.05
    rejudging.workplace.judge = ScriptedJudge(meets=2)
    for one in rejudging.workplace.results.missing[rejudging.call.call_id].values():
        one.is_due = True
    rejudger = Rejudger(rejudging.workplace.stages(), rejudging.workplace.missing, "run-2")
    event = asyncio.run(rejudger.judge(rejudging.call.call_id))
    assert isinstance(event, RejudgeResult)
    assert event.missing[0].error_class == "EngineUnavailable"


def test_a_call_claimed_by_another_run_meanwhile_is_left_to_it(rejudging: Rejudging):
    workplace = rejudging.workplace

    class ClaimsMeanwhile(ScriptedJudge):
        async def _work_on(self, what: str) -> None:
            workplace.states.claim(rejudging.call.call_id, RUN)

    for one in workplace.results.missing[rejudging.call.call_id].values():
        one.is_due = True
    workplace.judge = ClaimsMeanwhile()
    rejudger = Rejudger(workplace.stages(), workplace.missing, "run-2")
    assert isinstance(asyncio.run(rejudger.judge(rejudging.call.call_id)), RejudgeSkipped)
    assert rejudging.state is CallState.PROCESSING
    assert rejudging.judged_competitors == {"Vodafone"}


def test_old_mentions_are_not_judged_with_a_new_transcript(rejudging: Rejudging):
    workplace, call_id = rejudging.workplace, rejudging.call.call_id
    workplace.states.claim(call_id, RUN)
    workplace.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS, catalog=CATALOG), [])
    workplace.states.complete(call_id, RUN)
    event = rejudging.retry()
    assert isinstance(event, RejudgeResult)
    assert event.missing[0].error_class == "MissingObject"
    assert workplace.judge.asked == []
