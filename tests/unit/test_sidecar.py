"""Transcripts that lie beside a recording."""

import pytest

from callpipeline.domain.call import Call
from callpipeline.errors import TranscriptInvalid
from callpipeline.pipeline.sidecar import SidecarTranscripts
from tests.builders import a_call, a_recording, a_transcript
from tests.fakes.storage import InMemoryRecordings, OneBucket


class Beside:
    """A bucket with these objects; what is parsed is noted."""

    def __init__(self, *keys: str) -> None:
        self.parsed: list[tuple[str, bytes, str]] = []
        self.bucket = InMemoryRecordings()
        for key in keys:
            self.bucket.put(key, key.encode())

    def find(self, call: Call):
        def parse(name: str, content: bytes, agent_channel: str):
            self.parsed.append((name, content, agent_channel))
            return (a_transcript("hello"),)

        return SidecarTranscripts(OneBucket(self.bucket), parse).find(call)


@pytest.mark.parametrize("suffix", [".transcript.json", ".srt", ".vtt"])
def test_a_transcript_of_the_same_name_is_found_and_parsed(suffix: str):
    beside = Beside(f"deep/call{suffix}")
    found = beside.find(a_call(a_recording("deep/call.wav")))
    assert found == (a_transcript("hello"),)
    key = f"deep/call{suffix}"
    assert beside.parsed == [(key, key.encode(), "left")]


def test_without_one_there_is_none():
    beside = Beside("other.srt", "call.json", "deep/call.srt")
    assert beside.find(a_call(a_recording("call.wav"))) is None
    assert beside.parsed == []


def test_of_several_the_first_in_the_documented_order_is_taken():
    beside = Beside("call.vtt", "call.srt", "call.transcript.json")
    beside.find(a_call(a_recording("call.wav")))
    assert [name for name, _, _ in beside.parsed] == ["call.transcript.json"]


def test_dots_in_a_name_do_not_confuse_it():
    beside = Beside("2026.03.02 call.srt")
    assert beside.find(a_call(a_recording("2026.03.02 call.wav"))) is not None


def test_a_transcript_that_cannot_be_read_is_said_so():
    bucket = InMemoryRecordings()
    bucket.put("call.srt", b"")

    def refuse(name: str, content: bytes, agent_channel: str):
        raise TranscriptInvalid("it holds no cue")

    with pytest.raises(TranscriptInvalid):
        SidecarTranscripts(OneBucket(bucket), refuse).find(a_call(a_recording("call.wav")))
