"""Call attributes parsed from the names of recordings."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callpipeline.domain.calls.sources import (
    MAX_SEARCHED_CHARS,
    MAX_VALUE_CHARS,
    CallAttributes,
    Source,
)
from callpipeline.storage.sources.patterns import compile_pattern

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
AT = datetime(2025, 2, 19, 6, 1, 22, tzinfo=UTC)


def attributes(
    pattern: str | None, key: str, timezone: str = "UTC", side: str = "left"
) -> CallAttributes:
    compiled = compile_pattern(pattern, "filename") if pattern else None
    return Source("calls", "/calls", compiled, timezone, side).call_attributes(key, now=NOW)


def started_at(text: str, timezone: str = "UTC") -> datetime | None:
    return attributes("(?P<started_at>.*)", text, timezone).started_at


def test_agent_and_time_in_a_file_name():
    name = "Auto0_GUID_000_AGENT_ChrisL_DT_2025-02-19T06-01-22_Mono.wav"
    parsed = attributes(r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)", name)
    assert parsed == CallAttributes({"agent": "ChrisL"}, AT, "left")


def test_folders_are_matched_too():
    pattern = r"^(?P<year>\d+)/(?P<month>\d+)/(?P<day>\d+)/agent-(?P<agent>\d+)/(?P<hour>\d\d)"
    parsed = attributes(pattern, "2025/2/19/agent-7/0601.wav", "Europe/Berlin")
    assert parsed == CallAttributes({"agent": "7"}, datetime(2025, 2, 19, 5, 0, tzinfo=UTC))


@pytest.mark.parametrize("key", ["other.wav", "", "AGENT__DT_"])
def test_a_name_that_does_not_match_has_no_metadata(key: str):
    pattern = r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)"
    assert attributes(pattern, key, side="right") == CallAttributes({}, None, "right")


def test_without_a_pattern_there_is_no_metadata():
    assert attributes(None, "AGENT_ChrisL.wav") == CallAttributes()


@pytest.mark.parametrize(
    "text",
    ["2025-02-19T06-01-22", "20250219-060122", "2025-02-19 06:01:22", "20250219060122",
     "2025_02_19_06_01_22", "2025.02.19 06.01.22", "20250219T060122Z", "2025/02/19T06:01:22",
     "2025-02-19T07:01:22+01:00", "2025-02-19T01-01-22-0500", "2025-02-19T06:01:22.987Z",
     "1739944882", "1739944882123", "1739944882.4711"],
)  # fmt: skip
def test_common_time_formats_are_parsed(text: str):
    assert started_at(text) == AT


@pytest.mark.parametrize(
    "text",
    ["١٧٣٩٩٤٤٨٨٢", "soon", "2025", "2025-02-30", "2025-13-01", "20250219256199", "02-19-2025",
     "12345", "1989-12-31", "2026-03-04", "9999999999", "99999999999999999999",
     "2025-02-19T06:01:22+99:00"],
)  # fmt: skip
def test_an_invalid_time_stays_as_text(text: str):
    parsed = attributes("(?P<started_at>.*)", text)
    assert (parsed.metadata, parsed.started_at) == ({"started_at": text}, None)


def test_a_time_up_to_a_day_ahead_is_accepted():
    assert started_at("2026-03-03") == NOW.replace(hour=0, minute=0) + timedelta(days=1)


def test_date_and_time_may_be_separate_groups():
    parsed = attributes(
        r"(?P<date>\d{8})_(?P<agent>\w+?)_(?P<time>\d{6})", "20250219_bo_060122.wav"
    )
    assert parsed == CallAttributes({"agent": "bo"}, AT)


def test_a_date_alone_is_the_start_of_the_day():
    assert attributes(r"(?P<date>\d{8})", "20250219.wav").started_at == datetime(
        2025, 2, 19, tzinfo=UTC
    )


def test_a_time_without_a_date_is_text():
    assert attributes(r"(?P<time>\d{6})", "060122.wav") == CallAttributes({"time": "060122"})


def test_a_local_time_is_in_the_sources_zone():
    assert started_at("2025-07-01 12:00", "America/New_York") == datetime(
        2025, 7, 1, 16, tzinfo=UTC
    )


def test_a_repeated_hour_is_its_first_occurrence():
    assert started_at("2025-10-26 02:30", "Europe/Berlin") == datetime(
        2025, 10, 26, 0, 30, tzinfo=UTC
    )


def test_a_skipped_hour_uses_the_offset_before_the_change():
    assert started_at("2025-03-30 02:30", "Europe/Berlin") == datetime(
        2025, 3, 30, 1, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "side"),
    [("left", "left"), ("L", "left"), ("0", "left"),
     ("Right", "right"), ("r", "right"), ("1", "right")],
)  # fmt: skip
def test_a_name_may_contain_the_agent_channel(text: str, side: str):
    parsed = attributes("_(?P<agent_channel>[^.]+)", f"call_{text}.wav", side="right")
    assert parsed == CallAttributes({}, None, side)


def test_an_unknown_channel_stays_as_text():
    parsed = attributes("_(?P<agent_channel>[^.]+)", "call_mono.wav", side="right")
    assert parsed == CallAttributes({"agent_channel": "mono"}, None, "right")


@pytest.mark.parametrize(
    ("text", "direction"),
    [("IN", "inbound"), ("Outgoing", "outbound"), ("inbound", "inbound"), ("internal", "internal")],
)
def test_the_direction_is_normalised(text: str, direction: str):
    assert attributes("(?P<direction>[A-Za-z]+)", text).metadata == {"direction": direction}


def test_values_are_cleaned():
    parsed = attributes(
        "(?s)(?P<agent>.+)-(?P<team> *)-", " \x00\u202eChris\u200b\n\udcff -  -"
    ).metadata
    assert parsed == {"agent": "Chris"}
    assert attributes("(?P<agent>.+)", "x" * 1000).metadata == {"agent": "x" * MAX_VALUE_CHARS}


def test_only_the_end_of_a_long_key_is_searched():
    assert attributes("(?P<first>.)", "a" + "b" * MAX_SEARCHED_CHARS).metadata == {"first": "b"}


PATTERN = (
    r"(?s)(?P<agent>.*)[_/](?P<started_at>.*)[_/](?P<direction>.*)[_/](?P<agent_channel>.*)"
    r"|(?P<year>.+)-(?P<month>.+)-(?P<day>.+)-(?P<hour>.+)|(?P<date>\d+)(?P<time>.*)"
)


@given(st.text(st.characters(exclude_categories=[]), max_size=1024))
@example("a_9999-12-31T23:59:59-23:59_in_l")
@example("0001-01-01-00")
@example("２０２５-02-19-06")
def test_values_of_any_key_can_be_stored(key: str):
    parsed = attributes(PATTERN, key, "Pacific/Auckland")
    assert parsed.agent_channel in ("left", "right")
    assert parsed.started_at is None or parsed.started_at.tzinfo is UTC
    for value in parsed.metadata.values():
        assert value.encode()
        assert "\0" not in value
        assert 0 < len(value) <= MAX_VALUE_CHARS
