"""`/api/v1/transcriptions/`: what is heard, and what may be asked for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, ChannelAudio, Interval, SplitRecording
from callpipeline.domain.transcript import Transcript
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


class OneChannel(ScriptedSplitter):
    """Takes what is sent for the sound of one channel."""

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        split = a_split(a_channel(Channel.MIXED))
        channel_files(split, into, recording.read_text())
        return split


class Listening(ScriptedTranscriber):
    """Notes where it is told that somebody speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.speech: list[tuple[Interval, ...]] = []

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        self.speech.append(about.speech)
        return a_transcript("hello there", "I am off", channel=about.channel, engine=self.name)


@pytest.fixture
def transcriber() -> Listening:
    return Listening()


@pytest.fixture
def served(settings: Settings, transcriber: Listening) -> Iterator[Served]:
    heard = {"call 1 mixed": [Interval(2.0, 3.0)]}
    engines = scripted(
        splitter=OneChannel(),
        transcriber=transcriber,
        speech_detector=ScriptedSpeechDetector(hears=heard),
    )
    with serving(settings, engines) as served:
        yield served


def test_words_come_in_the_shape_of_the_contract(served: Served) -> None:
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


def test_the_recogniser_hears_only_where_somebody_speaks(
    served: Served, transcriber: Listening
) -> None:
    served.transcribe()
    assert transcriber.speech == [(Interval(2.0, 3.0),)]


def test_words_are_left_out_where_nobody_asks_for_them(served: Served) -> None:
    data = served.transcribe(word_timestamps="false").json()["data"]
    assert all("words" not in segment for segment in data["segments"])
    assert len(data["segments"]) == 2


def test_a_silent_channel_is_no_segments(settings: Settings) -> None:
    with serving(settings, scripted(splitter=OneChannel())) as served:
        data = served.transcribe().json()["data"]
    assert (data["text"], data["segments"]) == ("", [])


def test_two_channels_are_joined_by_time_and_told_apart(settings: Settings) -> None:
    hears = {"call 1 left": "good morning", "call 1 right": "hello"}
    with serving(settings, scripted(transcriber=ScriptedTranscriber(hears=hears))) as served:
        segments = served.transcribe().json()["data"]["segments"]
    assert [(s["id"], s["channel"], s["text"]) for s in segments] == [
        (0, "left", "good morning"),
        (1, "right", "hello"),
    ]


def test_which_language_is_heard_is_up_to_the_recogniser(settings: Settings) -> None:
    german = settings.model_copy(update={"transcriber": "vosk", "language": "de"})
    with serving(german) as served:
        assert served.transcribe(language="de-AT").status_code == 200
        assert served.transcribe().status_code == 200
        refused = served.transcribe(language="en")
    assert (refused.status_code, "hears de only" in refused.json()["detail"]) == (422, True)


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
def test_what_makes_sense_is_taken(served: Served, fields: dict[str, Any]) -> None:
    assert served.transcribe(**fields).status_code == 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"language": "de"}, "language"),
        ({"temperature": "warm"}, "temperature"),
        ({"beam_size": "0"}, "beam_size"),
        ({"word_timestamps": "perhaps"}, "word_timestamps"),
        ({"vocabulary": ["x" * 201]}, "vocabulary"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    served: Served, fields: dict[str, Any], named: str
) -> None:
    reply = served.transcribe(**fields)
    assert reply.status_code == 422
    detail = reply.json()["detail"]
    assert named in detail
    assert "warm" not in detail and "perhaps" not in detail


def test_a_recogniser_that_is_down_is_a_passing_error(settings: Settings) -> None:
    down = ScriptedTranscriber({"call 1 left": EngineUnavailable("its process died")})
    with serving(settings, scripted(transcriber=down)) as served:
        reply = served.transcribe()
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
        assert reply.json()["error"] == "EngineUnavailable"
        state = served.http.get("/health")
        assert state.status_code == 200  # the trial went well


def test_a_form_without_its_file_is_refused(served: Served) -> None:
    post = served.http.post
    url, headers = "/api/v1/transcriptions/", served.bearer()
    assert post(url, headers=headers, json={}).status_code == 415
    assert post(url, headers=headers, files={"sound": ("a", b"x")}).status_code == 422
    assert post(url, headers=headers, files={"audio_file": b"x"}).status_code == 200
    two = [("audio_file", ("a", b"x")), ("audio_file", ("b", b"y"))]
    assert post(url, headers=headers, files=two).status_code == 422
    torn = {"Content-Type": "multipart/form-data; boundary=x", **headers}
    assert post(url, headers=torn, content=b"--x\r\nContent-").status_code == 400
    assert post(url, headers=torn, content=b"no form at all").status_code == 400
    part = b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--x--\r\n'
    assert post(url, headers=torn, content=part).status_code == 422


class Eager(Listening):
    """Can be told which names to listen for."""

    names: tuple[str, ...] = ()

    def listening_for(self, names: Sequence[str]) -> "Eager":
        told = Eager()
        told.names = tuple(names)
        return told

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        said = f"I listened for {', '.join(self.names)}"
        return a_transcript(said, channel=about.channel, engine=self.name)


def test_a_recogniser_that_takes_names_is_given_those_of_the_request(settings: Settings) -> None:
    with serving(settings, scripted(splitter=OneChannel(), transcriber=Eager())) as served:
        told = served.transcribe(b"call 1", vocabulary=["Vodafone", "EE"]).json()["data"]["text"]
        assert told == "I listened for Vodafone, EE"
        assert served.transcribe(b"call 1").json()["data"]["text"] == "I listened for "
