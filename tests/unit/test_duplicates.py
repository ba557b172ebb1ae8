"""Duplicate recordings, by the policy of their source."""

from callpipeline.domain.calls.call import CallState, DuplicatePolicy, Stage
from callpipeline.errors import MissingObject
from callpipeline.pipeline.processing.processor import CallFailed, CallLinked
from tests.fakes.engines import ScriptedTranscriber
from tests.fakes.workplace import Workplace


def test_a_duplicate_is_linked_without_processing():
    place = Workplace()
    first, second = place.call("one"), place.call("copy", content="one")
    place.process(first)
    assert place.process(second) == [CallLinked(second.call_id, first.call_id)]
    assert place.splitter.asked == ["one"]
    assert place.states.states[second.call_id] is CallState.DUPLICATE
    assert second.call_id not in place.states.stages


def test_a_retried_call_is_linked_if_a_copy_was_processed_meanwhile():
    """The call failed after its audio was stored, and a copy was processed before the retry."""
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


def test_a_duplicate_fails_if_its_source_refuses_duplicates():
    place = Workplace()
    first = place.call("one")
    second = place.call("copy", content="one", duplicates=DuplicatePolicy.REFUSE)
    place.process(first)
    (event,) = place.process(second)
    assert isinstance(event, CallFailed)
    assert (event.error_class, event.retry_at) == ("DuplicateRecording", None)
    assert first.call_id in event.reason
    assert place.splitter.asked == ["one"]


def test_a_duplicate_is_processed_if_its_source_allows_it():
    place = Workplace()
    second = place.call("copy", content="one", duplicates=DuplicatePolicy.PROCESS)
    place.process(place.call("one"))
    place.process(second)
    assert place.splitter.asked == ["one", "one"]
    assert place.states.states[second.call_id] is CallState.COMPLETED
