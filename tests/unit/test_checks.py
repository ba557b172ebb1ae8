"""What the checks decide of counts: when they pass, warn and fail, at and around each limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Flag
from callpipeline.domain.notification import Severity
from callpipeline.pipeline import checks
from callpipeline.pipeline.checking import CHECKS
from callpipeline.pipeline.checks import Circumstances
from callpipeline.pipeline.findings import ENOUGH, Finding, Limits, Table

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ABOUT = Circumstances(NOW, 24.0)
A_CALL = "2026-03-02-0123456789ab"
LIMITS = Limits(0.02, 0.1)


def outcome(finding: Finding) -> str:
    return "passed" if finding.passed else finding.severity.value


def counted(looked: int, found: int, **other: Any) -> dict[str, Any]:
    return {"looked": looked, "found": found, "newest": [], **other}


# Shares

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
limits = st.builds(
    lambda warning, further: Limits(warning, None if further is None else warning + further),
    st.floats(0, 1),
    st.none() | st.floats(0, 1),
)
RANK = {None: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@given(counts, limits)
def test_more_of_the_same_is_never_milder(count: tuple[int, int], limits: Limits) -> None:
    found, looked = count
    ranks = [RANK[limits.severity(n, looked)] for n in range(found + 1)]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


@given(st.integers(0, ENOUGH - 1).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_few_calls_never_are_an_error(count: tuple[int, int]) -> None:
    assert LIMITS.severity(*count) is not Severity.ERROR


@given(st.integers(1, 10_000))
def test_up_to_the_limit_all_is_well_and_one_above_it_is_not(hundreds: int) -> None:
    looked = hundreds * 100
    assert LIMITS.severity(hundreds * 2, looked) is None
    assert LIMITS.severity(hundreds * 2 + 1, looked) is Severity.WARNING
    assert LIMITS.severity(hundreds * 10, looked) is Severity.WARNING
    assert LIMITS.severity(hundreds * 10 + 1, looked) is Severity.ERROR


@pytest.mark.parametrize(
    ("looked", "found", "expected"),
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
def test_wordless_speech_by_how_many_calls_have_it(looked: int, found: int, expected: str) -> None:
    finding = checks.speech_has_words(counted(looked, found), ABOUT)
    assert outcome(finding) == expected
    assert finding.is_alarm == (expected == "error")


def test_a_finding_says_how_many_and_what_to_do() -> None:
    newest = [{"call_id": A_CALL, "channel": "left", "speech_s": 7.04999, "words": 0}]
    finding = checks.speech_has_words(counted(3, 1) | {"newest": newest}, ABOUT)
    assert finding.description.startswith("1 of 3 calls transcribed in the last 24 hours have a")
    assert "33.33 %. Listen to one" in finding.description
    assert finding.facts["calls"] == 3
    assert finding.facts["found"] == 1
    assert finding.facts["percent"] == 33.33
    assert finding.facts["newest"] == Table(
        ("call", "channel", "speech s", "words"), ((A_CALL, "left", 7.05, 0),)
    )


def test_what_is_as_usual_passes_and_is_listed_all_the_same() -> None:
    newest = [{"call_id": A_CALL, "channel": "left", "speech_s": 7.0, "words": 0}]
    finding = checks.speech_has_words(counted(1000, 1) | {"newest": newest}, ABOUT)
    assert finding.passed
    assert finding.description.endswith("not one word: no more than the usual 1%.")
    assert A_CALL in str(finding.facts["newest"])


def test_a_day_without_calls_passes_and_says_so() -> None:
    finding = checks.words_keep_up_with_speech(counted(0, 0), ABOUT)
    assert finding.passed
    assert finding.description == "In the last 24 hours there were no calls to look at."


def test_unreliable_transcripts_only_warn() -> None:
    finding = checks.transcripts_are_reliable(counted(100, 100, confidence=0.4123), ABOUT)
    assert outcome(finding) == "warning"
    assert finding.facts["mean_confidence"] == 0.412
    well = checks.transcripts_are_reliable(counted(100, 10, confidence=None), ABOUT)
    assert outcome(well) == "passed"
    assert "mean_confidence" not in well.facts


# Sound


def test_every_flag_is_wrong_but_that_of_one_channel() -> None:
    assert set(checks.WRONG) == set(Flag) - {Flag.MONO}
    assert set(checks.GRAVE) < set(checks.WRONG)


def test_too_loud_is_a_warning_where_silence_is_an_error() -> None:
    clipped = counted(100, 60, grave=0, flags={"clipped": 60, "mono": 100})
    silent = counted(100, 60, grave=26, flags={"clipped": 34, "silent": 26})
    assert outcome(checks.recordings_are_sound(clipped, ABOUT)) == "warning"
    finding = checks.recordings_are_sound(silent, ABOUT)
    assert outcome(finding) == "error"
    assert "(26 silent, 34 clipped)" in finding.description
    assert finding.facts["silent"] == 26
    assert finding.facts["truncated"] == 0
    assert "mono" not in finding.facts


# Failures


def failures(looked: int, found: int, otherwise: int) -> Finding:
    return checks.few_calls_fail(counted(looked, found, otherwise=otherwise, reasons=[]), ABOUT)


def test_engines_that_were_away_are_an_error_but_no_news() -> None:
    """People hear of these as `engine_down`."""
    away, ours = failures(100, 30, otherwise=0), failures(100, 30, otherwise=11)
    assert outcome(away) == outcome(ours) == "error"
    assert not away.is_alarm
    assert ours.is_alarm


def test_a_failure_of_three_calls_is_a_warning() -> None:
    assert outcome(failures(3, 1, otherwise=1)) == "warning"
    assert outcome(failures(3, 3, otherwise=3)) == "warning"


# Arrivals


def test_recordings_that_stop_are_a_warning_and_no_news() -> None:
    on_time = {"created_at": NOW - timedelta(hours=24)}
    late = {"created_at": NOW - timedelta(hours=24, seconds=1)}
    assert checks.recordings_keep_arriving(on_time, ABOUT).passed
    finding = checks.recordings_keep_arriving(late, ABOUT)
    assert outcome(finding) == "warning"
    assert not finding.is_news
    assert checks.recordings_keep_arriving(late, Circumstances(NOW)).passed
    assert checks.recordings_keep_arriving({"created_at": None}, ABOUT).passed


@pytest.mark.parametrize(
    ("found", "minutes", "expected"),
    [(0, 14, "passed"), (1, 16, "warning"), (1, 60, "warning"), (1, 61, "error")],
)
def test_live_calls_wait_a_quarter_of_an_hour_at_most(
    found: int, minutes: int, expected: str
) -> None:
    row = counted(2, found, oldest_at=NOW - timedelta(minutes=minutes))
    finding = checks.live_calls_do_not_wait(row, ABOUT)
    assert outcome(finding) == expected
    assert finding.facts["longest_min"] == minutes


def test_no_call_that_waits_is_well() -> None:
    finding = checks.live_calls_do_not_wait(counted(0, 0, oldest_at=None), ABOUT)
    assert finding.passed
    assert finding.facts["longest_min"] == 0.0


# Names


@pytest.mark.parametrize(
    ("calls", "found", "expected"), [(99, 2, "passed"), (100, 2, "warning"), (100, 0, "passed")]
)
def test_of_few_calls_nothing_is_concluded_about_names(
    calls: int, found: int, expected: str
) -> None:
    names = [{"name": "Sky", "heard_at": None}, {"name": "BT", "heard_at": "2026-01-01"}][:found]
    row = {"looked": 9, "found": found, "calls": calls, "names": names}
    assert outcome(checks.every_competitor_is_named_now_and_then(row, ABOUT)) == expected


# All of them


def test_names_are_facts_and_descriptions_are_sentences() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.name.count("_") >= 2
        assert check.description[0].isupper()
        assert check.description.endswith(".")
