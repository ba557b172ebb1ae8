"""How recordings are entered: with what their names tell, and into which lane."""

from datetime import UTC, datetime, timedelta

import pytest

from callpipeline.domain.call import DuplicatePolicy, Lane, Registration
from callpipeline.domain.source import Source
from callpipeline.pipeline.registration import LIVE_BURST, register
from tests.builders import a_recording
from tests.fakes.storage import InMemoryRegistry

PLAIN = Source("calls", "/calls")


def entered(
    source: Source, count: int = 1, age: timedelta = timedelta(), *, lane: Lane | None = None
) -> list[Registration]:
    """What is entered of recordings that are so old."""
    registry = InMemoryRegistry()
    written = datetime.now(UTC) - age
    found = [a_recording(f"AGENT_Bo_{n}.wav", last_modified=written) for n in range(count)]
    register(registry, source, found, lane=lane)
    return list(registry.registrations.values())


def lanes(*entered: Registration) -> set[Lane]:
    return {each.lane for each in entered}


def test_what_the_source_and_the_name_tell_is_entered():
    source = Source(
        "calls", "/calls", r"AGENT_(?P<agent>[^_]+)", agent_channel="right",
        duplicates=DuplicatePolicy.REFUSE,
    )  # fmt: skip
    [one] = entered(source)
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
def test_calls_of_today_do_not_wait_behind_a_backlog(count: int, age: timedelta, lane: Lane):
    assert lanes(*entered(PLAIN, count, age)) == {lane}


def test_a_source_may_have_a_lane_of_its_own_and_who_asks_another():
    archive = Source("archive", "/archive", lane=Lane.BULK)
    assert lanes(*entered(archive)) == {Lane.BULK}
    assert lanes(*entered(archive, lane=Lane.LIVE)) == {Lane.LIVE}
