"""Transcription by OpenAI-compatible servers of every kind, over real sockets."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, ChannelAudio
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.transcribe.openai import OpenaiTranscriber
from callpipeline.errors import EngineRefused, EngineUnavailable, ServiceUnavailable
from tests.builders import a_channel
from tests.fakes.openai_service import open_service
from tests.fakes.services import FaultServer, Script, scripted_segments
from tests.fakes.services.bodies import BROKEN_BODIES, UNUSUAL_BUT_VALID, with_change
from tests.fakes.services.exchange import json_reply
from tests.fakes.services.faults import (
    BROKEN,
    RETRIED_STATUSES,
    STATUS_400,
    STATUS_404,
    STATUS_413,
    STATUS_503,
    fixed_reply,
)
from tests.fakes.services.records import RecordedRequest
from tests.fakes.services.shapes import WRONG_SHAPES

TranscribeAudio = Callable[..., Transcript]
SEGMENTS = scripted_segments("Thank you for calling.", "I would rather go to T-Mobile.")
KEY = "sk-1"
ABOUT = a_channel(Channel.RIGHT, (0.0, 10.0))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(Script(speech={"right.flac": SEGMENTS}, api_key="sk-1")) as server:
        yield server


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return noise(tmp_path / "channel.flac", 4)


def noise(path: Path, seconds: int) -> Path:
    """Write noise, which FLAC hardly compresses: 16 kB per second."""
    samples = np.random.default_rng(1).integers(-30_000, 30_000, seconds * 8000, np.int16)
    soundfile.write(path, samples, 8000, subtype="PCM_16")
    return path


@pytest.fixture
def transcribe_audio(server: FaultServer, audio: Path) -> Iterator[TranscribeAudio]:
    """Return a function that transcribes the audio with one transcriber."""
    with ExitStack() as stack:
        made: list[OpenaiTranscriber] = []

        def transcribe(about: ChannelAudio = ABOUT, key: str = "sk-1", **more: Any) -> Transcript:
            if not made:
                url = server.url("speech")
                service = stack.enter_context(open_service("transcription", url, key=key))
                made.append(OpenaiTranscriber(service, "whisper-1", **more))
            return asyncio.run(made[0].transcribe(audio, about))

        yield transcribe


def refuses(word: str) -> Callable[[RecordedRequest], bool]:
    return lambda arrival: any(word in value for field in arrival.fields for value in field)


def test_the_request_follows_the_api(
    server: FaultServer, transcribe_audio: TranscribeAudio, audio: Path
) -> None:
    transcribe_audio(hints=("Vodafone", "T-Mobile"), language="en")
    [arrival] = server.requests("speech")
    assert arrival.path == "/v1/audio/transcriptions"
    assert arrival.token == "sk-1"
    assert arrival.values("timestamp_granularities[]") == ["word", "segment"]
    assert {k: v for k, v in arrival.form.items() if not k.startswith("time")} == {
        "model": "whisper-1",
        "response_format": "verbose_json",
        "temperature": "0",
        "language": "en",
        "prompt": "Vodafone, T-Mobile.",
    }
    assert (arrival.file.field, arrival.file.name) == ("file", "right.flac")
    assert arrival.file.size_bytes == audio.stat().st_size


def test_a_language_to_detect_is_not_sent(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    assert transcribe_audio(language=None).language == "en"  # the server says "english"
    assert "language" not in server.requests("speech")[0].form


def test_words_have_times_and_the_punctuation_of_the_segments(
    transcribe_audio: TranscribeAudio,
) -> None:
    transcript = transcribe_audio()
    assert transcript.engine == "openai whisper-1"
    assert [segment.text for segment in transcript.segments] == [
        s["text"].strip() for s in SEGMENTS
    ]
    last = transcript.segments[1].words[-1]
    assert (last.text, last.start_s) == ("T-Mobile.", SEGMENTS[1]["words"][-1]["start"])
    assert last.confidence == 0.8187  # from the mean log probability of the segment


def test_a_server_without_words_returns_segments(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.script.words = False
    assert [(s.text, s.words) for s in transcribe_audio().segments] == [
        (s["text"].strip(), ()) for s in SEGMENTS
    ]


def test_words_of_a_server_without_segments_are_split_at_pauses(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.script.segments = False
    [segment] = transcribe_audio().segments
    assert segment.text == "Thank you for calling. I would rather go to T-Mobile."
    assert len(segment.words) == 10


def test_a_text_of_a_server_with_neither_gets_guessed_times(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.script.segments = server.script.words = False
    transcript = transcribe_audio(a_channel(Channel.RIGHT, (2.0, 4.0), (6.0, 9.0)))
    assert transcript.engine == "openai whisper-1, times guessed"
    assert [segment.text for segment in transcript.segments] == [
        s["text"].strip() for s in SEGMENTS
    ]
    assert (transcript.segments[0].start_s, transcript.segments[1].end_s) == (2.0, 9.0)


def test_unsupported_granularities_are_only_sent_once(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.plan("speech", STATUS_400, forever=True, where=refuses("granularities"))
    assert transcribe_audio().segments == transcribe_audio().segments
    formats = [arrival.form["response_format"] for arrival in server.requests("speech")]
    assert formats == ["verbose_json"] * 3


def test_an_unsupported_response_format_is_only_sent_once(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.plan("speech", STATUS_400, forever=True, where=refuses("verbose_json"))
    assert (
        transcribe_audio().engine == transcribe_audio().engine == "openai whisper-1, times guessed"
    )
    formats = [arrival.form["response_format"] for arrival in server.requests("speech")]
    assert formats == ["verbose_json", "verbose_json", "json", "json"]


def test_a_recording_refused_in_every_format_does_not_affect_others(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.plan("speech", STATUS_400, times=3)
    with pytest.raises(EngineRefused, match="answered 400"):
        transcribe_audio()
    assert transcribe_audio().segments[0].words
    assert server.attempts("speech") == 4


def test_a_channel_without_speech_is_not_sent(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    assert transcribe_audio(a_channel(Channel.RIGHT)).segments == ()
    assert server.attempts("speech") == 0


def test_text_outside_of_the_speech_is_dropped(transcribe_audio: TranscribeAudio) -> None:
    [segment] = transcribe_audio(a_channel(Channel.RIGHT, (0.0, 1.5))).segments
    assert segment.text == "Thank you for calling."


def test_no_time_is_outside_of_the_channel(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    first, last = SEGMENTS
    endless = [*last["words"][:-1], {**last["words"][-1], "end": 1e308}]
    server.script.speech = {"right.flac": [first, {**last, "end": 1e308, "words": endless}]}
    segment = transcribe_audio().segments[-1]
    assert (segment.end_s, segment.words[-1].end_s) == (ABOUT.duration_s, ABOUT.duration_s)


def test_a_large_channel_is_sent_in_parts_with_the_times_of_the_call(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    about = a_channel(Channel.RIGHT, (0.0, 1.9), (2.1, 4.0), duration_s=4.0)
    transcript = transcribe_audio(about, max_upload_bytes=50_000)
    assert [a.file.size_bytes < 50_000 for a in server.requests("speech")] == [True, True]
    assert server.peak("speech") == 1
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == [0.5, 2.0, 2.5]  # the last sentence of the second part is in silence


def test_a_part_without_speech_is_not_sent(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    transcribe_audio(a_channel(Channel.RIGHT, (3.0, 4.0), duration_s=4.0), max_upload_bytes=50_000)
    assert server.attempts("speech") == 1


def test_a_part_that_is_too_large_is_cut_again(server: FaultServer, tmp_path: Path) -> None:
    loud = np.random.default_rng(1).integers(-30_000, 30_000, 8 * 8000, np.int16)
    loud[: 4 * 8000] = 0
    soundfile.write(tmp_path / "half.flac", loud, 8000, subtype="PCM_16")
    about = a_channel(Channel.RIGHT, (0.0, 8.0), duration_s=8.0)
    with open_service("transcription", server.url("speech"), key="sk-1") as service:
        transcriber = OpenaiTranscriber(service, "m", max_upload_bytes=40_000)
        asyncio.run(transcriber.transcribe(tmp_path / "half.flac", about))
    sizes = [arrival.file.size_bytes for arrival in server.requests("speech")]
    assert max(sizes) <= 40_000
    assert len(sizes) >= 3
    assert [path.name for path in tmp_path.iterdir()] == ["half.flac"]


def test_a_rejected_key_makes_the_calls_wait(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    with pytest.raises(
        ServiceUnavailable, match="401 Unauthorized. Check CALLPIPELINE_OPENAI_API_KEY."
    ):
        transcribe_audio(key="sk-2")
    assert server.attempts("speech") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (STATUS_404, "no such model or address"),
        (
            fixed_reply("quota", json_reply({"error": {"code": "insufficient_quota"}}, 429)),
            "no credit left",
        ),
    ],
)
def test_a_failure_that_no_recording_can_cause_is_not_retried_and_calls_wait(
    server: FaultServer, transcribe_audio: TranscribeAudio, fault: Any, reason: str
) -> None:
    server.plan("speech", fault, forever=True)
    with pytest.raises(ServiceUnavailable, match=reason):
        transcribe_audio()
    assert server.attempts("speech") == 1


def test_a_file_that_is_too_large_is_reported_with_advice(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.plan("speech", STATUS_413)
    with pytest.raises(EngineRefused, match="lower CALLPIPELINE_OPENAI_MAX_MB"):
        transcribe_audio()


def test_the_servers_message_is_not_repeated(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    problem = {"error": {"message": "cannot transcribe_audio 'my secret'", "code": "my secret"}}
    server.plan("speech", fixed_reply("planted", json_reply(problem, 409)), forever=True)
    with pytest.raises(EngineRefused) as refused:
        transcribe_audio()
    assert "secret" not in str(refused.value)


def test_a_passing_outage_is_retried(
    server: FaultServer, transcribe_audio: TranscribeAudio
) -> None:
    server.plan("speech", STATUS_503, times=2)
    assert len(transcribe_audio().segments) == 2
    assert server.attempts("speech") == 3


@pytest.mark.parametrize("fault", UNUSUAL_BUT_VALID, ids=str)
def test_unusual_responses_are_accepted(
    server: FaultServer, transcribe_audio: TranscribeAudio, fault: Any
) -> None:
    server.plan("speech", fault)
    assert len(transcribe_audio().segments) == 2


@pytest.mark.parametrize("fault", [*RETRIED_STATUSES, *BROKEN, *BROKEN_BODIES], ids=str)
def test_transient_failures_are_retried(
    server: FaultServer, transcribe_audio: TranscribeAudio, fault: Any
) -> None:
    server.plan("speech", fault)
    assert len(transcribe_audio().segments) == 2
    assert server.attempts("speech") == 2


@pytest.mark.parametrize("fault", WRONG_SHAPES["speech"], ids=str)
def test_an_invalid_response_is_refused_or_harmless(
    server: FaultServer, transcribe_audio: TranscribeAudio, fault: Any
) -> None:
    server.plan("speech", fault, forever=True)
    with suppress(EngineRefused, EngineUnavailable):
        assert len(transcribe_audio().segments) in (0, 1, 2)


def test_a_loop_is_reduced(server: FaultServer, transcribe_audio: TranscribeAudio) -> None:
    loop = {"segments": [{"start": n, "end": n + 1, "text": "Thank you."} for n in range(6)]}
    server.plan("speech", with_change("loop", lambda _: loop))
    assert [segment.text for segment in transcribe_audio().segments] == ["Thank you."]
