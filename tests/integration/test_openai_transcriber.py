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
from callpipeline.domain.transcript import Transcript
from callpipeline.engines.transcribe.openai import OpenaiTranscriber
from callpipeline.errors import EngineAway, EngineRefused, EngineUnavailable
from tests.builders import a_channel
from tests.fakes.openai_service import open_service
from tests.fakes.services import FaultServer, Script, said
from tests.fakes.services.bodies import BROKEN_BODIES, ODD_BUT_RIGHT, changed
from tests.fakes.services.exchange import json_reply
from tests.fakes.services.faults import (
    BROKEN,
    RETRIED_STATUSES,
    STATUS_400,
    STATUS_404,
    STATUS_413,
    STATUS_503,
    answering,
)
from tests.fakes.services.records import Arrival
from tests.fakes.services.shapes import WRONG_SHAPES

Hear = Callable[..., Transcript]
SAID = said("Thank you for calling.", "I would rather go to T-Mobile.")
KEY = "sk-1"
ABOUT = a_channel(Channel.RIGHT, (0.0, 10.0))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(Script(speech={"right.flac": SAID}, api_key="sk-1")) as server:
        yield server


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return noise(tmp_path / "channel.flac", 4)


def noise(path: Path, seconds: int) -> Path:
    """What FLAC can hardly make smaller: 16 kB a second."""
    samples = np.random.default_rng(1).integers(-30_000, 30_000, seconds * 8000, np.int16)
    soundfile.write(path, samples, 8000, subtype="PCM_16")
    return path


@pytest.fixture
def hear(server: FaultServer, audio: Path) -> Iterator[Hear]:
    """Transcribe the audio with one transcriber, as often as a test likes."""
    with ExitStack() as stack:
        made: list[OpenaiTranscriber] = []

        def transcribe(about: ChannelAudio = ABOUT, key: str = "sk-1", **more: Any) -> Transcript:
            if not made:
                url = server.url("speech")
                service = stack.enter_context(open_service("transcription", url, key=key))
                made.append(OpenaiTranscriber(service, "whisper-1", **more))
            return asyncio.run(made[0].transcribe(audio, about))

        yield transcribe


def refuses(word: str) -> Callable[[Arrival], bool]:
    return lambda arrival: any(word in value for field in arrival.fields for value in field)


def test_the_request_is_the_one_of_the_api(server: FaultServer, hear: Hear, audio: Path) -> None:
    hear(hints=("Vodafone", "T-Mobile"), language="en")
    [arrival] = server.requests("speech")
    assert arrival.path == "/v1/audio/transcriptions"
    assert arrival.token == "sk-1"
    assert arrival.values("timestamp_granularities[]") == ["word", "segment"]
    assert {k: v for k, v in arrival.form.items() if not k.startswith("time")} == {
        "model": "whisper-1",
        "response_format": "verbose_json",
        "temperature": "0",
        "language": "en",
        "prompt": "Vodafone, T-Mobile",
    }
    assert (arrival.file.field, arrival.file.name) == ("file", "right.flac")
    assert arrival.file.size_bytes == audio.stat().st_size


def test_a_language_to_be_found_out_is_not_sent(server: FaultServer, hear: Hear) -> None:
    assert hear(language=None).language == "en"  # the server says "english"
    assert "language" not in server.requests("speech")[0].form


def test_words_have_times_and_the_punctuation_of_the_segments(
    hear: Hear,
) -> None:
    transcript = hear()
    assert transcript.engine == "openai whisper-1"
    assert [segment.text for segment in transcript.segments] == [s["text"].strip() for s in SAID]
    last = transcript.segments[1].words[-1]
    assert (last.text, last.start_s) == ("T-Mobile.", SAID[1]["words"][-1]["start"])
    assert last.confidence == 0.8187  # the mean logarithm that the segment tells


