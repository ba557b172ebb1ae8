"""Many calls at once."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.errors import CallpipelineError, DatabaseUnavailable, UnsupportedAudio
from callpipeline.pipeline.batch import process_calls
from callpipeline.pipeline.process import CallFailed, CallLinked, Processor, StageStored
from tests.fakes.engines import ScriptedSplitter
from tests.fakes.storage import InMemoryStates
from tests.fakes.workplace import RUN, Workplace


def test_a_call_that_fails_fails_alone():
    place = Workplace(splitter=ScriptedSplitter({"call-2": UnsupportedAudio("a picture")}))
    calls = [place.call(f"call-{number}") for number in range(5)]
    events = place.process(*calls)
    failed = [event.call_id for event in events if isinstance(event, CallFailed)]
    assert failed == [calls[2].call_id]
    states = [place.states.states[call.call_id] for call in calls]
    assert states.count(CallState.COMPLETED) == 4
    assert states[2] is CallState.FAILED
    assert sum(isinstance(event, StageStored) for event in events) == 4 * len(Stage)


def test_of_the_same_bytes_under_way_at_once_one_call_is_made():
    place = Workplace()
    calls = [place.call(f"copy-{number}", content="the same") for number in range(5)]
    events = place.process(*calls, concurrency=5)
    linked = [event for event in events if isinstance(event, CallLinked)]
    (first,) = {event.first for event in linked}
    assert sorted([first, *(event.call_id for event in linked)]) == sorted(c.call_id for c in calls)
    assert place.splitter.asked == ["the same"]


def test_as_many_calls_as_allowed_are_under_way_at_once_and_never_more():
    splitter = ScriptedSplitter(meets=3)
    place = Workplace(splitter=splitter)
    place.process(*[place.call(str(number)) for number in range(12)], concurrency=3)
    assert splitter.most_at_once == 3
    assert len(splitter.finished) == 12


def test_one_at_a_time_is_in_order():
    place = Workplace()
    calls = [place.call(str(number)) for number in range(4)]
    events = place.process(*calls, concurrency=1)
    assert [event.call_id for event in events] == [c.call_id for c in calls for _ in Stage]


def test_no_calls_are_no_events():
    assert Workplace().process() == []


def test_a_database_that_is_gone_ends_the_batch_instead_of_failing_every_call():
    class Gone(InMemoryStates):
        def complete(self, call_id: str, run_id: str) -> CallState:
            raise DatabaseUnavailable("Postgres did not answer")

        def fail(
            self, call_id: str, run_id: str, stage: str, error: CallpipelineError
        ) -> datetime | None:
            raise DatabaseUnavailable("Postgres did not answer")

    place = Workplace(states=Gone())
    calls = [place.call(str(number)) for number in range(6)]
    with pytest.raises(DatabaseUnavailable, match="Postgres did not answer"):
        place.process(*calls, concurrency=2)
    assert len(place.splitter.asked) < len(calls)


def test_a_panic_in_a_library_is_seen_as_itself():
    """As those of Rust: no Exception, so that nobody goes on after one by mistake."""

    class Panic(BaseException):
        pass

    class Panicking(InMemoryStates):
        def complete(self, call_id: str, run_id: str) -> CallState:
            raise Panic("called `unwrap` on nothing")

    place = Workplace(states=Panicking())
    with pytest.raises(Panic, match="unwrap"):
        place.process(*[place.call(str(number)) for number in range(3)], concurrency=2)


def test_whoever_stops_listening_stops_the_work():
    place = Workplace()
    calls = [place.call(str(number)) for number in range(20)]

    async def listen_once() -> None:
        processor = Processor(place.stages(), RUN)
        events = process_calls(processor, calls, tuple(Stage), concurrency=2)
        assert isinstance(events, AsyncGenerator)
        await anext(events)
        await events.aclose()

    asyncio.run(listen_once())
    assert len(place.splitter.asked) < len(calls)
