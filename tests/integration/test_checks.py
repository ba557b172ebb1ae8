"""Each check on real rows: what it counts, what it leaves out, and the calls it lists."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, Flag
from callpipeline.domain.call import Lane, Stage
from callpipeline.pipeline.checking import CHECKS, MOST
from callpipeline.wiring import Storage
from tests.builders import a_transcript
from tests.integration.calls import change, enter
from tests.integration.checked import Day, listed, outcome


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> Day:
    return Day(storage, tmp_path / "channels")


def test_every_check_passes_on_an_installation_that_has_seen_nothing(day: Day) -> None:
    assert {check.name: day.check(check.name).passed for check in CHECKS} == {
        check.name: True for check in CHECKS
    }


# Words


@pytest.mark.parametrize(("speech_s", "expected"), [(4.9, "passed"), (5.0, "warning")])
def test_five_seconds_of_speech_without_a_word_are_found(
    day: Day, speech_s: float, expected: str
) -> None:
    call_id = day.transcribe("empty.wav", speech_s=speech_s)
    finding = day.check("speech_has_words")
    assert outcome(finding) == expected
    assert listed(finding) == ([call_id] if expected == "warning" else [])
    assert day.check("words_keep_up_with_speech").passed, "no word at all is told once"


def test_a_channel_without_a_transcript_has_no_words(day: Day) -> None:
    call_id = day.split("left out.wav")
    day.hear(call_id, a_transcript("good morning", channel=Channel.RIGHT))
    assert listed(day.check("speech_has_words")) == [call_id]


@pytest.mark.parametrize(
    ("speech_s", "words", "expected"),
    [(10.0, 4, "warning"), (10.0, 5, "passed"), (9.9, 4, "passed"), (14.0, 6, "warning")],
)
def test_half_a_word_a_second_is_the_least(
    day: Day, speech_s: float, words: int, expected: str
) -> None:
    call_id = day.transcribe("slow.wav", " ".join(["yes"] * words), speech_s=speech_s)
    finding = day.check("words_keep_up_with_speech")
    assert outcome(finding) == expected
    assert listed(finding) == ([call_id] if expected == "warning" else [])
    assert day.check("speech_has_words").passed


def test_what_was_transcribed_two_days_ago_does_not_count(day: Day) -> None:
    old = day.transcribe("old.wav")
    day.age(old, Stage.TRANSCRIPTS, hours=24.1)
    assert day.check("speech_has_words").facts["calls"] == 0
    new = day.transcribe("new.wav")
    day.age(new, Stage.TRANSCRIPTS, hours=23.9)
    assert listed(day.check("speech_has_words")) == [new]


def test_the_newest_twenty_are_listed_and_all_are_counted(day: Day) -> None:
    call_ids = [day.transcribe(f"{number}.wav") for number in range(MOST + 2)]
    finding = day.check("speech_has_words")
    assert outcome(finding) == "error"
    assert finding.facts["found"] == MOST + 2
    assert listed(finding) == list(reversed(call_ids))[:MOST]


def test_words_the_recogniser_was_unsure_of_are_found(day: Day) -> None:
    sure, unsure, empty = (day.split(f"{name}.wav") for name in ("sure", "unsure", "empty"))
    day.hear(sure, a_transcript("good morning"))
    [segment] = a_transcript("good morning").segments
    words = tuple(replace(word, confidence=0.3) for word in segment.words)
    guessed = replace(a_transcript("good morning"), segments=(replace(segment, words=words),))
    day.hear(unsure, guessed)
    day.hear(empty, a_transcript())
    finding = day.check("transcripts_are_reliable")
    assert outcome(finding) == "warning"
    assert (finding.facts["transcripts"], finding.facts["found"]) == (2, 1)
    assert finding.facts["mean_confidence"] == 0.6
    assert listed(finding) == [unsure]


# Sound


def test_flags_are_counted_and_one_channel_is_no_fault(day: Day) -> None:
    day.split("mono.wav", flags=[Flag.MONO])
    silent = day.split("silent.wav", flags=[Flag.SILENT, Flag.SILENT, Flag.MONO])
    loud = day.split("loud.wav", flags=[Flag.CLIPPED])
    finding = day.check("recordings_are_sound")
    assert outcome(finding) == "warning"
    assert (finding.facts["recordings"], finding.facts["found"]) == (3, 2)
    assert (finding.facts["silent"], finding.facts["clipped"]) == (1, 1)
    assert listed(finding) == [loud, silent]
    assert listed(finding, "flags") == ["silent", "clipped"]


def test_a_day_of_silent_recordings_is_an_error_and_one_of_loud_ones_is_not(day: Day) -> None:
    for number in range(20):
        day.split(f"{number}.wav", flags=[Flag.CLIPPED])
    assert outcome(day.check("recordings_are_sound")) == "warning"
    for number in range(7):
        day.split(f"silent-{number}.wav", flags=[Flag.SILENT])
    assert outcome(day.check("recordings_are_sound")) == "error"


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
def test_the_share_of_failed_calls(day: Day, well: int, bad: int, expected: str) -> None:
    day.complete(well)
    day.fail(*(f"bad-{number}.wav" for number in range(bad)))
    enter(day.storage, "waits.wav")
    finding = day.check("few_calls_fail")
    assert outcome(finding) == expected
    assert (finding.facts["calls"], finding.facts["found"]) == (well + bad, bad)


def test_failures_are_told_by_stage_and_error_without_their_words(day: Day) -> None:
    day.fail("a.wav", "b.wav")
    day.fail("c.wav", error_class="EngineUnavailable")
    old = day.fail("old.wav")
    ago = "now() - interval '25 hours'"
    change(day.storage, old, completed_at=ago, updated_at=ago)
    finding = day.check("few_calls_fail")
    reasons = finding.facts["reasons"]
    assert "'transcripts', 'UnsupportedAudio', 2" in str(reasons)
    assert "'transcripts', 'EngineUnavailable', 1" in str(reasons)
    assert len(listed(finding)) == 3
    assert "zanzibar" not in str(finding)
    assert ".wav" not in str(finding)


# Arrivals


def test_the_newest_recording_may_be_as_old_as_the_setting_says(day: Day) -> None:
    call_ids = enter(day.storage, "old.wav")
    change(day.storage, call_ids, created_at="now() - interval '25 hours'")
    assert outcome(day.check("recordings_keep_arriving")) == "warning"
    assert day.check("recordings_keep_arriving", quiet_h=26).passed
    assert day.check("recordings_keep_arriving", quiet_h=None).passed


def test_calls_of_today_that_wait_are_found_and_a_backlog_is_not(day: Day) -> None:
    waiting = enter(day.storage, "waits.wav", lane=Lane.LIVE)
    bulk = enter(day.storage, "bulk.wav", lane=Lane.BULK)
    change(day.storage, [*waiting, *bulk], created_at="now() - interval '16 minutes'")
    finding = day.check("live_calls_do_not_wait")
    assert outcome(finding) == "warning"
    assert listed(finding) == waiting
    day.passed = timedelta(hours=1)
    finding = day.check("live_calls_do_not_wait")
    assert outcome(finding) == "error"
    assert finding.is_alarm


def test_a_call_waits_from_when_it_may_be_tried_again(day: Day) -> None:
    later, due = enter(day.storage, "later.wav"), enter(day.storage, "due.wav")
    change(day.storage, [*later, *due], created_at="now() - interval '3 hours'")
    change(day.storage, later, not_before="now() + interval '1 minute'")
    change(day.storage, due, not_before="now() - interval '14 minutes'")
    finding = day.check("live_calls_do_not_wait")
    assert finding.passed
    assert finding.facts["waiting"] == 1
