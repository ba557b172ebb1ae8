"""Processing of one call to its final state."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.errors import (
    CallpipelineError,
    ClaimLost,
    DatabaseUnavailable,
    EngineUnavailable,
    UnsupportedAudio,
)
from callpipeline.pipeline.processing.processor import (
    CallAbandoned,
    CallFailed,
    Processor,
    StageStored,
)
from tests.builders import a_split, a_transcript, a_write, channel_files
from tests.fakes.engines import ScriptedJudge, ScriptedSplitter, ScriptedTranscriber
from tests.fakes.storage import InMemoryResults, InMemoryStates
from tests.fakes.workplace import RUN, Workplace

FROM_MENTIONS_ON = (Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)


def test_a_call_goes_through_all_stages_and_is_completed():
    workplace = Workplace()
    call = workplace.call()
    events = workplace.process(call)
    assert [event.stage for event in events if isinstance(event, StageStored)] == list(Stage)
    assert len(events) == len(Stage)
    assert workplace.states.states[call.call_id] is CallState.COMPLETED


def test_stages_run_in_their_own_order():
    workplace = Workplace()
    events = workplace.process(workplace.call(), wanted=list(reversed(Stage)))
    assert [event.stage for event in events if isinstance(event, StageStored)] == list(Stage)


def test_a_subset_uses_stored_transcripts_without_splitter_or_transcriber():
    workplace = Workplace()
    call = workplace.call()
    write = a_write(call.call_id, Stage.TRANSCRIPTS)
    workplace.results.save_transcripts(write, [a_transcript("we left vodafone")])
    events = workplace.process(call, wanted=FROM_MENTIONS_ON)
    assert [type(event) for event in events] == [StageStored, StageStored]
    assert workplace.splitter.asked == workplace.transcriber.asked == workplace.detector.asked == []
    assert [m.competitor for m in workplace.results.mentions(call.call_id)] == ["Vodafone"]
    assert workplace.judge.asked == ["Vodafone"]


def test_a_subset_without_the_stages_before_fails_with_advice():
    workplace = Workplace()
    call = workplace.call()
    (failed,) = workplace.process(call, wanted=FROM_MENTIONS_ON)
    assert isinstance(failed, CallFailed)
    assert (failed.stage, failed.error_class) == (Stage.COMPETITOR_MENTIONS, "MissingObject")
    assert "transcripts" in failed.reason


def test_a_subset_leaves_an_incomplete_call_pending():
    workplace = Workplace()
    call = workplace.call()
    workplace.process(call, wanted=[Stage.CHANNEL_AUDIO])
    assert workplace.states.states[call.call_id] is CallState.PENDING


def test_stages_stored_by_an_earlier_attempt_are_reused(tmp_path: Path):
    workplace = Workplace()
    done = [Stage.CHANNEL_AUDIO, Stage.CALL_METRICS]
    call = workplace.call(done=done)
    files = channel_files(a_split(), tmp_path, "one")
    workplace.results.save_audio(a_write(call.call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    events = workplace.process(call)
    reused = {event.stage: event.reused for event in events if isinstance(event, StageStored)}
    assert reused == {stage: stage in done for stage in Stage}
    assert workplace.splitter.asked == []
    assert sorted(workplace.transcriber.asked) == ["one left", "one right"]


def test_a_stage_that_hangs_times_out_and_its_call_is_retried():
    workplace = Workplace(transcriber=ScriptedTranscriber(meets=99), stage_timeout_s=0.05)
    call = workplace.call()
    failed = workplace.process(call)[-1]
    assert isinstance(failed, CallFailed)
    assert (failed.stage, failed.error_class) == (Stage.TRANSCRIPTS, "EngineUnavailable")
    assert failed.retry_at and "within 0.05 seconds" in failed.reason


def test_a_timeout_error_of_an_engine_is_not_the_stage_timeout():
    workplace = Workplace(splitter=ScriptedSplitter({"one": TimeoutError()}))
    (failed,) = workplace.process(workplace.call())
    assert isinstance(failed, CallFailed)
    assert failed.error_class == "UnexpectedError"


def test_a_permanent_error_ends_the_call_with_its_message():
    error = UnsupportedAudio("a picture, not sound")
    workplace = Workplace(splitter=ScriptedSplitter({"one": error}))
    call = workplace.call()
    assert workplace.process(call) == [
        CallFailed(call.call_id, Stage.CHANNEL_AUDIO, str(error), "UnsupportedAudio", False)
    ]
    assert workplace.states.errors[call.call_id] == (Stage.CHANNEL_AUDIO, error)
    assert workplace.states.states[call.call_id] is CallState.FAILED


def test_a_transient_error_schedules_a_retry():
    workplace = Workplace(splitter=ScriptedSplitter({"one": EngineUnavailable("busy")}))
    call = workplace.call()
    (event,) = workplace.process(call)
    assert isinstance(event, CallFailed)
    assert (event.reason, event.error_class, event.transient) == ("busy", "EngineUnavailable", True)
    assert event.retry_at and event.retry_at > datetime.now(UTC)
    assert workplace.states.states[call.call_id] is CallState.PENDING


def test_the_last_attempt_schedules_no_retry():
    workplace = Workplace(
        splitter=ScriptedSplitter({"one": EngineUnavailable("busy")}),
        states=InMemoryStates(max_retries=0),
    )
    call = workplace.call()
    (event,) = workplace.process(call)
    assert isinstance(event, CallFailed)
    assert (event.transient, event.retry_at) == (True, None)
    assert workplace.states.states[call.call_id] is CallState.FAILED


def test_a_retry_continues_after_the_stored_stages():
    refused = {"one left": EngineUnavailable("busy")}
    workplace = Workplace(transcriber=ScriptedTranscriber(refused))
    call = workplace.call()
    workplace.process(call)
    workplace.transcriber = ScriptedTranscriber()
    again = workplace.call(done=[Stage.CHANNEL_AUDIO, Stage.CALL_METRICS])
    workplace.process(again)
    assert workplace.splitter.asked == ["one"]
    assert workplace.states.states[call.call_id] is CallState.COMPLETED


def test_the_stages_before_a_failure_stay_stored():
    workplace = Workplace(transcriber=ScriptedTranscriber({"one left": EngineUnavailable("busy")}))
    call = workplace.call()
    *stored, failed = workplace.process(call)
    assert [e.stage for e in stored if isinstance(e, StageStored)] == [
        Stage.CHANNEL_AUDIO,
        Stage.CALL_METRICS,
    ]
    assert isinstance(failed, CallFailed)
    assert failed.stage is Stage.TRANSCRIPTS


def test_an_unexpected_error_is_reported_by_type_and_location_without_its_text(
    caplog: pytest.LogCaptureFixture,
):
    marker = "my card number is 4111"
    judge = ScriptedJudge({"Vodafone": KeyError(marker)})
    transcriber = ScriptedTranscriber(hears={"one left": "vodafone is dear"})
    workplace = Workplace(judge=judge, transcriber=transcriber)
    call = workplace.call()
    with caplog.at_level(logging.DEBUG):
        failed = workplace.process(call)[-1]
    assert isinstance(failed, CallFailed)
    assert failed.error_class == "UnexpectedError"
    assert "KeyError at engines.py:" in failed.reason
    _, error = workplace.states.errors[call.call_id]
    assert marker not in failed.reason + str(error) + repr(error) + caplog.text
    assert call.call_id in caplog.text


class ClaimedByAnother(InMemoryStates):
    """Another run claims the call before it is transcribed."""

    def check(self, call_id: str, run_id: str) -> None:
        if Stage.CALL_METRICS in self.stages.get(call_id, ()):
            self.holders[call_id] = "run-2"
        super().check(call_id, run_id)


def test_a_call_claimed_by_another_run_is_abandoned_without_changing_its_state():
    workplace = Workplace(states=ClaimedByAnother())
    call = workplace.call()
    events = workplace.process(call)
    assert events[-1] == CallAbandoned(call.call_id)
    assert [e.stage for e in events if isinstance(e, StageStored)] == [
        Stage.CHANNEL_AUDIO,
        Stage.CALL_METRICS,
    ]
    assert workplace.states.states[call.call_id] is CallState.PROCESSING
    assert workplace.states.holders[call.call_id] == "run-2"
    assert workplace.states.errors == {}


def test_a_call_lost_before_its_failure_is_stored_is_abandoned():
    class Lost(InMemoryStates):
        def check(self, call_id: str, run_id: str) -> None:
            raise ClaimLost("gone")

    workplace = Workplace(splitter=ScriptedSplitter({"one": UnsupportedAudio("no")}), states=Lost())
    call = workplace.call()
    assert workplace.process(call) == [CallAbandoned(call.call_id)]


def test_the_temporary_folder_is_always_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing = Workplace(transcriber=ScriptedTranscriber({"one left": RuntimeError("boom")}))
    failing.process(failing.call())
    working = Workplace()
    working.process(working.call())
    assert list(tmp_path.iterdir()) == []


def test_an_unavailable_database_is_not_blamed_on_the_call():
    class Unreachable(InMemoryResults):
        def save_audio(self, *_: object, **__: object) -> None:
            raise DatabaseUnavailable("Postgres did not answer")

    class AlsoUnreachable(InMemoryStates):
        def fail(
            self, call_id: str, run_id: str, stage: str, error: CallpipelineError
        ) -> datetime | None:
            raise DatabaseUnavailable("Postgres did not answer")

    states = AlsoUnreachable()
    workplace = Workplace(states=states)
    call = workplace.call()

    async def process() -> None:
        processor = Processor(workplace.stages(Unreachable(states)), RUN)
        async for _ in processor.process(call, tuple(Stage)):
            raise AssertionError("no event is due")

    with pytest.raises(DatabaseUnavailable):
        asyncio.run(process())
    assert states.states[call.call_id] is CallState.PROCESSING
