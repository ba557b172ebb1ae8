"""The discovery cursor and its sweeps."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callpipeline.domain.calls.sources import Source
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor, Sweep, recent_folders

SOURCE = Source("calls", "/calls")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
IN_PROGRESS = DiscoveryCursor(
    full_sweep=Sweep("b\ud83d\n.wav", began=7.0, took_s=1.5, listed=3),
    recent_sweep=Sweep(ended=99.5, rest_s=4.5, listed=7),
    newest_after="a'\"🎧.wav",
    future_dated={"2026-03-02-abc": 12.5},
)


def test_a_cursor_survives_json():
    assert DiscoveryCursor.from_json(IN_PROGRESS.to_json(SOURCE), SOURCE) == IN_PROGRESS


@pytest.mark.parametrize(
    "cursor", [None, "", "{", "[]", "7", '"x"', "null", "{}", '{"version": 0}', "2026-03-02T00:00"]
)
def test_an_invalid_cursor_starts_over(cursor: str | None):
    assert DiscoveryCursor.from_json(cursor, SOURCE) == DiscoveryCursor()


def test_a_cursor_of_another_source_starts_over():
    cursor = IN_PROGRESS.to_json(SOURCE)
    assert DiscoveryCursor.from_json(cursor, Source("calls", "/moved")) == DiscoveryCursor()
    assert (
        DiscoveryCursor.from_json(cursor, Source("calls", "/calls", day_folders="%Y"))
        == DiscoveryCursor()
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(["full_sweep", "recent_sweep", "newest_after", "future_dated", "more"]),
    ANY_JSON,
)
def test_an_edited_cursor_is_used_or_starts_over(field: str, value: Any):
    cursor = json.loads(IN_PROGRESS.to_json(SOURCE)) | {field: value}
    parsed = DiscoveryCursor.from_json(json.dumps(cursor), SOURCE)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for sweep in (parsed.full_sweep, parsed.recent_sweep):
        assert sweep.is_due(now) in (True, False)
        sweep.started(now).advanced("c", listed=1, took_s=1.0).finished(now)
    assert DiscoveryCursor.from_json(parsed.to_json(SOURCE), SOURCE) == parsed


def test_day_folders_follow_the_clock_of_the_source_and_utc():
    source = Source("calls", "/calls", timezone="Pacific/Auckland", day_folders="%Y-%m-%d")
    late = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)  # in Auckland it is the 3rd
    days = ["02-28", "03-01", "03-02", "03-03", "03-04"]
    assert recent_folders(source, late) == [f"2026-{day}" for day in days]


def test_a_monthly_folder_is_listed_once():
    source = Source("calls", "/calls", day_folders="%Y/%m")
    assert recent_folders(source, datetime(2026, 3, 15, tzinfo=UTC)) == ["2026/03"]


def test_a_clock_that_was_set_back_does_not_delay_a_sweep():
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    rested = Sweep(began=now.timestamp(), took_s=60.0).finished(now)
    assert not rested.is_due(now + timedelta(minutes=8))
    assert rested.is_due(now + timedelta(minutes=9))
    assert rested.is_due(now - timedelta(hours=2))
    assert rested.is_due(now.replace(year=2020))


def test_no_sweep_rests_for_more_than_a_day():
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    rested = Sweep(began=now.timestamp(), took_s=1e9).finished(now)
    assert rested.is_due(now + timedelta(days=1))
