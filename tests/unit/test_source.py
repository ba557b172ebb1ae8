"""What the name of a recording tells of its call."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callpipeline.domain.source import LONGEST_VALUE, SEARCHED, CallFacts, Source

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
AT = datetime(2025, 2, 19, 6, 1, 22, tzinfo=UTC)


def facts(pattern: str | None, key: str, timezone: str = "UTC", side: str = "left") -> CallFacts:
    return Source("calls", "/calls", pattern, timezone, side).facts_of(key, now=NOW)


def time_in(text: str, timezone: str = "UTC") -> datetime | None:
    return facts("(?P<started_at>.*)", text, timezone).started_at


def test_agent_and_time_of_a_recorders_name():
    name = "Auto0_GUID_000_AGENT_ChrisL_DT_2025-02-19T06-01-22_Mono.wav"
    told = facts(r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)", name)
    assert told == CallFacts({"agent": "ChrisL"}, AT, "left")


def test_folders_tell_as_well():
    pattern = r"^(?P<year>\d+)/(?P<month>\d+)/(?P<day>\d+)/agent-(?P<agent>\d+)/(?P<hour>\d\d)"
    told = facts(pattern, "2025/2/19/agent-7/0601.wav", "Europe/Berlin")
    assert told == CallFacts({"agent": "7"}, datetime(2025, 2, 19, 5, 0, tzinfo=UTC))


@pytest.mark.parametrize("key", ["other.wav", "", "AGENT__DT_"])
def test_a_name_that_does_not_match_tells_nothing(key: str):
    pattern = r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)"
    assert facts(pattern, key, side="right") == CallFacts({}, None, "right")


def test_without_a_pattern_nothing_is_told():
    assert facts(None, "AGENT_ChrisL.wav") == CallFacts()


@pytest.mark.parametrize(
    "text",
    ["2025-02-19T06-01-22", "20250219-060122", "2025-02-19 06:01:22", "20250219060122",
     "2025_02_19_06_01_22", "2025.02.19 06.01.22", "20250219T060122Z", "2025/02/19T06:01:22",
     "2025-02-19T07:01:22+01:00", "2025-02-19T01-01-22-0500", "2025-02-19T06:01:22.987Z",
     "1739944882", "1739944882123", "1739944882.4711"],
)  # fmt: skip
def test_a_time_is_read_as_recorders_write_it(text: str):
    assert time_in(text) == AT


@pytest.mark.parametrize(
    "text",
    ["١٧٣٩٩٤٤٨٨٢", "soon", "2025", "2025-02-30", "2025-13-01", "20250219256199", "02-19-2025",
     "12345", "1989-12-31", "2026-03-04", "9999999999", "99999999999999999999",
     "2025-02-19T06:01:22+99:00"],
)  # fmt: skip
def test_a_time_that_makes_no_sense_stays_as_text(text: str):
    told = facts("(?P<started_at>.*)", text)
    assert (told.metadata, told.started_at) == ({"started_at": text}, None)


def test_a_clock_that_is_a_day_ahead_is_believed():
    assert time_in("2026-03-03") == NOW.replace(hour=0, minute=0) + timedelta(days=1)


def test_date_and_time_may_be_told_apart():
    told = facts(r"(?P<date>\d{8})_(?P<agent>\w+?)_(?P<time>\d{6})", "20250219_bo_060122.wav")
    assert told == CallFacts({"agent": "bo"}, AT)


def test_a_date_alone_is_the_beginning_of_that_day():
    assert facts(r"(?P<date>\d{8})", "20250219.wav").started_at == datetime(2025, 2, 19, tzinfo=UTC)


def test_a_time_without_a_date_is_text():
    assert facts(r"(?P<time>\d{6})", "060122.wav") == CallFacts({"time": "060122"})


def test_a_local_time_is_in_the_sources_zone():
    assert time_in("2025-07-01 12:00", "America/New_York") == datetime(2025, 7, 1, 16, tzinfo=UTC)


def test_of_an_hour_that_comes_twice_it_is_the_first():
    assert time_in("2025-10-26 02:30", "Europe/Berlin") == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


def test_a_time_that_the_change_leaves_out_is_read_by_the_clock_before():
    assert time_in("2025-03-30 02:30", "Europe/Berlin") == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "side"),
    [("left", "left"), ("L", "left"), ("0", "left"),
     ("Right", "right"), ("r", "right"), ("1", "right")],
)  # fmt: skip
def test_a_name_may_tell_the_agents_side(text: str, side: str):
    told = facts("_(?P<agent_channel>[^.]+)", f"call_{text}.wav", side="right")
    assert told == CallFacts({}, None, side)


def test_a_side_that_is_none_stays_as_text():
    told = facts("_(?P<agent_channel>[^.]+)", "call_mono.wav", side="right")
    assert told == CallFacts({"agent_channel": "mono"}, None, "right")


@pytest.mark.parametrize(
    ("text", "direction"),
    [("IN", "inbound"), ("Outgoing", "outbound"), ("inbound", "inbound"), ("internal", "internal")],
)
def test_the_direction_is_told_in_one_word(text: str, direction: str):
    assert facts("(?P<direction>[A-Za-z]+)", text).metadata == {"direction": direction}


def test_values_are_fit_to_be_shown_and_stored():
    told = facts("(?s)(?P<agent>.+)-(?P<team> *)-", " \x00\u202eChris\u200b\n\udcff -  -").metadata
    assert told == {"agent": "Chris"}
    assert facts("(?P<agent>.+)", "x" * 1000).metadata == {"agent": "x" * LONGEST_VALUE}


def test_of_a_long_key_the_end_is_searched():
    assert facts("(?P<first>.)", "a" + "b" * SEARCHED).metadata == {"first": "b"}


PATTERN = (
    r"(?s)(?P<agent>.*)[_/](?P<started_at>.*)[_/](?P<direction>.*)[_/](?P<agent_channel>.*)"
    r"|(?P<year>.+)-(?P<month>.+)-(?P<day>.+)-(?P<hour>.+)|(?P<date>\d+)(?P<time>.*)"
)


@given(st.text(st.characters(exclude_categories=[]), max_size=1024))
@example("a_9999-12-31T23:59:59-23:59_in_l")
@example("0001-01-01-00")
@example("２０２５-02-19-06")
def test_any_key_tells_something_that_can_be_stored(key: str):
    told = facts(PATTERN, key, "Pacific/Auckland")
    assert told.agent_channel in ("left", "right")
    assert told.started_at is None or told.started_at.tzinfo is UTC
    for value in told.metadata.values():
        assert value.encode()
        assert "\0" not in value
        assert 0 < len(value) <= LONGEST_VALUE
