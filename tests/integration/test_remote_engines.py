"""The remote engines on real sockets: what they send, and what they make of the answers."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, Flag, SplitRecording
from callpipeline.domain.sentiment import Judgement, Sentiment, Unjudged
from callpipeline.domain.transcript import Transcript
from callpipeline.engines.asking import on_behalf_of
from callpipeline.engines.http.client import Http
from callpipeline.engines.http.token import LoginTokens
from callpipeline.engines.split.local import LocalSplitter
from callpipeline.engines.transcribe.remote import FIELDS, RemoteTranscriber
from callpipeline.errors import (
    EmptyRecording,
    EngineAway,
    EngineRefused,
    EngineUnavailable,
    UnsupportedAudio,
)
from tests.builders import a_channel, a_mention
from tests.fakes.services import FaultServer, about, said
from tests.fakes.services import faults as fault
from tests.fakes.services.bodies import changed
from tests.fakes.services.exchange import json_reply
from tests.integration.remote_engines import RATE_HZ, Desk, a_stereo_recording


@pytest.fixture
def desk(services: FaultServer, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(services, tmp_path)
    yield desk
    with closing(desk.http):
        pass


def locally(recording: Path, into: Path) -> SplitRecording:
    return asyncio.run(LocalSplitter().split(recording, into, "left"))


def a_file(folder: Path, sound: NDArray[np.int16], name: str = "x.flac") -> bytes:
    path = folder / f"made-{name}"
    soundfile.write(path, sound, RATE_HZ)
    return path.read_bytes()


def noise(seed: int, seconds: float = 4.0) -> NDArray[np.int16]:
    loud = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * RATE_HZ))
    return loud.astype(np.int16)


def offer(desk: Desk, left: bytes, right: bytes) -> None:
    desk.services.script.channels = lambda _: (left, right)


# Split


@pytest.mark.parametrize("absolute", [False, True])
def test_a_recording_comes_apart_as_it_does_here(desk: Desk, tmp_path: Path, absolute: bool):
    here = locally(a_stereo_recording(tmp_path / "recording"), tmp_path / "here")
    offer(desk, *((tmp_path / f"here/{side}.flac").read_bytes() for side in ("left", "right")))
    desk.services.script.absolute_urls = absolute
    assert desk.run(desk.split()) == here
    for side in ("left", "right"):
        there, ours = (tmp_path / f"{side}.flac"), (tmp_path / f"here/{side}.flac")
        assert there.read_bytes() == ours.read_bytes()
    assert not list(tmp_path.glob("*.fetched"))


def test_the_recording_is_sent_under_its_name_with_its_kind(desk: Desk, tmp_path: Path):
    desk.run(desk.split('straße "7" 📞.wav'))
    [request] = desk.services.requests("split")
    assert (request.file.field, request.file.content_type) == ("file", "audio/wav")
    assert request.file.size_bytes == (tmp_path / "recording").stat().st_size
    assert "straße" in request.file.name and "📞" in request.file.name
    assert request.malformed is None and request.fields == []


def test_channel_files_may_be_of_any_kind_of_audio(desk: Desk, tmp_path: Path):
    offer(desk, a_file(tmp_path, noise(1), "a.wav"), a_file(tmp_path, noise(2), "b.mp3"))
    split = desk.run(desk.split())
    assert [c.channel for c in split.channels] == ["left", "right"]
    info = soundfile.info(tmp_path / "right.flac")
    assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)


def test_the_same_sound_on_both_sides_is_one_channel(desk: Desk, tmp_path: Path):
    same = a_file(tmp_path, noise(1))
    offer(desk, same, same)
    split = desk.run(desk.split())
    assert [c.channel for c in split.channels] == [Channel.MIXED]
    assert [flag.flag for flag in split.flags] == [Flag.FAKE_STEREO]
    assert sorted(p.name for p in tmp_path.glob("*.flac*")) == ["made-x.flac", "mixed.flac"]


def test_of_a_mono_recording_both_sides_are_the_one(desk: Desk, tmp_path: Path):
    soundfile.write(tmp_path / "recording", noise(1), RATE_HZ, format="WAV")
    here = locally(tmp_path / "recording", tmp_path / "here")
    offer(desk, *[(tmp_path / "here/mixed.flac").read_bytes()] * 2)
    assert desk.run(desk.split()) == here


def test_one_address_for_both_sides_is_fetched_once(desk: Desk):
    twice = changed("one", lambda a: {**a, "right_channel_url": a["left_channel_url"]})
    desk.services.plan("split", twice)
    split = desk.run(desk.split())
    assert [c.channel for c in split.channels] == [Channel.MIXED]
    assert desk.services.attempts("channel") == 1


@pytest.mark.parametrize("side", [0, 1])
def test_of_a_channel_file_with_two_sides_the_one_with_sound_counts(
    desk: Desk, tmp_path: Path, side: int
):
    sides = [np.zeros_like(noise(1)), np.zeros_like(noise(1))]
    sides[side] = noise(1)
    offer(desk, a_file(tmp_path, np.stack(sides, axis=1)), a_file(tmp_path, noise(2)))
    split = desk.run(desk.split())
    read, _ = soundfile.read(tmp_path / "left.flac", dtype="int16")
    assert [c.channel for c in split.channels] == ["left", "right"]
    assert (read == noise(1)).all()


def test_a_channel_file_with_two_voices_is_refused(desk: Desk, tmp_path: Path):
    both = np.stack([noise(1), noise(2)], axis=1)
    offer(desk, a_file(tmp_path, noise(3)), a_file(tmp_path, both))
    error = desk.run(desk.split())
    assert isinstance(error, EngineRefused)
    assert "its right channel has two channels that differ" in str(error)


def test_a_silent_side_is_flagged_as_it_is_here(desk: Desk, tmp_path: Path):
    offer(desk, a_file(tmp_path, noise(1)), a_file(tmp_path, np.zeros_like(noise(1))))
    split = desk.run(desk.split())
    assert [(flag.flag, flag.channel) for flag in split.flags] == [(Flag.SILENT, "right")]


def test_what_is_no_audio_is_not_sent(desk: Desk, tmp_path: Path):
    (tmp_path / "recording").write_bytes(b"%PDF-1.7 etc")
    assert isinstance(desk.run(desk.split()), UnsupportedAudio)
    (tmp_path / "recording").write_bytes(b"")
    assert isinstance(desk.run(desk.split()), EmptyRecording)
    assert desk.services.attempts("split") == 0


def test_audio_that_only_the_service_knows_is_sent(desk: Desk, tmp_path: Path):
    (tmp_path / "recording").write_bytes(bytes(range(1, 256)) * 40)
    split = desk.run(desk.split("call.vox"))
    assert (split.format.container, split.format.sample_rate_hz) == ("unknown", 8000)
    assert desk.services.requests("split")[0].file.content_type == "application/octet-stream"


def test_a_files_name_is_never_taken_for_what_its_content_is(desk: Desk, tmp_path: Path):
    (tmp_path / "recording").write_bytes(bytes(range(1, 256)) * 40)
    desk.run(desk.split("data:audio/x\r\nX-Planted: yes,call"))
    assert desk.services.requests("split")[0].file.content_type == "application/octet-stream"


FOUND = {
    "container": "mp4",
    "codec": "aac",
    "sample_rate_hz": 16000,
    "channel_count": 2,
    "duration_s": 4.0,
    "declared_duration_s": None,
    "bad_packets": 3,
}


@pytest.mark.parametrize("field", ["sample_rate_hz", "channel_count", "bad_packets"])
def test_a_number_that_nothing_can_keep_is_refused(desk: Desk, field: str):
    told = {"format": {**FOUND, field: 2**31}}
    desk.services.plan("split", changed("ours", lambda answer: {**answer, **told}))
    error = desk.run(desk.split())
    assert isinstance(error, EngineRefused) and f"format.{field}" in str(error)


def test_what_our_own_server_found_is_taken(desk: Desk):
    told = {
        "format": FOUND,
        "flags": [{"flag": "damaged", "detail": "3 packets could not be decoded"}],
    }
    desk.services.plan("split", changed("ours", lambda answer: {**answer, **told}))
    split = desk.run(desk.split())
    assert (split.format.codec, split.format.bad_packets) == ("aac", 3)
    assert [flag.flag for flag in split.flags] == [Flag.DAMAGED]


def test_no_token_goes_with_a_recording_or_to_a_channels_address(desk: Desk):
    desk.services.script.absolute_urls = True
    desk.run(desk.split())
    for service in ("split", "channel"):
        assert all(request.token is None for request in desk.services.requests(service))


# Transcription


def test_a_channel_is_sent_with_the_fields_of_the_contract(desk: Desk):
    transcript = desk.run(desk.transcribe())
    [request] = desk.services.requests("transcription")
    assert request.form == FIELDS and len(request.fields) == len(FIELDS)
    assert (request.file.field, request.file.name) == ("audio_file", "left.flac")
    assert request.token == desk.services.tokens.issued[0]
    assert transcript.engine == "remote large-v3"
    assert [s.text for s in transcript.segments] == ["Thank you for calling.", "How can I help?"]
    assert transcript.segments[0].words[0].confidence == 0.9
    [login] = desk.services.requests("auth")
    assert login.form == {"username": "planted-user", "password": "planted-pass"}


def test_fields_are_changed_and_left_out_and_hints_go_where_they_are_taken(desk: Desk):
    service = desk.service("transcription", bearer=desk.tokens)
    fields = {"whisper_model": "tiny", "beam_size": "", "own": "1"}
    hints = ("Vodafone", "gif gaff", "x" * 600)
    desk.transcriber = RemoteTranscriber(service, fields, hints=hints, hint_field="initial_prompt")
    assert desk.run(desk.transcribe()).engine == "remote tiny"
    [request] = desk.services.requests("transcription")
    wanted = {**FIELDS, **fields, "initial_prompt": "Vodafone, gif gaff"}
    del wanted["beam_size"]
    assert request.form == wanted


def test_both_channels_are_heard_at_once_with_one_login(desk: Desk):
    desk.services.delay("transcription", 0.2)

    async def both() -> list[Transcript]:
        return await asyncio.gather(*map(desk.transcribe, (Channel.LEFT, Channel.RIGHT)))

    desk.run(both())
    assert desk.services.peak("transcription") == 2
    assert desk.services.attempts("auth") == 1


def test_nobody_is_asked_about_a_channel_without_speech(desk: Desk, tmp_path: Path):
    about_it = a_channel(Channel.LEFT)
    transcript = desk.run(desk.transcriber.transcribe(tmp_path / "none.flac", about_it))
    assert transcript == Transcript(Channel.LEFT, about_it.speaker, "remote")
    assert desk.services.attempts("transcription") == desk.services.attempts("auth") == 0


@pytest.mark.parametrize("bare", [False, True])
def test_the_data_may_come_alone(desk: Desk, bare: bool):
    desk.services.script.bare = bare
    assert desk.run(desk.transcribe()).word_count == 8


def test_without_words_the_text_of_the_segment_is_taken(desk: Desk):
    desk.services.script.words = False
    transcript = desk.run(desk.transcribe())
    assert transcript.word_count == 8 and transcript.segments[0].words == ()


def test_a_service_without_a_login_is_asked_without_a_token(desk: Desk):
    desk.transcriber = RemoteTranscriber(desk.service("transcription", if_unknown="Set it."))
    error = desk.run(desk.transcribe())
    assert isinstance(error, EngineAway) and str(error).endswith("401 Unauthorized. Set it.")
    assert desk.services.requests("transcription")[0].token is None


def test_wrong_credentials_say_what_to_check(desk: Desk):
    desk.services.script.credentials = ("somebody", "else")
    error = desk.run(desk.transcribe())
    assert isinstance(error, EngineAway)
    assert "CALLPIPELINE_AUTH_USERNAME" in str(error) and "planted" not in str(error)
    assert desk.services.attempts("transcription") == 0


def test_a_login_that_is_refused_is_not_asked_for_again_by_each_call(desk: Desk):
    """It would lock the account; whatever its number, no recording is the cause."""
    desk.services.plan("auth", fault.STATUS_400, forever=True)

    async def run() -> list[object]:
        return await asyncio.gather(*(desk.transcribe() for _ in range(9)), return_exceptions=True)

    errors = desk.run(run())
    assert all(isinstance(error, EngineAway) and error.service for error in errors)
    assert desk.services.attempts("auth") == 1


@pytest.mark.parametrize("gateway", [fault.STATUS_502, fault.STATUS_504], ids=str)
def test_what_kills_a_service_behind_its_gateway_is_no_outage_while_others_are_answered(
    desk: Desk, gateway: fault.Fault
):
    async def as_call(call_id: str) -> object:
        with on_behalf_of(call_id):
            try:
                return await desk.judged()
            except EngineUnavailable as error:
                return error

    async def run(answers_others: bool) -> object:
        left = [1, 2, 3]
        desk.services.plan("sentiment", gateway, forever=True, where=lambda _: bool(left))

        async def sleep(seconds: float) -> None:
            if answers_others:
                kept = list(left)
                left.clear()
                await as_call("other")
                left.extend(kept)

        desk.judge._service._sleep = sleep
        return await as_call("poison")

    assert type(desk.run(run(True))) is EngineUnavailable
    assert type(desk.run(run(False))) is EngineAway


def test_a_wrong_path_says_to_check_the_address_and_not_the_login(desk: Desk):
    desk.services.plan("auth", fault.STATUS_404, forever=True)
    error = desk.run(desk.transcribe())
    assert isinstance(error, EngineAway)
    assert str(error).endswith("it answered 404 Not Found: check the path of its URL.")


def test_of_sixteen_requests_that_meet_an_old_token_one_logs_in(desk: Desk):
    async def run() -> list[Transcript]:
        await desk.transcribe()
        desk.services.expire_tokens()
        return await asyncio.gather(*(desk.transcribe() for _ in range(16)))

    assert len(desk.run(run())) == 16
    assert desk.services.attempts("auth") == 2
    assert desk.services.attempts("transcription") == 1 + 16 + desk.services.tokens.refused
    assert desk.slept == []


def test_a_token_is_renewed_before_it_runs_out(desk: Desk):
    desk.services.tokens.lifetime_s = 30.0  # by its own claim; nine tenths of it are used

    ahead_s = 0.0
    clock = lambda: time.time() + ahead_s  # noqa: E731
    desk.tokens = LoginTokens(
        desk.service("auth", serves_no_call=True), "name", "pass", clock=clock
    )

    async def run() -> None:
        nonlocal ahead_s
        await desk.transcribe()
        ahead_s = 20.0
        await desk.transcribe()
        assert desk.services.attempts("auth") == 1
        ahead_s = 28.0
        await desk.transcribe()

    desk.run(run())
    assert desk.services.attempts("auth") == 2 and desk.services.tokens.refused == 0


# Sentiment


def test_both_channels_go_to_the_judge_and_nothing_tells_whose_call_it_is(desk: Desk):
    desk.services.script.labels = {"vodafone": "negative"}
    [judgement] = desk.run(desk.judged())
    assert judgement.sentiment is Sentiment.NEGATIVE and judgement.score == -1.0
    assert judgement.rule == "pattern: scripted"
    assert judgement.quote == "I would rather go to Vodafone."
    [request] = desk.services.requests("sentiment")
    assert request.form == {"context": "vodafone"}
    assert (request.file.field, request.file.name) == ("file", "transcript.json")
    sent = json.loads(request.file.kept)
    assert [segment["channel"] for segment in sent["segments"]] == ["left", "right"]
    assert [segment["id"] for segment in sent["segments"]] == [0, 1]
    told = {name: value for name, value in sent["metadata"].items() if value}
    assert set(told) == {"ref-id", "transcribed-at", "channel"} and told["channel"] == "mixed"


def test_a_name_that_is_not_found_is_unsure(desk: Desk):
    [judgement] = desk.run(desk.judged(a_mention("Orange", char_start=21)))
    assert (judgement.sentiment, judgement.score) == (Sentiment.UNSURE, 0.0)
    assert judgement.rule == "the service found nothing about this name here"


def test_what_fails_for_one_competitor_is_kept_from_the_others(desk: Desk):
    desk.services.plan("sentiment", fault.STATUS_500, forever=True, where=about("three"))
    names = [a_mention(name, char_start=at) for at, name in enumerate(("EE", "Three", "Vodafone"))]
    verdicts = desk.run(desk.judged(*names))
    assert [type(verdict) for verdict in verdicts] == [Judgement, Unjudged, Judgement]
    assert [v.competitor for v in verdicts] == ["EE", "Three", "Vodafone"]
    assert (verdicts[1].error_class, verdicts[1].transient) == ("EngineUnavailable", True)
    assert desk.services.attempts("sentiment") == 1 + 3 + 1
    assert desk.services.peak("sentiment") == 1


def test_where_all_competitors_fail_the_call_does(desk: Desk):
    desk.services.plan("sentiment", fault.STATUS_500, forever=True)
    names = [a_mention(name, char_start=at) for at, name in enumerate(("EE", "Three"))]
    assert isinstance(desk.run(desk.judged(*names)), EngineUnavailable)


# What all of them share


def test_no_cookie_is_kept(desk: Desk):
    planted = fault.status(503, retried=True, Set_Cookie="planted=yes; Path=/")
    desk.services.plan("sentiment", planted)
    desk.run(desk.judged())
    assert all("cookie" not in a.headers for a in desk.services.requests("sentiment"))


def test_a_request_that_is_called_off_ends_at_once(desk: Desk):
    desk.services.plan("transcription", fault.READ_TIMEOUT, forever=True)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await desk.transcribe()
        assert await asyncio.to_thread(desk.services.settled, 2.0)

    desk.run(run())
    assert desk.services.attempts("transcription") == 1 and desk.slept == []


def test_while_a_service_is_away_one_request_tries_and_the_others_wait_for_it(desk: Desk):
    now = [0.0]
    desk.http = Http(clock=lambda: now[0])
    desk.services.plan("sentiment", fault.STATUS_503, times=3)

    async def run() -> tuple[object, ...]:
        with pytest.raises(EngineAway):
            await desk.judged()
        with pytest.raises(EngineAway):  # not asked: 15 s are not over
            await desk.judged()
        assert desk.services.attempts("sentiment") == 3
        now[0] += 16
        desk.services.delay("sentiment", 0.3)
        asked = [asyncio.create_task(desk.judged()) for _ in range(16)]
        await asyncio.to_thread(desk.services.wait_for_attempts, "sentiment", 4)
        await asyncio.sleep(0.1)
        assert desk.services.attempts("sentiment") == 4
        asked[7].cancel()  # who waits and is called off calls off nobody else
        return tuple(await asyncio.gather(*asked, return_exceptions=True))

    results = desk.run(run())
    failed = [result for result in results if isinstance(result, BaseException)]
    assert [type(each) for each in failed] == [asyncio.CancelledError]
    assert desk.services.attempts("sentiment") == 3 + 15


def test_a_relative_address_is_below_a_path_that_a_proxy_puts_first(desk: Desk):
    service = desk.http.service("split", "https://host/engines")
    assert service.absolute("/channels/1") == "https://host/engines/channels/1"
    assert service.absolute("channels/1") == "https://host/engines/channels/1"
    assert service.absolute("/engines/channels/1") == "https://host/engines/channels/1"
    assert service.absolute("http://other/x") == "http://other/x"
    for wrong in ("file:///etc/passwd", "ftp://x/y", "http://[::1", "http://"):
        with pytest.raises(EngineRefused, match="an address that is none of HTTP"):
            service.absolute(wrong)


MEMORY = """
import asyncio, sys
from contextlib import closing
from pathlib import Path
from callpipeline.engines.asking import on_behalf_of
from callpipeline.engines.http.client import Http
from callpipeline.engines.http.requests import Request, Upload
from callpipeline.engines.split.remote import _Split
from callpipeline.engines.http.answers import shaped