def test_a_server_without_words_gives_segments(server: FaultServer, hear: Hear) -> None:
    server.script.words = False
    assert [(s.text, s.words) for s in hear().segments] == [(s["text"].strip(), ()) for s in SAID]


def test_a_server_without_segments_gives_words_parted_at_pauses(
    server: FaultServer, hear: Hear
) -> None:
    server.script.segments = False
    [segment] = hear().segments
    assert segment.text == "Thank you for calling. I would rather go to T-Mobile."
    assert len(segment.words) == 10


def test_a_server_with_neither_gives_a_text_at_guessed_times(
    server: FaultServer, hear: Hear
) -> None:
    server.script.segments = server.script.words = False
    transcript = hear(a_channel(Channel.RIGHT, (2.0, 4.0), (6.0, 9.0)))
    assert transcript.engine == "openai whisper-1, times guessed"
    assert [segment.text for segment in transcript.segments] == [s["text"].strip() for s in SAID]
    assert (transcript.segments[0].start_s, transcript.segments[1].end_s) == (2.0, 9.0)


def test_a_server_that_knows_no_granularities_is_asked_with_them_once(
    server: FaultServer, hear: Hear
) -> None:
    server.plan("speech", STATUS_400, forever=True, where=refuses("granularities"))
    assert hear().segments == hear().segments
    formats = [arrival.form["response_format"] for arrival in server.requests("speech")]
    assert formats == ["verbose_json"] * 3


def test_a_server_that_knows_only_json_is_asked_for_more_once(
    server: FaultServer, hear: Hear
) -> None:
    server.plan("speech", STATUS_400, forever=True, where=refuses("verbose_json"))
    assert hear().engine == hear().engine == "openai whisper-1, times guessed"
    formats = [arrival.form["response_format"] for arrival in server.requests("speech")]
    assert formats == ["verbose_json", "verbose_json", "json", "json"]


def test_a_recording_that_is_refused_in_every_form_takes_words_from_no_other(
    server: FaultServer, hear: Hear
) -> None:
    server.plan("speech", STATUS_400, times=3)
    with pytest.raises(EngineRefused, match="answered 400"):
        hear()
    assert hear().segments[0].words
    assert server.attempts("speech") == 4


def test_a_channel_without_speech_is_empty_without_asking(server: FaultServer, hear: Hear) -> None:
    assert hear(a_channel(Channel.RIGHT)).segments == ()
    assert server.attempts("speech") == 0


def test_what_is_said_where_nobody_speaks_is_left_out(hear: Hear) -> None:
    [segment] = hear(a_channel(Channel.RIGHT, (0.0, 1.5))).segments
    assert segment.text == "Thank you for calling."


def test_no_time_lies_beyond_the_channel(server: FaultServer, hear: Hear) -> None:
    first, last = SAID
    endless = [*last["words"][:-1], {**last["words"][-1], "end": 1e308}]
    server.script.speech = {"right.flac": [first, {**last, "end": 1e308, "words": endless}]}
    segment = hear().segments[-1]
    assert (segment.end_s, segment.words[-1].end_s) == (ABOUT.duration_s, ABOUT.duration_s)


def test_a_large_channel_goes_in_parts_with_the_times_of_the_call(
    server: FaultServer, hear: Hear
) -> None:
    about = a_channel(Channel.RIGHT, (0.0, 1.9), (2.1, 4.0), duration_s=4.0)
    transcript = hear(about, most_bytes=50_000)
    assert [a.file.size_bytes < 50_000 for a in server.requests("speech")] == [True, True]
    assert server.peak("speech") == 1
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == [0.5, 2.0, 2.5]  # the last sentence of the second part is where all is silent


def test_a_part_without_speech_is_not_sent(server: FaultServer, hear: Hear) -> None:
    hear(a_channel(Channel.RIGHT, (3.0, 4.0), duration_s=4.0), most_bytes=50_000)
    assert server.attempts("speech") == 1


