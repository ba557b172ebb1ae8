"""Complete calls that lack judgements: what is asked for, and what is stored of it."""

import asyncio
from collections.abc import Mapping

import pytest

from callpipeline.domain.audio import Interval
from callpipeline.domain.call import Call, CallState, Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import EngineUnavailable, MissingObject
from callpipeline.pipeline.judging_again import AgainEvent, JudgedAgain, JudgesAgain, LeftAlone
from callpipeline.pipeline.process import CallFailed, StageStored
from tests.builders import CATALOG, a_write
from tests.fakes.engines import ScriptedJudge, ScriptedSpeechDetector, ScriptedTranscriber
from tests.fakes.workplace import RUN, Workplace

AWAY = EngineUnavailable("The judge does not answer.")
SAID = "vodafone is cheaper and sky broadband is slow"
BOTH = {"Vodafone", "Sky"}


class Office:
    """A call that was processed by a judge who failed for some competitors."""

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        self.place = Workplace(transcriber=ScriptedTranscriber(hears={"one right": SAID}))
        speech = (Interval(0.0, 20.0),)
        self.place.detector = ScriptedSpeechDetector(hears={"one right": speech})
        self.place.judge = ScriptedJudge(failures, thinks={"Vodafone": Sentiment.POSITIVE})
        self.call: Call = self.place.call()
        self.events = self.place.process(self.call)

    @property
    def state(self) -> CallState:
        return self.place.states.states[self.call.call_id]

    @property
    def judged(self) -> set[str]:
        return {j.competitor for j in self.place.results.judgements(self.call.call_id)}

    def again(self, failures: Mapping[str, Exception] | None = None) -> AgainEvent:
        """One more try, when the wait is over."""
        for one in self.place.results.missing.get(self.call.call_id, {}).values():
            one.is_due = True
        self.place.judge = ScriptedJudge(failures)
        judges = JudgesAgain(self.place.stages(), self.place.missing, "run-2")

        async def judge() -> list[AgainEvent]:
            return [e async for e in judges.judge_all([self.call.call_id], concurrency=2)]

        (event,) = asyncio.run(judge())
        return event


@pytest.fixture
def office() -> Office:
    return Office({"Sky": AWAY})


def test_sentiment_that_fails_for_one_competitor_completes_the_call(office: Office):
    last = office.events[-1]
    assert isinstance(last, StageStored)
    assert last.facts == {"Vodafone": "positive", "not_judged": 1}
    assert office.state is CallState.COMPLETED
    assert office.judged == {"Vodafone"}


def test_sentiment_that_fails_for_all_sends_the_call_back():
    office = Office(dict.fromkeys(BOTH, AWAY))
    last = office.events[-1]
    assert isinstance(last, CallFailed)
    assert last.again_at
    assert office.state is CallState.PENDING
    assert office.judged == set()


def test_only_what_is_missing_is_asked_for_again(office: Office):
    event = office.again()
    assert isinstance(event, JudgedAgain)
    assert (event.judged, event.missing, event.facts) == (1, (), {"Sky": "neutral"})
    assert office.place.judge.asked == ["Sky"]
    assert office.judged == BOTH
    assert isinstance(office.again(), LeftAlone)
    assert office.place.judge.asked == []


def test_an_outage_leaves_the_call_complete_and_says_why(office: Office):
    event = office.again({"Sky": AWAY})
    assert isinstance(event, JudgedAgain)
    assert (event.judged, event.again_at is not None) == (0, True)
    assert [one.reason for one in event.missing] == [str(AWAY)]
    assert office.state is CallState.COMPLETED
    assert isinstance(office.again(), JudgedAgain)


@pytest.mark.parametrize("error", [MissingObject("No such model."), ZeroDivisionError("secret")])
def test_what_cannot_pass_is_noted_and_not_tried_again(office: Office, error: Exception):
    event = office.again({"Sky": error})
    assert isinstance(event, JudgedAgain)
    assert event.again_at is None
    assert "secret" not in event.missing[0].reason
    assert office.state is CallState.COMPLETED
    assert isinstance(office.again(), LeftAlone)


def test_a_judge_that_does_not_end_is_an_outage(office: Office):
    office.place.stage_timeout_s = 0.05
    office.place.judge = ScriptedJudge(meets=2)
    for one in office.place.results.missing[office.call.call_id].values():
        one.is_due = True
    judges = JudgesAgain(office.place.stages(), office.place.missing, "run-2")
    event = asyncio.run(judges.judge(office.call.call_id))
    assert isinstance(event, JudgedAgain)
    assert event.missing[0].error_class == "EngineUnavailable"


def test_a_call_that_is_taken_while_it_is_judged_is_left_to_whoever_took_it(office: Office):
    place = office.place

    class TakenMeanwhile(ScriptedJudge):
        async def _work_on(self, what: str) -> None:
            place.states.claim(office.call.call_id, RUN)

    for one in place.results.missing[office.call.call_id].values():
        one.is_due = True
    place.judge = TakenMeanwhile()
    judges = JudgesAgain(place.stages(), place.missing, "run-2")
    assert isinstance(asyncio.run(judges.judge(office.call.call_id)), LeftAlone)
    assert office.state is CallState.PROCESSING
    assert office.judged == {"Vodafone"}


def test_a_transcript_that_was_made_anew_meanwhile_is_not_judged_by_old_mentions(office: Office):
    place, call_id = office.place, office.call.call_id
    place.states.claim(call_id, RUN)
    place.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS, catalog=CATALOG), [])
    place.states.complete(call_id, RUN)
    event = office.again()
    assert isinstance(event, JudgedAgain)
    assert event.missing[0].error_class == "MissingObject"
    assert place.judge.asked == []
