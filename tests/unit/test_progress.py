"""Where looking stands, as a cursor keeps it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callpipeline.domain.source import Source
from callpipeline.pipeline.progress import Progress, Sweep, recent_folders

SOURCE = Source("calls", "/calls")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
UNDER_WAY = Progress(
    everything=Sweep("b\ud83d\n.wav", began=7.0, took_s=1.5, listed=3),
    recent=Sweep(ended=99.5, rest_s=4.5, listed=7),
    newest_after="a'\"🎧.wav",
    doubtful={"2026-03-02-abc": 12.5},
)


def test_a_cursor_keeps_all_of_it():
    assert Progress.from_cursor(UNDER_WAY.to_cursor(SOURCE), SOURCE) == UNDER_WAY


@pytest.mark.parametrize(
    "cursor", [None, "", "{", "[]", "7", '"x"', "null", "{}", '{"version": 0}', "2026-03-02T00:00"]
)
def test_a_cursor_that_is_none_of_ours_begins_anew(cursor: str | None):
    assert Progress.from_cursor(cursor, SOURCE) == Progress()


def test_a_cursor_of_another_place_begins_anew():
    cursor = UNDER_WAY.to_cursor(SOURCE)
    assert Progress.from_cursor(cursor, Source("calls", "/moved")) == Progress()
    assert Progress.from_cursor(cursor, Source("calls", "/calls", day_folders="%Y")) == Progress()


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(["everything", "recent", "newest_after", "doubtful", "more"]), ANY_JSON)
def test_a_cursor_that_somebody_edited_is_kept_or_begins_anew(field: str, value: Any):
    cursor = json.loads(UNDER_WAY.to_cursor(SOURCE)) | {field: value}
    progress = Progress.from_cursor(json.dumps(cursor), SOURCE)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for sweep in (progress.everything, progress.recent):
        assert sweep.is_due(now) in (True, False)
        sweep.started(now).advanced("c", listed=1, took_s=1.0).finished(now)
    assert Progress.from_cursor(progress.to_cursor(SOURCE), SOURCE) == progress


def test_the_folders_of_days_are_those_by_either_clock():
    source = Source("calls", "/calls", timezone="Pacific/Auckland", day_folders="%Y-%m-%d")
    late = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)  # in Auckland it is the 3rd
    days = ["02-28", "03-01", "03-02", "03-03", "03-04"]
    assert recent_folders(source, late) == [f"2026-{day}" for day in days]


def test_a_folder_of_a_month_is_looked_into_once():
    source = Source("calls", "/calls", day_folders="%Y/%m")
    assert recent_folders(source, datetime(2026, 3, 15, tzinfo=UTC)) == ["2026/03"]


def test_a_clock_that_is_put_back_or_was_wrong_keeps_nothing_waiting():
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
