"""Contract of content registries: the fake and Postgres."""

from dataclasses import replace

from callpipeline.domain.calls.call import DuplicatePolicy, RegisteredCall, Registration
from callpipeline.storage.ports.calls import ContentRegistry
from tests.builders import a_recording

ONE, TWO = a_recording("one.wav"), a_recording("two.wav")


def new_call_ids(*registrations: RegisteredCall) -> set[str]:
    return {each.call_id for each in registrations if each.is_new}


def test_a_registered_recording_is_not_unknown(registry: ContentRegistry):
    assert registry.register([Registration(ONE)]) == [RegisteredCall(ONE.call_id, is_new=True)]
    assert registry.unknown([ONE, TWO]) == [TWO]
    assert registry.unknown([]) == []


def test_a_recording_registered_again_is_not_new(registry: ContentRegistry):
    registry.register([Registration(ONE)])
    both = [Registration(ONE), Registration(TWO)]
    assert new_call_ids(*registry.register(both)) == {TWO.call_id}
    assert new_call_ids(*registry.register(both)) == set()
    assert {each.call_id for each in registry.register(both)} == {ONE.call_id, TWO.call_id}


def test_registering_nothing_returns_nothing(registry: ContentRegistry):
    assert registry.register([]) == []


def test_an_overwritten_object_is_another_recording(registry: ContentRegistry):
    registry.register([Registration(ONE)])
    overwritten = a_recording("one.wav", etag="2-def")
    assert registry.unknown([overwritten]) == [overwritten]
    assert new_call_ids(*registry.register([Registration(overwritten)])) == {overwritten.call_id}


def test_an_unchanged_object_with_another_date_is_the_same_call(registry: ContentRegistry):
    registry.register([Registration(ONE)])
    touched = replace(ONE, last_modified=ONE.last_modified.replace(year=2027))
    assert touched.call_id != ONE.call_id
    [again] = registry.register([Registration(touched)])
    assert again == RegisteredCall(ONE.call_id, is_new=False)


def test_a_call_is_found_by_its_content(registry: ContentRegistry):
    assert registry.call_of_content("aa") is None
    registry.register([Registration(ONE, sha256="aa")])
    assert registry.call_of_content("aa") == ONE.call_id


def test_the_same_bytes_under_another_name_are_a_duplicate(registry: ContentRegistry):
    registry.register([Registration(ONE, sha256="aa")])
    [second] = registry.register([Registration(TWO, sha256="aa")])
    assert second == RegisteredCall(TWO.call_id, is_new=True, duplicate_of=ONE.call_id)
    [again] = registry.register([Registration(TWO, sha256="aa")])
    assert again == replace(second, is_new=False)
    assert registry.call_of_content("aa") == ONE.call_id


def test_the_same_bytes_are_a_separate_call_if_the_policy_says_so(
    registry: ContentRegistry,
):
    registry.register([Registration(ONE, sha256="aa")])
    other = Registration(TWO, sha256="aa", duplicates=DuplicatePolicy.PROCESS)
    assert registry.register([other]) == [RegisteredCall(TWO.call_id, is_new=True)]
