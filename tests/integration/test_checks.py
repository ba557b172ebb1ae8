"""The quality checks on real rows: what they count, ignore, and list."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, Flag
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.pipeline.quality.checks import CHECKS, MAX_LISTED_CALLS
from callpipeline.wiring import Storage
from tests.builders import a_transcript
from tests.integration.calls import change, enter
from tests.integration.day_of_calls import DayOfCalls, listed, status


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> DayOfCalls:
    return DayOfCalls(storage, tmp_path / "channels")


def test_every_check_passes_on_a_new_installation(day: DayOfCalls) -> None:
    assert {check.name: day.check(check.name).passed for check in CHECKS} == {
        check.name: True for check in CHECKS
    }


# Words


@pytest.mark.parametrize(("speech_s", "expected"), [(4.9, "passed"), (5.0, "warning")])
def test_five_seconds_of_speech_without_a_word_are_found(
    day: DayOfCalls, speech_s: float, expected: str
) -> None:
    call_id = day.transcribe("empty.wav", speech_s=speech_s)
    result = day.check("speech_has_words")
    assert status(result) == expected
    assert listed(result) == ([call_id] if expected == "warning" else [])
    assert day.check("words_keep_up_with_speech").passed, "only one check reports no words at all"


def test_a_channel_without_a_transcript_has_no_words(day: DayOfCalls) -> None:
    call_id = day.split("left out.wav")
    day.store_transcripts(call_id, a_transcript("good morning", channel=Channel.RIGHT))
    assert listed(day.check("speech_has_words")) == [call_id]


@pytest.mark.parametrize(
    ("speech_s", "words", "expected"),
    [(10.0, 4, "warning"), (10.0, 5, "passed"), (9.9, 4, "passed"), (14.0, 6, "warning")],
)
def test_half_a_word_a_second_is_the_minimum(
    day: DayOfCalls, speech_s: float, words: int, expected: str
) -> None:
    call_id = day.transcribe("slow.wav", " ".join(["yes"] * words), speech_s=speech_s)
    result = day.check("words_keep_up_with_speech")
    assert status(result) == expected
    assert listed(result) == ([call_id] if expected == "warning" else [])
    assert day.check("speech_has_words").passed


def test_what_was_transcribed_two_days_ago_does_not_count(day: DayOfCalls) -> None:
    old = day.transcribe("old.wav")
    day.age(old, Stage.TRANSCRIPTS, hours=24.1)
    assert day.check("speech_has_words").metadata["calls"] == 0
    new = day.transcribe("new.wav")
    day.age(new, Stage.TRANSCRIPTS, hours=23.9)
    assert listed(day.check("speech_has_words")) == [new]


def test_all_are_counted_and_the_newest_twenty_listed(day: DayOfCalls) -> None:
    call_ids = [day.transcribe(f"{number}.wav") for number in range(MAX_LISTED_CALLS + 2)]
    result = day.check("speech_has_words")
    assert status(result) == "error"
    assert result.metadata["found"] == MAX_LISTED_CALLS + 2
    assert listed(result) == list(reversed(call_ids))[:MAX_LISTED_CALLS]


def test_transcripts_with_low_confidence_are_found(day: DayOfCalls) -> None:
    sure, unsure, empty = (day.split(f"{name}.wav") for name in ("sure", "unsure", "empty"))
    day.store_transcripts(sure, a_transcript("good morning"))
    [segment] = a_transcript("good morning").segments
    words = tuple(replace(word, confidence=0.3) for word in segment.words)
    guessed = replace(a_transcript("good morning"), segments=(replace(segment, words=words),))
    day.store_transcripts(unsure, guessed)
    day.store_transcripts(empty, a_transcript())
    result = day.check("transcripts_are_reliable")
    assert status(result) == "warning"
    assert (result.metadata["transcripts"], result.metadata["found"]) == (2, 1)
    assert result.metadata["mean_confidence"] == 0.6
    assert listed(result) == [unsure]


# Unheard speech


def transcribe_part(day: DayOfCalls, key: str, text: str, unheard_s: float | None) -> str:
    call_id = day.split(key)
    day.store_transcripts(call_id, replace(a_transcript(text), unheard_s=unheard_s))
    return call_id


@pytest.mark.parametrize(("unheard_s", "expected"), [(2.0, "passed"), (2.01, "warning")])
def test_more_than_two_seconds_of_speech_without_words_are_found(
    day: DayOfCalls, unheard_s: float, expected: str
) -> None:
    call_id = transcribe_part(day, "cut.wav", "dot com", unheard_s)
    result = day.check("all_speech_is_transcribed")
    assert status(result) == expected
    assert listed(result) == ([call_id] if expected == "warning" else [])


def test_speech_without_any_word_is_found_by_one_check(day: DayOfCalls) -> None:
    """Short speech by that of lost speech, long speech by that of wordless calls."""
    short = transcribe_part(day, "short.wav", "", 4.9)
    transcribe_part(day, "long.wav", "", 5.0)
    assert listed(day.check("all_speech_is_transcribed")) == [short]


def test_lost_speech_is_counted_by_call_and_listed_newest_first(day: DayOfCalls) -> None:
    whole = transcribe_part(day, "whole.wav", "good morning", 0.0)
    supplied = transcribe_part(day, "supplied.wav", "good morning", None)
    old = transcribe_part(day, "old.wav", "dot com", 43.0)
    day.age(old, Stage.TRANSCRIPTS, hours=24.1)
    first = transcribe_part(day, "first.wav", "dot com", 43.0)
    both = day.split("both.wav")
    left = replace(a_transcript("dot com"), unheard_s=9.0)
    right = replace(a_transcript("dot com", channel=Channel.RIGHT), unheard_s=8.0)
    day.store_transcripts(both, left, right)
    result = day.check("all_speech_is_transcribed")
    assert (result.metadata["calls"], result.metadata["found"]) == (3, 2), "one is supplied"
    assert listed(result) == [both, both, first]
    assert whole not in str(result) and supplied not in str(result)


@pytest.mark.parametrize(
    ("lost", "expected"), [(1, "passed"), (2, "warning"), (5, "warning"), (6, "error")]
)
def test_the_share_of_calls_with_lost_speech(day: DayOfCalls, lost: int, expected: str) -> None:
    for number in range(20):
        transcribe_part(day, f"{number}.wav", "dot com", 43.0 if number < lost else 0.0)
    result = day.check("all_speech_is_transcribed")
    assert status(result) == expected
    assert result.is_alarm == (expected == "error")


# Recordings


def test_defects_are_counted_and_mono_is_none(day: DayOfCalls) -> None:
    day.split("mono.wav", flags=[Flag.MONO])
    silent = day.split("silent.wav", flags=[Flag.SILENT, Flag.SILENT, Flag.MONO])
    loud = day.split("loud.wav", flags=[Flag.CLIPPED])
    result = day.check("recordings_are_sound")
    assert status(result) == "warning"
    assert (result.metadata["recordings"], result.metadata["found"]) == (3, 2)
    assert (result.metadata["silent"], result.metadata["clipped"]) == (1, 1)
    assert listed(result) == [loud, silent]
    assert listed(result, "flags") == ["silent", "clipped"]


def test_a_day_of_silent_recordings_is_an_error_and_one_of_loud_ones_is_not(
    day: DayOfCalls,
) -> None:
    for number in range(20):
        day.split(f"{number}.wav", flags=[Flag.CLIPPED])
    assert status(day.check("recordings_are_sound")) == "warning"
    for number in range(7):
        day.split(f"silent-{number}.wav", flags=[Flag.SILENT])
    assert status(day.check("recordings_are_sound")) == "error"


# Failures


@pytest.mark.parametrize(
    ("well", "bad", "expected"),
    [
        (98, 2, "passed"),
        (97, 3, "warning"),
        (18, 2, "warning"),
        (17, 3, "error"),
        (2, 1, "warning"),
    ],
)
def test_the_share_of_failed_calls(day: DayOfCalls, well: int, bad: int, expected: str) -> None:
    day.complete(well)
    day.fail(*(f"bad-{number}.wav" for number in range(bad)))
    enter(day.storage, "waits.wav")
    result = day.check("few_calls_fail")
    assert status(result) == expected
    assert (result.metadata["calls"], result.metadata["found"]) == (well + bad, bad)


def test_failures_are_listed_by_stage_and_error_without_messages(day: DayOfCalls) -> None:
    day.fail("a.wav", "b.wav")
    day.fail("c.wav", error_class="EngineUnavailable")
    old = day.fail("old.wav")
    ago = "now() - interval '25 hours'"
    change(day.storage, old, completed_at=ago, updated_at=ago)
    result = day.check("few_calls_fail")
    reasons = result.metadata["reasons"]
    assert "'transcripts', 'UnsupportedAudio', 2" in str(reasons)
    assert "'transcripts', 'EngineUnavailable', 1" in str(reasons)
    assert len(listed(result)) == 3
    assert "zanzibar" not in str(result)
    assert ".wav" not in str(result)


# Arrivals


def test_the_newest_recording_may_be_as_old_as_the_setting_says(day: DayOfCalls) -> None:
    call_ids = enter(day.storage, "old.wav")
    change(day.storage, call_ids, created_at="now() - interval '25 hours'")
    assert status(day.check("recordings_keep_arriving")) == "warning"
    assert day.check("recordings_keep_arriving", quiet_h=26).passed
    assert day.check("recordings_keep_arriving", quiet_h=None).passed


def test_waiting_live_calls_are_found_and_a_backlog_is_not(day: DayOfCalls) -> None:
    waiting = enter(day.storage, "waits.wav", lane=Lane.LIVE)
    bulk = enter(day.storage, "bulk.wav", lane=Lane.BULK)
    change(day.storage, [*waiting, *bulk], created_at="now() - interval '16 minutes'")
    result = day.check("live_calls_do_not_wait")
    assert status(result) == "warning"
    assert listed(result) == waiting
    day.passed = timedelta(hours=1)
    result = day.check("live_calls_do_not_wait")
    assert status(result) == "error"
    assert result.is_alarm


def test_waiting_starts_when_a_retry_is_due(day: DayOfCalls) -> None:
    later, due = enter(day.storage, "later.wav"), enter(day.storage, "due.wav")
    change(day.storage, [*later, *due], created_at="now() - interval '3 hours'")
    change(day.storage, later, next_attempt_at="now() + interval '1 minute'")
    change(day.storage, due, next_attempt_at="now() - interval '14 minutes'")
    result = day.check("live_calls_do_not_wait")
    assert result.passed
    assert result.metadata["waiting"] == 1