def test_a_part_that_came_out_too_large_is_cut_again(server: FaultServer, tmp_path: Path) -> None:
    loud = np.random.default_rng(1).integers(-30_000, 30_000, 8 * 8000, np.int16)
    loud[: 4 * 8000] = 0
    soundfile.write(tmp_path / "half.flac", loud, 8000, subtype="PCM_16")
    about = a_channel(Channel.RIGHT, (0.0, 8.0), duration_s=8.0)
    with open_service("transcription", server.url("speech"), key="sk-1") as service:
        transcriber = OpenaiTranscriber(service, "m", most_bytes=40_000)
        asyncio.run(transcriber.transcribe(tmp_path / "half.flac", about))
    sizes = [arrival.file.size_bytes for arrival in server.requests("speech")]
    assert max(sizes) <= 40_000
    assert len(sizes) >= 3
    assert [path.name for path in tmp_path.iterdir()] == ["half.flac"]


def test_a_key_that_is_not_taken_makes_the_calls_wait(server: FaultServer, hear: Hear) -> None:
    with pytest.raises(EngineAway, match="401 Unauthorized. Check CALLPIPELINE_OPENAI_API_KEY."):
        hear(key="sk-2")
    assert server.attempts("speech") == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (STATUS_404, "no such model or address"),
        (answering("quota", json_reply({"error": {"code": "insufficient_quota"}}, 429)), "spend"),
    ],
)
def test_what_no_recording_is_the_cause_of_is_tried_once_and_calls_wait(
    server: FaultServer, hear: Hear, fault: Any, reason: str
) -> None:
    server.plan("speech", fault, forever=True)
    with pytest.raises(EngineAway, match=reason):
        hear()
    assert server.attempts("speech") == 1


def test_a_file_that_is_too_large_is_told_with_what_to_do(server: FaultServer, hear: Hear) -> None:
    server.plan("speech", STATUS_413)
    with pytest.raises(EngineRefused, match="lower CALLPIPELINE_OPENAI_MAX_MB"):
        hear()


def test_what_the_server_says_of_a_refusal_is_not_told(server: FaultServer, hear: Hear) -> None:
    problem = {"error": {"message": "cannot hear 'my secret'", "code": "my secret"}}
    server.plan("speech", answering("planted", json_reply(problem, 409)), forever=True)
    with pytest.raises(EngineRefused) as refused:
        hear()
    assert "secret" not in str(refused.value)


def test_an_outage_that_ends_is_survived(server: FaultServer, hear: Hear) -> None:
    server.plan("speech", STATUS_503, times=2)
    assert len(hear().segments) == 2
    assert server.attempts("speech") == 3


@pytest.mark.parametrize("fault", ODD_BUT_RIGHT, ids=str)
def test_odd_answers_are_taken(server: FaultServer, hear: Hear, fault: Any) -> None:
    server.plan("speech", fault)
    assert len(hear().segments) == 2


@pytest.mark.parametrize("fault", [*RETRIED_STATUSES, *BROKEN, *BROKEN_BODIES], ids=str)
def test_what_may_pass_is_asked_for_again(server: FaultServer, hear: Hear, fault: Any) -> None:
    server.plan("speech", fault)
    assert len(hear().segments) == 2
    assert server.attempts("speech") == 2


@pytest.mark.parametrize("fault", WRONG_SHAPES["speech"], ids=str)
def test_a_wrong_shape_is_refused_or_does_no_harm(
    server: FaultServer, hear: Hear, fault: Any
) -> None:
    server.plan("speech", fault, forever=True)
    with suppress(EngineRefused, EngineUnavailable):
        assert len(hear().segments) in (0, 1, 2)


def test_a_loop_is_cut(server: FaultServer, hear: Hear) -> None:
    loop = {"segments": [{"start": n, "end": n + 1, "text": "Thank you."} for n in range(6)]}
    server.plan("speech", changed("loop", lambda _: loop))
    assert [segment.text for segment in hear().segments] == ["Thank you."]
