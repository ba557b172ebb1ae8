"""Transcripts supplied beside a recording."""

import pytest

from callpipeline.domain.calls.call import Call
from callpipeline.errors import TranscriptInvalid
from callpipeline.pipeline.ingest.registration import SidecarTranscripts
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
        def parse(name: str, content: bytes, agent_channel: str):
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
    sidecars = Sidecars("other.srt", "call.json", "deep/call.srt")
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

    def refuse(name: str, content: bytes, agent_channel: str):
        raise TranscriptInvalid("it has no cues")

    with pytest.raises(TranscriptInvalid):
        SidecarTranscripts(OneBucket(bucket), refuse).find(a_call(a_recording("call.wav")))
