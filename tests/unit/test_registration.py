"""Registration of recordings: attributes from their names, and their lane."""

from datetime import UTC, datetime, timedelta

import pytest

from callpipeline.domain.calls.call import DuplicatePolicy, Lane, Registration
from callpipeline.domain.calls.sources import Source
from callpipeline.pipeline.ingest.registration import LIVE_BURST, register
from callpipeline.storage.sources.patterns import compile_pattern
from tests.builders import a_recording
from tests.fakes.storage import InMemoryRegistry

PLAIN = Source("calls", "/calls")


def registered(
    source: Source, count: int = 1, age: timedelta = timedelta(), *, lane: Lane | None = None
) -> list[Registration]:
    """Register recordings of an age, and return the registrations."""
    registry = InMemoryRegistry()
    written = datetime.now(UTC) - age
    found = [a_recording(f"AGENT_Bo_{n}.wav", last_modified=written) for n in range(count)]
    register(registry, source, found, lane=lane)
    return list(registry.registrations.values())


def lanes(*registrations: Registration) -> set[Lane]:
    return {each.lane for each in registrations}


def test_attributes_come_from_the_source_and_the_name():
    pattern = compile_pattern("AGENT_(?P<agent>[^_]+)", "filename")
    source = Source(
        "calls", "/calls", pattern, agent_channel="right", duplicates=DuplicatePolicy.REFUSE
    )
    [one] = registered(source)
    assert (one.metadata, one.agent_channel) == ({"agent": "Bo"}, "right")
    assert one.duplicates is DuplicatePolicy.REFUSE


@pytest.mark.parametrize(
    ("count", "age", "lane"),
    [
        (1, timedelta(minutes=59), Lane.LIVE),
        (1, timedelta(minutes=61), Lane.BULK),
        (LIVE_BURST, timedelta(), Lane.LIVE),
        (LIVE_BURST + 1, timedelta(), Lane.BULK),
    ],
)
def test_live_calls_do_not_wait_behind_a_backlog(count: int, age: timedelta, lane: Lane):
    assert lanes(*registered(PLAIN, count, age)) == {lane}


def test_a_source_sets_the_lane_unless_the_caller_does():
    archive = Source("archive", "/archive", lane=Lane.BULK)
    assert lanes(*registered(archive)) == {Lane.BULK}
    assert lanes(*registered(archive, lane=Lane.LIVE)) == {Lane.LIVE}
