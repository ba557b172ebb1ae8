"""How recordings are entered: the fake and Postgres."""

from callpipeline.pipeline.ingest import ContentRegistry
from tests.builders import a_recording

ONE, TWO = a_recording("one.wav"), a_recording("two.wav")


def test_what_is_registered_is_known(registry: ContentRegistry):
    assert registry.register([ONE]) == [ONE.call_id]
    assert registry.unknown([ONE, TWO]) == [TWO]
    assert registry.unknown([]) == []


def test_registered_again_is_not_new(registry: ContentRegistry):
    registry.register([ONE])
    assert registry.register([ONE, TWO]) == [TWO.call_id]
    assert registry.register([ONE, TWO]) == []


def test_an_object_that_was_overwritten_is_another_recording(registry: ContentRegistry):
    registry.register([ONE])
    overwritten = a_recording("one.wav", etag="2-def")
    assert registry.unknown([overwritten]) == [overwritten]
    assert registry.register([overwritten]) == [overwritten.call_id]


def test_a_call_is_found_by_its_content(registry: ContentRegistry):
    assert registry.call_of_content("aa") is None
    registry.register([ONE], sha256="aa")
    assert registry.call_of_content("aa") == ONE.call_id


def test_content_is_remembered_of_a_recording_that_a_sensor_entered_first(
    registry: ContentRegistry,
):
    registry.register([ONE])
    assert registry.register([ONE], sha256="aa") == []
    assert registry.call_of_content("aa") == ONE.call_id
