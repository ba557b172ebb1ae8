"""Recordings that came before: what becomes of them is up to their source."""

from callpipeline.domain.call import CallState, DuplicatePolicy, Stage
from callpipeline.errors import MissingObject
from callpipeline.pipeline.process import CallFailed, CallLinked
from tests.fakes.engines import ScriptedTranscriber
from tests.fakes.workplace import Workplace


def test_a_recording_that_came_before_is_linked_and_costs_nothing():
    place = Workplace()
    first, second = place.call("one"), place.call("copy", content="one")
    place.process(first)
    assert place.process(second) == [CallLinked(second.call_id, first.call_id)]
    assert place.splitter.asked == ["one"]
    assert place.states.states[second.call_id] is CallState.DUPLICATE
    assert second.call_id not in place.states.stages


def test_a_call_whose_bytes_became_those_of_another_is_linked_when_it_is_tried_again():
    """It failed after its audio was stored, and a second copy was processed meanwhile."""
    refused = {"one left": MissingObject("gone")}
    place = Workplace(transcriber=ScriptedTranscriber(refused))
    first = place.call("one")
    place.process(first)
    sha256 = next(iter(place.states.contents))
    place.transcriber = ScriptedTranscriber()
    second = place.call("copy", content="one")
    place.process(second)
    assert place.states.states[second.call_id] is CallState.COMPLETED
    again = place.call("one", done=[Stage.CHANNEL_AUDIO, Stage.CALL_METRICS], sha256=sha256)
    assert place.process(again) == [CallLinked(first.call_id, second.call_id)]
    assert place.states.states[first.call_id] is CallState.DUPLICATE
    assert first.call_id not in place.states.stages


def test_a_recording_that_came_before_fails_where_its_source_refuses_that():
    place = Workplace()
    first = place.call("one")
    second = place.call("copy", content="one", duplicates=DuplicatePolicy.REFUSE)
    place.process(first)
    (event,) = place.process(second)
    assert isinstance(event, CallFailed)
    assert (event.error_class, event.again_at) == ("DuplicateRecording", None)
    assert first.call_id in event.reason
    assert place.splitter.asked == ["one"]


def test_a_recording_that_came_before_is_a_call_like_any_other_where_its_source_wants_that():
    place = Workplace()
    second = place.call("copy", content="one", duplicates=DuplicatePolicy.PROCESS)
    place.process(place.call("one"))
    place.process(second)
    assert place.splitter.asked == ["one", "one"]
    assert place.states.states[second.call_id] is CallState.COMPLETED
