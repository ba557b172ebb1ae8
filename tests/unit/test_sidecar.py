"""Transcripts supplied beside a recording."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.sources import UnreadableTranscript
from callpipeline.errors import TranscriptIgnored, TranscriptInvalid
from callpipeline.pipeline.ingest.beside import (
    SidecarTranscripts,
    TranscriptRules,
    side_files,
)
from tests.builders import a_call, a_recording, a_transcript
from tests.fakes.storage import InMemoryRecordings, OneBucket


class Sidecars:
    """A bucket with these objects; records what is parsed."""

    def __init__(self, *keys: str) -> None:
        self.parsed: list[tuple[str, bytes, str]] = []
        self.bucket = InMemoryRecordings()
        for key in keys:
            self.bucket.put(key, key.encode())

    def find(self, call: Call):
        def parse(name: str, content: bytes, agent_channel: str, speakers: Mapping[str, Speaker]):
            self.parsed.append((name, content, agent_channel))
            return (a_transcript("hello"),)

        return SidecarTranscripts(OneBucket(self.bucket), parse).find(call)


@pytest.mark.parametrize("suffix", [".transcript.json", ".srt", ".vtt"])
def test_a_transcript_of_the_same_name_is_found_and_parsed(suffix: str):
    sidecars = Sidecars(f"deep/call{suffix}")
    found = sidecars.find(a_call(a_recording("deep/call.wav")))
    assert found == (a_transcript("hello"),)
    key = f"deep/call{suffix}"
    assert sidecars.parsed == [(key, key.encode(), "left")]


def test_without_a_transcript_nothing_is_found():
    sidecars = Sidecars("other.srt", "call2.json", "call-1.srt", "deep/call.srt", "call.txt")
    assert sidecars.find(a_call(a_recording("call.wav"))) is None
    assert sidecars.parsed == []


def test_the_first_in_the_documented_order_is_used():
    sidecars = Sidecars("call.vtt", "call.srt", "call.transcript.json")
    sidecars.find(a_call(a_recording("call.wav")))
    assert [name for name, _, _ in sidecars.parsed] == ["call.transcript.json"]


def test_dots_in_a_name_are_part_of_the_stem():
    sidecars = Sidecars("2026.03.02 call.srt")
    assert sidecars.find(a_call(a_recording("2026.03.02 call.wav"))) is not None


def test_an_invalid_transcript_is_an_error():
    bucket = InMemoryRecordings()
    bucket.put("call.srt", b"")

    def refuse(*_: object):
        raise TranscriptInvalid("it has no cues")

    with pytest.raises(TranscriptInvalid):
        SidecarTranscripts(OneBucket(bucket), refuse).find(a_call(a_recording("call.wav")))


@pytest.mark.parametrize(
    "name",
    [
        "call.json",
        "call.wav.json",
        "call.wav.vtt",
        "call.wav.transcript.json",
        "CALL.VTT",
        "Call.Srt",
        "call.transcript.vtt",
        "call_transcript.srt",
        "call-transcription.json",
        "call.en.vtt",
        "call.en-GB.srt",
        "call.captions.en.vtt",
        "call.audio_transcript.vtt",
    ],
)
@pytest.mark.parametrize("folder", ["", "deep/"])
def test_a_transcript_is_found_under_the_names_that_tools_give_it(name: str, folder: str):
    sidecars = Sidecars(f"{folder}call.wav", f"{folder}{name}", f"{folder}callback.json")
    assert sidecars.find(a_call(a_recording(f"{folder}call.wav"))) is not None
    assert [parsed for parsed, _, _ in sidecars.parsed] == [f"{folder}{name}"]


def test_an_upper_case_recording_finds_a_lower_case_transcript():
    sidecars = Sidecars("rec 7.srt")
    assert sidecars.find(a_call(a_recording("REC 7.WAV"))) is not None


class Answers:
    """A parser that answers by file name."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    def __call__(self, name: str, *_: object):
        answer = self.answers[name.replace(".", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


def found_by(parse: Any, *keys: str, rules: TranscriptRules | None = None):
    bucket = InMemoryRecordings()
    for key in keys:
        bucket.put(key, b"")
    by_bucket = {bucket.name: rules} if rules else {}
    return SidecarTranscripts(OneBucket(bucket), parse, by_bucket).find(
        a_call(a_recording("call.wav"))
    )


def test_a_file_about_something_else_is_passed_over():
    words = (a_transcript("hello"),)
    parse = Answers(call_json=None, call_srt=words)
    assert found_by(parse, "call.json", "call.srt") == words
    assert found_by(Answers(call_json=None), "call.json") is None


def test_a_readable_transcript_wins_over_an_unreadable_one():
    words = (a_transcript("hello"),)
    parse = Answers(call_json=TranscriptInvalid("broken"), call_srt=words)
    assert found_by(parse, "call.json", "call.srt") == words


def test_the_source_may_let_a_recording_be_transcribed_instead():
    parse = Answers(call_srt=TranscriptInvalid("call.srt: line 1 has no times"))
    rules = TranscriptRules(unreadable=UnreadableTranscript.TRANSCRIBE)
    with pytest.raises(TranscriptIgnored, match="line 1 has no times"):
        found_by(parse, "call.srt", rules=rules)


def test_all_files_of_a_recording_are_known_for_its_erasure():
    beside = ["call.wav", "call.xml", "call.JSON", "call.wav.csv", "call.vtt", "calls.csv"]
    assert side_files("call.wav", beside) == ["call.JSON", "call.vtt", "call.xml", "call.wav.csv"]


def test_files_of_neighbouring_recordings_are_left_to_them():
    """Asterisk writes x.wav, x-in.wav and x-out.wav; a copy may differ only in case."""
    beside = ["x-in.wav", "x-in.json", "x-out.json", "x.json", "x-en.srt", "X.WAV", "X.vtt"]
    # Without x-out.wav, -out could as well be a language.
    assert side_files("x.wav", ["x.wav", *beside]) == ["x.json", "x-out.json", "x-en.srt"]
    assert side_files("x-in.wav", ["x.wav", *beside]) == ["x-in.json"]


def test_the_reason_of_an_unreadable_file_does_not_repeat_the_name_of_the_caller():
    key = "in/mrs zanzibar.transcript.json"

    def parse(name: str, *_: object):
        raise TranscriptInvalid(f"{PurePosixPath(name).name}: no segments.")

    bucket = InMemoryRecordings()
    bucket.put(key, b"")
    found = SidecarTranscripts(OneBucket(bucket), parse)
    with pytest.raises(TranscriptInvalid, match=r"^\*\.transcript\.json: no segments\.$"):
        found.find(a_call(a_recording("in/mrs zanzibar.wav")))


def test_other_documents_of_the_same_name_are_no_transcripts():
    beside = ["call.truth.json", "call.info.json", "call.wav.json", "call.mp3.vtt"]
    assert side_files("call.wav", ["call.wav", *beside]) == ["call.wav.json", "call.mp3.vtt"]


@pytest.mark.parametrize("rule", list(UnreadableTranscript))
def test_a_text_without_times_never_fails_the_call(rule: UnreadableTranscript):
    bucket = InMemoryRecordings()
    bucket.put("call.json", b"")

    def ignore(*_: object):
        raise TranscriptIgnored("call.json: it has a text without times")

    rules = {bucket.name: TranscriptRules(unreadable=rule)}
    with pytest.raises(TranscriptIgnored, match=r"^\*.json: it has a text without times$"):
        SidecarTranscripts(OneBucket(bucket), ignore, rules).find(a_call(a_recording("call.wav")))
