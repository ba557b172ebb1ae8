"""Processing of many calls at once."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import pytest

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.errors import CallpipelineError, DatabaseUnavailable, UnsupportedAudio
from callpipeline.pipeline.processing.processor import (
    CallFailed,
    CallLinked,
    Processor,
    StageStored,
    process_calls,
)
from tests.fakes.engines import ScriptedSplitter
from tests.fakes.storage import InMemoryStates
from tests.fakes.workplace import RUN, Workplace


def test_a_failing_call_does_not_affect_the_others():
    workplace = Workplace(splitter=ScriptedSplitter({"call-2": UnsupportedAudio("a picture")}))
    calls = [workplace.call(f"call-{number}") for number in range(5)]
    events = workplace.process(*calls)
    failed = [event.call_id for event in events if isinstance(event, CallFailed)]
    assert failed == [calls[2].call_id]
    states = [workplace.states.states[call.call_id] for call in calls]
    assert states.count(CallState.COMPLETED) == 4
    assert states[2] is CallState.FAILED
    assert sum(isinstance(event, StageStored) for event in events) == 4 * len(Stage)


def test_the_same_content_in_progress_at_once_becomes_one_call():
    workplace = Workplace()
    calls = [workplace.call(f"copy-{number}", content="the same") for number in range(5)]
    events = workplace.process(*calls, concurrency=5)
    linked = [event for event in events if isinstance(event, CallLinked)]
    (first,) = {event.first for event in linked}
    assert sorted([first, *(event.call_id for event in linked)]) == sorted(c.call_id for c in calls)
    assert workplace.splitter.asked == ["the same"]


def test_concurrency_reaches_the_limit_and_never_exceeds_it():
    splitter = ScriptedSplitter(meets=3)
    workplace = Workplace(splitter=splitter)
    workplace.process(*[workplace.call(str(number)) for number in range(12)], concurrency=3)
    assert splitter.most_at_once == 3
    assert len(splitter.finished) == 12


def test_without_concurrency_calls_are_processed_in_order():
    workplace = Workplace()
    calls = [workplace.call(str(number)) for number in range(4)]
    events = workplace.process(*calls, concurrency=1)
    assert [event.call_id for event in events] == [c.call_id for c in calls for _ in Stage]


def test_no_calls_give_no_events():
    assert Workplace().process() == []


def test_an_unavailable_database_ends_the_batch_instead_of_failing_every_call():
    class Unavailable(InMemoryStates):
        def complete(self, call_id: str, run_id: str) -> CallState:
            raise DatabaseUnavailable("Postgres did not answer")

        def fail(
            self, call_id: str, run_id: str, stage: str, error: CallpipelineError
        ) -> datetime | None:
            raise DatabaseUnavailable("Postgres did not answer")

    workplace = Workplace(states=Unavailable())
    calls = [workplace.call(str(number)) for number in range(6)]
    with pytest.raises(DatabaseUnavailable, match="Postgres did not answer"):
        workplace.process(*calls, concurrency=2)
    assert len(workplace.splitter.asked) < len(calls)


def test_a_panic_in_a_library_is_raised_as_itself():
    """A Rust panic is a BaseException, so that no handler continues after it by mistake."""

    class Panic(BaseException):
        pass

    class Panicking(InMemoryStates):
        def complete(self, call_id: str, run_id: str) -> CallState:
            raise Panic("called `unwrap` on nothing")

    workplace = Workplace(states=Panicking())
    with pytest.raises(Panic, match="unwrap"):
        workplace.process(*[workplace.call(str(number)) for number in range(3)], concurrency=2)


def test_closing_the_generator_stops_the_work():
    workplace = Workplace()
    calls = [workplace.call(str(number)) for number in range(20)]

    async def read_one_event() -> None:
        processor = Processor(workplace.stages(), RUN)
        events = process_calls(processor, calls, tuple(Stage), concurrency=2)
        assert isinstance(events, AsyncGenerator)
        await anext(events)
        await events.aclose()

    asyncio.run(read_one_event())
    assert len(workplace.splitter.asked) < len(calls)