def peak_mb():
    status = dict(l.split(":", 1) for l in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

async def send(http, path):
    file = Upload("file", "call.wav", Path(path), "audio/wav")
    service = http.service("split", sys.argv[1])
    answer = await service.ask(Request("POST", "/split", file=file), shaped(_Split))
    await service.fetch(answer.left_channel_url, Path(path + ".left"))

with closing(Http()) as http:
    asyncio.run(send(http, sys.argv[2]))
    before = peak_mb()
    asyncio.run(send(http, sys.argv[3]))
    print(peak_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one program")
def test_a_long_recording_takes_no_more_memory_than_a_short_one(
    services: FaultServer, tmp_path: Path
):
    a_stereo_recording(tmp_path / "short.wav")
    with (tmp_path / "long.wav").open("wb") as file:
        file.truncate(200_000_000)
    services.script.channels = lambda upload: (bytes(upload.size_bytes // 2), b"")
    command = [sys.executable, "-c", MEMORY, services.url("split")]
    files = [str(tmp_path / name) for name in ("short.wav", "long.wav")]
    done = subprocess.run(command + files, capture_output=True, check=True, text=True)
    assert float(done.stdout) < 30
    assert services.requests("split")[1].file.size_bytes == 200_000_000
    assert (tmp_path / "long.wav.left").stat().st_size == 100_000_000


def test_speech_that_is_laid_beside_the_channel_is_clipped_to_it(desk: Desk):
    desk.services.script.hear = lambda _: said("Good bye then.", start_s=19.8)
    transcript = desk.run(desk.transcribe())
    [segment] = transcript.segments
    assert (segment.start_s, segment.end_s) == (19.8, 20.0)
    assert [word.end_s for word in segment.words] == [20.0, 20.0, 20.0]


def test_an_answer_with_more_segments_than_were_sent_is_not_looked_through(desk: Desk):
    found = {"segment_id": 0, "start": 0.0, "end": 1.0, "text": "x", "sentiment": "positive"}
    answer = {"context": "Vodafone", "segments": [found] * 10_000}
    desk.services.plan("sentiment", fault.answering("many", json_reply(answer)))
    error = desk.run(desk.judged())
    assert isinstance(error, EngineRefused)
    assert str(error).endswith("it found more segments than it was sent.")


def test_a_path_that_may_hold_a_key_is_not_in_what_is_known_of_an_outage():
    with closing(Http()) as http:
        service = http.service("transcription", "https://host/planted-key/v1")
        other = http.service("transcription", "https://host/other-key/v1")
    names = {service._breaker._service, other._breaker._service}
    assert len(names) == 2
    assert not any("key" in name for name in names)
