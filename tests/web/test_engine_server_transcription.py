"""`/api/v1/transcriptions/`: responses and fields."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import EngineUnavailable
from tests.builders import a_channel, a_split, a_transcript, channel_files
from tests.fakes.engines import ScriptedSpeechDetector, ScriptedSplitter, ScriptedTranscriber
from tests.web.engine_servers import Served, scripted, serving

CONTRACT = {
    "whisper_model": "large-v3",
    "compression_ratio_threshold": "1.8",
    "temperature": "0",
    "logprob_threshold": "-0.8",
    "no_speech_threshold": "0.7",
    "condition_on_previous_text": "false",
    "beam_size": "1",
    "best_of": "1",
    "word_timestamps": "true",
    "language": "en",
}


class OneChannelSplitter(ScriptedSplitter):
    """Returns one channel for every recording."""

    async def split(
        self, recording: Path, into: Path, agent_channel: str, **more: Any
    ) -> SplitRecording:
        split = a_split(a_channel(Channel.MIXED))
        channel_files(split, into, recording.read_text())
        return split


class RecordingTranscriber(ScriptedTranscriber):
    """Records the intervals of speech that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.speech: list[tuple[Interval, ...]] = []

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        self.speech.append(about.speech)
        return a_transcript("hello there", "I am off", channel=about.channel, engine=self.name)


@pytest.fixture(scope="module")
def recording() -> RecordingTranscriber:
    return RecordingTranscriber()


@pytest.fixture
def transcriber(recording: RecordingTranscriber) -> RecordingTranscriber:
    """The server's transcriber, which has recorded nothing."""
    recording.speech.clear()
    return recording


@pytest.fixture(scope="module")
def served(module_settings: Settings, recording: RecordingTranscriber) -> Iterator[Served]:
    speech = {"call 1 mixed": [Interval(2.0, 3.0)]}
    engines = scripted(
        splitter=OneChannelSplitter(),
        transcriber=recording,
        speech_detector=ScriptedSpeechDetector(hears=speech),
    )
    with serving(module_settings, engines) as served:
        yield served


def test_the_response_has_the_shape_of_the_contract(served: Served) -> None:
    reply = served.transcribe(b"call 1", **CONTRACT)
    assert reply.status_code == 200
    document = reply.json()
    assert document["success"] is True
    data = document["data"]
    assert (data["model"], data["text"]) == ("scripted-transcriber", "hello there I am off")
    assert data["segments"][0] == {
        "id": 0,
        "start": 0.0,
        "end": 0.9,
        "text": "hello there",
        "words": [
            {"word": "hello", "start": 0.0, "end": 0.4, "probability": 0.9},
            {"word": "there", "start": 0.5, "end": 0.9, "probability": 0.9},
        ],
    }
    assert [segment["id"] for segment in data["segments"]] == [0, 1]


def test_only_speech_is_transcribed(served: Served, transcriber: RecordingTranscriber) -> None:
    served.transcribe()
    assert transcriber.speech == [(Interval(2.0, 3.0),)]


def test_words_are_omitted_on_request(served: Served) -> None:
    data = served.transcribe(word_timestamps="false").json()["data"]
    assert all("words" not in segment for segment in data["segments"])
    assert len(data["segments"]) == 2


def test_a_silent_channel_has_no_segments(settings: Settings) -> None:
    with serving(settings, scripted(splitter=OneChannelSplitter())) as served:
        data = served.transcribe().json()["data"]
    assert (data["text"], data["segments"]) == ("", [])


def test_segments_of_two_channels_are_in_order_of_time_with_their_channel(
    settings: Settings,
) -> None:
    hears = {"call 1 left": "good morning", "call 1 right": "hello"}
    with serving(settings, scripted(transcriber=ScriptedTranscriber(hears=hears))) as served:
        segments = served.transcribe().json()["data"]["segments"]
    assert [(s["id"], s["channel"], s["text"]) for s in segments] == [
        (0, "left", "good morning"),
        (1, "right", "hello"),
    ]


def test_the_recogniser_determines_the_language(settings: Settings) -> None:
    german = settings.model_copy(update={"transcriber": "vosk", "language": "de"})
    with serving(german) as served:
        assert served.transcribe(language="de-AT").status_code == 200
        assert served.transcribe().status_code == 200
        refused = served.transcribe(language="en")
    assert (refused.status_code, "supports de only" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "en-GB"},
        {"language": ""},
        {"unknown": "field"},
        {"vocabulary": ["Vodafone", "EE"]},
        {"temperature": ""},
    ],
)
def test_valid_fields_are_accepted(served: Served, fields: dict[str, Any]) -> None:
    assert served.transcribe(**fields).status_code == 200


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"language": "de"}, "language"),
        ({"temperature": "warm"}, "temperature"),
        ({"beam_size": "0"}, "beam_size"),
        ({"word_timestamps": "perhaps"}, "word_timestamps"),
        ({"vocabulary": ["x" * 201]}, "vocabulary"),
    ],
)
def test_invalid_fields_are_rejected_by_name(
    served: Served, fields: dict[str, Any], name: str
) -> None:
    reply = served.transcribe(**fields)
    assert reply.status_code == 422
    detail = reply.json()["detail"]
    assert name in detail
    assert "warm" not in detail and "perhaps" not in detail


def test_an_unavailable_recogniser_is_a_transient_error(settings: Settings) -> None:
    down = ScriptedTranscriber({"call 1 left": EngineUnavailable("its process died")})
    with serving(settings, scripted(transcriber=down)) as served:
        reply = served.transcribe()
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
        assert reply.json()["error"] == "EngineUnavailable"
        state = served.http.get("/health")
        assert state.status_code == 200  # the test succeeded


def test_a_form_without_its_file_is_rejected(served: Served) -> None:
    post = served.http.post
    url, headers = "/api/v1/transcriptions/", served.bearer()
    assert post(url, headers=headers, json={}).status_code == 415
    assert post(url, headers=headers, files={"sound": ("a", b"x")}).status_code == 422
    assert post(url, headers=headers, files={"audio_file": b"x"}).status_code == 200
    two = [("audio_file", ("a", b"x")), ("audio_file", ("b", b"y"))]
    assert post(url, headers=headers, files=two).status_code == 422
    malformed = {"Content-Type": "multipart/form-data; boundary=x", **headers}
    assert post(url, headers=malformed, content=b"--x\r\nContent-").status_code == 400
    assert post(url, headers=malformed, content=b"no form at all").status_code == 400
    part = b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--x--\r\n'
    assert post(url, headers=malformed, content=part).status_code == 422


class HintedTranscriber(RecordingTranscriber):
    """Supports hints."""

    names: tuple[str, ...] = ()

    def with_hints(self, names: Sequence[str]) -> "HintedTranscriber":
        hinted = HintedTranscriber()
        hinted.names = tuple(names)
        return hinted

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        text = f"I listened for {', '.join(self.names)}"
        return a_transcript(text, channel=about.channel, engine=self.name)


def test_the_vocabulary_becomes_hints_of_the_recogniser(settings: Settings) -> None:
    with serving(
        settings, scripted(splitter=OneChannelSplitter(), transcriber=HintedTranscriber())
    ) as served:
        text = served.transcribe(b"call 1", vocabulary=["Vodafone", "EE"]).json()["data"]["text"]
        assert text == "I listened for Vodafone, EE"
        assert served.transcribe(b"call 1").json()["data"]["text"] == "I listened for "
