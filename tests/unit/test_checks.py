"""Rules of the quality checks, at and around each threshold."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Flag
from callpipeline.domain.notifications import Severity
from callpipeline.pipeline.quality import check_rules as checks
from callpipeline.pipeline.quality.check_rules import (
    MIN_SAMPLE,
    CheckContext,
    CheckResult,
    CheckTable,
    CheckThresholds,
)
from callpipeline.pipeline.quality.checks import CHECKS

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CONTEXT = CheckContext(NOW, 24.0)
A_CALL = "2026-03-02-0123456789ab"
LIMITS = CheckThresholds(0.02, 0.1)


def status(result: CheckResult) -> str:
    return "passed" if result.passed else result.severity.value


def counted(checked: int, found: int, **other: Any) -> dict[str, Any]:
    return {"looked": checked, "found": found, "newest": [], **other}


# Shares

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
limits = st.builds(
    lambda warning, more: CheckThresholds(warning, None if more is None else warning + more),
    st.floats(0, 1),
    st.none() | st.floats(0, 1),
)
RANK = {None: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@given(counts, limits)
def test_more_defects_are_never_less_severe(
    count: tuple[int, int], limits: CheckThresholds
) -> None:
    found, checked = count
    ranks = [RANK[limits.severity(n, checked)] for n in range(found + 1)]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


@given(st.integers(0, MIN_SAMPLE - 1).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_few_calls_are_never_an_error(count: tuple[int, int]) -> None:
    assert LIMITS.severity(*count) is not Severity.ERROR


@given(st.integers(1, 10_000))
def test_a_threshold_is_exceeded_by_one(hundreds: int) -> None:
    checked = hundreds * 100
    assert LIMITS.severity(hundreds * 2, checked) is None
    assert LIMITS.severity(hundreds * 2 + 1, checked) is Severity.WARNING
    assert LIMITS.severity(hundreds * 10, checked) is Severity.WARNING
    assert LIMITS.severity(hundreds * 10 + 1, checked) is Severity.ERROR


@pytest.mark.parametrize(
    ("checked", "found", "expected"),
    [
        (0, 0, "passed"),
        (3, 0, "passed"),
        (3, 1, "warning"),
        (19, 19, "warning"),
        (20, 2, "warning"),
        (20, 3, "error"),
        (1000, 10, "passed"),
        (1000, 11, "warning"),
        (1000, 101, "error"),
    ],
)
def test_severity_of_wordless_speech(checked: int, found: int, expected: str) -> None:
    result = checks.speech_has_words(counted(checked, found), CONTEXT)
    assert status(result) == expected
    assert result.is_alarm == (expected == "error")


def test_a_result_says_how_many_and_what_to_do() -> None:
    newest = [{"call_id": A_CALL, "channel": "left", "speech_s": 7.04999, "words": 0}]
    result = checks.speech_has_words(counted(3, 1) | {"newest": newest}, CONTEXT)
    assert result.description.startswith("1 of 3 calls transcribed in the last 24 hours have a")
    assert "33.33 %. Listen to one" in result.description
    assert result.metadata["calls"] == 3
    assert result.metadata["found"] == 1
    assert result.metadata["percent"] == 33.33
    assert result.metadata["newest"] == CheckTable(
        ("call", "channel", "speech s", "words"), ((A_CALL, "left", 7.05, 0),)
    )


def test_a_usual_share_passes_and_is_listed() -> None:
    newest = [{"call_id": A_CALL, "channel": "left", "speech_s": 7.0, "words": 0}]
    result = checks.speech_has_words(counted(1000, 1) | {"newest": newest}, CONTEXT)
    assert result.passed
    assert result.description.endswith("not one word: no more than the usual 1%.")
    assert A_CALL in str(result.metadata["newest"])


def test_a_day_without_calls_passes() -> None:
    result = checks.words_keep_up_with_speech(counted(0, 0), CONTEXT)
    assert result.passed
    assert result.description == "No calls in the last 24 hours."


@pytest.mark.parametrize(
    ("checked", "found", "expected"),
    [(100, 5, "passed"), (100, 6, "warning"), (100, 25, "warning"), (100, 26, "error")],
)
def test_severity_of_lost_speech(checked: int, found: int, expected: str) -> None:
    result = checks.all_speech_is_transcribed(counted(checked, found), CONTEXT)
    assert status(result) == expected


def test_lost_speech_is_listed_with_what_to_do() -> None:
    lost = {"call_id": A_CALL, "channel": "left", "engine": "x", "unheard_s": 43.04999, "words": 2}
    result = checks.all_speech_is_transcribed(counted(3, 1) | {"newest": [lost]}, CONTEXT)
    assert "33.33 %. Listen to one where its transcript has a gap" in result.description
    assert result.metadata["newest"] == CheckTable(
        ("call", "channel", "engine", "unheard s", "words"), ((A_CALL, "left", "x", 43.05, 2),)
    )


def test_unreliable_transcripts_only_warn() -> None:
    result = checks.transcripts_are_reliable(counted(100, 100, confidence=0.4123), CONTEXT)
    assert status(result) == "warning"
    assert result.metadata["mean_confidence"] == 0.412
    usual = checks.transcripts_are_reliable(counted(100, 10, confidence=None), CONTEXT)
    assert status(usual) == "passed"
    assert "mean_confidence" not in usual.metadata


# Recordings


ABOUT_FILES_BESIDE = {
    Flag.REPAIRED_TRANSCRIPT,
    Flag.UNREADABLE_TRANSCRIPT,
    Flag.UNREADABLE_METADATA,
}


def test_every_flag_of_audio_but_mono_is_a_defect() -> None:
    assert set(checks.DEFECTS) == set(Flag) - {Flag.MONO} - ABOUT_FILES_BESIDE
    assert set(checks.SEVERE_DEFECTS) < set(checks.DEFECTS)


def test_clipping_is_a_warning_and_silence_an_error() -> None:
    clipped = counted(100, 60, grave=0, flags={"clipped": 60, "mono": 100})
    silent = counted(100, 60, grave=26, flags={"clipped": 34, "silent": 26})
    assert status(checks.recordings_are_sound(clipped, CONTEXT)) == "warning"
    result = checks.recordings_are_sound(silent, CONTEXT)
    assert status(result) == "error"
    assert "(26 silent, 34 clipped)" in result.description
    assert result.metadata["silent"] == 26
    assert result.metadata["truncated"] == 0
    assert "mono" not in result.metadata


# Failures


def failures(checked: int, found: int, otherwise: int) -> CheckResult:
    return checks.few_calls_fail(counted(checked, found, otherwise=otherwise, reasons=[]), CONTEXT)


def test_unavailable_engines_are_an_error_without_a_notification() -> None:
    """They are notified as `engine_down`."""
    unavailable, others = failures(100, 30, otherwise=0), failures(100, 30, otherwise=11)
    assert status(unavailable) == status(others) == "error"
    assert not unavailable.is_alarm
    assert others.is_alarm


def test_failures_of_few_calls_are_a_warning() -> None:
    assert status(failures(3, 1, otherwise=1)) == "warning"
    assert status(failures(3, 3, otherwise=3)) == "warning"


# Arrivals


def test_missing_recordings_are_a_warning_without_a_notification() -> None:
    on_time = {"created_at": NOW - timedelta(hours=24)}
    late = {"created_at": NOW - timedelta(hours=24, seconds=1)}
    assert checks.recordings_keep_arriving(on_time, CONTEXT).passed
    result = checks.recordings_keep_arriving(late, CONTEXT)
    assert status(result) == "warning"
    assert not result.should_notify
    assert checks.recordings_keep_arriving(late, CheckContext(NOW)).passed
    assert checks.recordings_keep_arriving({"created_at": None}, CONTEXT).passed


def test_the_newest_recording_is_shown_in_the_zone_of_days() -> None:
    in_auckland = CheckContext(NOW, 24.0, ZoneInfo("Pacific/Auckland"))
    for context, shown in {CONTEXT: "09:30 UTC", in_auckland: "22:30 Pacific/Auckland"}.items():
        result = checks.recordings_keep_arriving({"created_at": NOW}, context)
        assert result.metadata["newest"] == f"2026-03-02 {shown}"


@pytest.mark.parametrize(
    ("found", "minutes", "expected"),
    [(0, 14, "passed"), (1, 16, "warning"), (1, 60, "warning"), (1, 61, "error")],
)
def test_live_calls_wait_at_most_a_quarter_of_an_hour(
    found: int, minutes: int, expected: str
) -> None:
    row = counted(2, found, oldest_at=NOW - timedelta(minutes=minutes))
    result = checks.live_calls_do_not_wait(row, CONTEXT)
    assert status(result) == expected
    assert result.metadata["longest_min"] == minutes


def test_no_waiting_call_passes() -> None:
    result = checks.live_calls_do_not_wait(counted(0, 0, oldest_at=None), CONTEXT)
    assert result.passed
    assert result.metadata["longest_min"] == 0.0


# Competitors


@pytest.mark.parametrize(
    ("calls", "found", "expected"), [(99, 2, "passed"), (100, 2, "warning"), (100, 0, "passed")]
)
def test_too_few_calls_pass(calls: int, found: int, expected: str) -> None:
    names = [{"name": "Sky", "heard_at": None}, {"name": "BT", "heard_at": "2026-01-01"}][:found]
    row = {"looked": 9, "found": found, "calls": calls, "names": names}
    assert status(checks.every_competitor_is_named_now_and_then(row, CONTEXT)) == expected


# All checks


def test_names_are_statements_and_descriptions_are_sentences() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.name.count("_") >= 2
        assert check.description[0].isupper()
        assert check.description.endswith(".")
