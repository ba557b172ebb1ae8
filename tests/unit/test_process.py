"""One call, from what is there already to a final state."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DatabaseUnavailable,
    EngineUnavailable,
    UnsupportedAudio,
)
from callpipeline.pipeline.process import (
    CallFailed,
    CallGivenUp,
    Processor,
    StageStored,
)
from tests.builders import a_split, a_transcript, a_write, channel_files
from tests.fakes.engines import ScriptedJudge, ScriptedSplitter, ScriptedTranscriber
from tests.fakes.storage import InMemoryResults, InMemoryStates
from tests.fakes.workplace import RUN, Workplace

FROM_MENTIONS_ON = (Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)


def test_a_call_goes_through_all_stages_in_order_and_is_complete():
    place = Workplace()
    call = place.call()
    events = place.process(call)
    assert [event.stage for event in events if isinstance(event, StageStored)] == list(Stage)
    assert len(events) == len(Stage)
    assert place.states.states[call.call_id] is CallState.COMPLETED


def test_stages_are_made_in_their_order_in_whichever_order_they_are_wanted():
    place = Workplace()
    events = place.process(place.call(), wanted=list(reversed(Stage)))
    assert [event.stage for event in events if isinstance(event, StageStored)] == list(Stage)


def test_a_subset_uses_stored_transcripts_and_touches_neither_splitter_nor_transcriber():
    place = Workplace()
    call = place.call()
    write = a_write(call.call_id, Stage.TRANSCRIPTS)
    place.results.save_transcripts(write, [a_transcript("we left vodafone")])
    events = place.process(call, wanted=FROM_MENTIONS_ON)
    assert [type(event) for event in events] == [StageStored, StageStored]
    assert place.splitter.asked == place.transcriber.asked == place.detector.asked == []
    assert [m.competitor for m in place.results.mentions(call.call_id)] == ["Vodafone"]
    assert place.judge.asked == ["Vodafone"]


def test_a_subset_of_a_call_that_lacks_the_stages_before_fails_naming_what_to_do():
    place = Workplace()
    call = place.call()
    (failed,) = place.process(call, wanted=FROM_MENTIONS_ON)
    assert isinstance(failed, CallFailed)
    assert (failed.stage, failed.error_class) == (Stage.COMPETITOR_MENTIONS, "MissingObject")
    assert "transcripts" in failed.reason


def test_a_subset_leaves_a_call_that_is_not_whole_waiting():
    place = Workplace()
    call = place.call()
    place.process(call, wanted=[Stage.CHANNEL_AUDIO])
    assert place.states.states[call.call_id] is CallState.PENDING


def test_stages_that_an_earlier_try_stored_are_kept(tmp_path: Path):
    place = Workplace()
    done = [Stage.CHANNEL_AUDIO, Stage.CALL_METRICS]
    call = place.call(done=done)
    files = channel_files(a_split(), tmp_path, "one")
    place.results.save_audio(a_write(call.call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    events = place.process(call)
    kept = {event.stage: event.kept for event in events if isinstance(event, StageStored)}
    assert kept == {stage: stage in done for stage in Stage}
    assert place.splitter.asked == []
    assert sorted(place.transcriber.asked) == ["one left", "one right"]


def test_a_stage_that_hangs_ends_and_its_call_is_tried_again():
    place = Workplace(transcriber=ScriptedTranscriber(meets=99), stage_timeout_s=0.05)
    call = place.call()
    failed = place.process(call)[-1]
    assert isinstance(failed, CallFailed)
    assert (failed.stage, failed.error_class) == (Stage.TRANSCRIPTS, "EngineUnavailable")
    assert failed.again_at and "after 0.05 seconds" in failed.reason


def test_a_timeout_that_an_engine_lets_through_is_not_taken_for_the_deadline():
    place = Workplace(splitter=ScriptedSplitter({"one": TimeoutError()}))
    (failed,) = place.process(place.call())
    assert isinstance(failed, CallFailed)
    assert failed.error_class == "UnexpectedError"


def test_an_error_that_cannot_pass_ends_the_call_with_its_own_sentence():
    error = UnsupportedAudio("a picture, not sound")
    place = Workplace(splitter=ScriptedSplitter({"one": error}))
    call = place.call()
    assert place.process(call) == [
        CallFailed(call.call_id, Stage.CHANNEL_AUDIO, str(error), "UnsupportedAudio", False)
    ]
    assert place.states.errors[call.call_id] == (Stage.CHANNEL_AUDIO, error)
    assert place.states.states[call.call_id] is CallState.FAILED


def test_an_error_that_may_pass_says_when_the_call_is_tried_again():
    place = Workplace(splitter=ScriptedSplitter({"one": EngineUnavailable("busy")}))
    call = place.call()
    (event,) = place.process(call)
    assert isinstance(event, CallFailed)
    assert (event.reason, event.error_class, event.transient) == ("busy", "EngineUnavailable", True)
    assert event.again_at and event.again_at > datetime.now(UTC)
    assert place.states.states[call.call_id] is CallState.PENDING


def test_the_last_try_of_a_call_says_that_there_is_no_other():
    place = Workplace(
        splitter=ScriptedSplitter({"one": EngineUnavailable("busy")}),
        states=InMemoryStates(tries_again=0),
    )
    call = place.call()
    (event,) = place.process(call)
    assert isinstance(event, CallFailed)
    assert (event.transient, event.again_at) == (True, None)
    assert place.states.states[call.call_id] is CallState.FAILED


def test_a_call_that_is_tried_again_goes_on_after_what_is_stored():
    refused = {"one left": EngineUnavailable("busy")}
    place = Workplace(transcriber=ScriptedTranscriber(refused))
    call = place.call()
    place.process(call)
    place.transcriber = ScriptedTranscriber()
    again = place.call(done=[Stage.CHANNEL_AUDIO, Stage.CALL_METRICS])
    place.process(again)
    assert place.splitter.asked == ["one"]
    assert place.states.states[call.call_id] is CallState.COMPLETED


def test_the_stages_before_a_failure_stay_stored():
    place = Workplace(transcriber=ScriptedTranscriber({"one left": EngineUnavailable("busy")}))
    call = place.call()
    *stored, failed = place.process(call)
    assert [e.stage for e in stored if isinstance(e, StageStored)] == [
        Stage.CHANNEL_AUDIO,
        Stage.CALL_METRICS,
    ]
    assert isinstance(failed, CallFailed)
    assert failed.stage is Stage.TRANSCRIPTS


def test_an_error_that_nobody_foresaw_tells_its_kind_and_place_but_nothing_of_the_call(
    caplog: pytest.LogCaptureFixture,
):
    marker = "my card number is 4111"
    judge = ScriptedJudge({"Vodafone": KeyError(marker)})
    transcriber = ScriptedTranscriber(hears={"one left": "vodafone is dear"})
    place = Workplace(judge=judge, transcriber=transcriber)
    call = place.call()
    with caplog.at_level(logging.DEBUG):
        failed = place.process(call)[-1]
    assert isinstance(failed, CallFailed)
    assert failed.error_class == "UnexpectedError"
    assert "KeyError at engines.py:" in failed.reason
    _, error = place.states.errors[call.call_id]
    assert marker not in failed.reason + str(error) + repr(error) + caplog.text
    assert call.call_id in caplog.text


class TakenOver(InMemoryStates):
    """Another run takes the call over when the transcriber is asked."""

    def check(self, call_id: str, run_id: str) -> None:
        if Stage.CALL_METRICS in self.stages.get(call_id, ()):
            self.holders[call_id] = "run-2"
        super().check(call_id, run_id)


def test_a_call_that_another_run_took_over_is_given_up_and_its_state_is_not_touched():
    place = Workplace(states=TakenOver())
    call = place.call()
    events = place.process(call)
    assert events[-1] == CallGivenUp(call.call_id)
    assert [e.stage for e in events if isinstance(e, StageStored)] == [
        Stage.CHANNEL_AUDIO,
        Stage.CALL_METRICS,
    ]
    assert place.states.states[call.call_id] is CallState.PROCESSING
    assert place.states.holders[call.call_id] == "run-2"
    assert place.states.errors == {}


def test_a_call_that_is_lost_before_its_failure_is_stored_is_given_up():
    class Lost(InMemoryStates):
        def check(self, call_id: str, run_id: str) -> None:
            raise ClaimLost("gone")

    place = Workplace(splitter=ScriptedSplitter({"one": UnsupportedAudio("no")}), states=Lost())
    call = place.call()
    assert place.process(call) == [CallGivenUp(call.call_id)]


def test_the_working_folder_is_gone_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing = Workplace(transcriber=ScriptedTranscriber({"one left": RuntimeError("boom")}))
    failing.process(failing.call())
    well = Workplace()
    well.process(well.call())
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_gone_is_not_blamed_on_the_call():
    class Unreachable(InMemoryResults):
        def save_audio(self, *_: object, **__: object) -> None:
            raise DatabaseUnavailable("Postgres did not answer")

    class AlsoUnreachable(InMemoryStates):
        def fail(
            self, call_id: str, run_id: str, stage: str, error: CallpipelineError
        ) -> datetime | None:
            raise DatabaseUnavailable("Postgres did not answer")

    states = AlsoUnreachable()
    place = Workplace(states=states)
    call = place.call()

    async def process() -> None:
        processor = Processor(place.stages(Unreachable(states)), RUN)
        async for _ in processor.process(call, tuple(Stage)):
            raise AssertionError("no event is due")

    with pytest.raises(DatabaseUnavailable):
        asyncio.run(process())
    assert states.states[call.call_id] is CallState.PROCESSING
