"""Remote engines on real sockets: their requests, and results from responses."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, Flag, Speaker, SplitRecording
from callpipeline.domain.calls.source_audio import RawFormat, SourceAudio
from callpipeline.domain.sentiment import Judgement, Sentiment, UnjudgedMention
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.http.service import HttpClient
from callpipeline.engines.http.tokens import LoginTokens
from callpipeline.engines.ports import call_context
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.remote import FIELDS, RemoteTranscriber
from callpipeline.errors import (
    EmptyRecording,
    EngineRefused,
    EngineUnavailable,
    ServiceUnavailable,
    UnsupportedAudio,
)
from tests.builders import a_channel, a_mention
from tests.fakes.services import FaultServer, for_competitor, scripted_segments
from tests.fakes.services import faults as fault
from tests.fakes.services.bodies import with_change
from tests.fakes.services.exchange import Exchange, json_reply
from tests.integration.remote_engines import RATE_HZ, EngineBench, a_stereo_recording


@pytest.fixture
def bench(services: FaultServer, tmp_path: Path) -> Iterator[EngineBench]:
    bench = EngineBench(services, tmp_path)
    yield bench
    with closing(bench.http):
        pass


def split_locally(recording: Path, into: Path) -> SplitRecording:
    return asyncio.run(LocalSplitter().split(recording, into, "left"))


def a_file(folder: Path, sound: NDArray[np.int16], name: str = "x.flac") -> bytes:
    path = folder / f"made-{name}"
    soundfile.write(path, sound, RATE_HZ)
    return path.read_bytes()


def noise(seed: int, seconds: float = 4.0) -> NDArray[np.int16]:
    loud = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * RATE_HZ))
    return loud.astype(np.int16)


def offer(bench: EngineBench, left: bytes, right: bytes) -> None:
    bench.services.script.channels = lambda _: (left, right)


# Split


@pytest.mark.parametrize("absolute", [False, True])
def test_a_recording_is_split_as_by_the_local_splitter(
    bench: EngineBench, tmp_path: Path, absolute: bool
):
    here = split_locally(a_stereo_recording(tmp_path / "recording"), tmp_path / "here")
    offer(bench, *((tmp_path / f"here/{side}.flac").read_bytes() for side in ("left", "right")))
    bench.services.script.absolute_urls = absolute
    assert bench.run(bench.split()) == here
    for side in ("left", "right"):
        there, ours = (tmp_path / f"{side}.flac"), (tmp_path / f"here/{side}.flac")
        assert there.read_bytes() == ours.read_bytes()
    assert not list(tmp_path.glob("*.fetched"))


def test_the_recording_is_sent_with_its_name_and_type(bench: EngineBench, tmp_path: Path):
    bench.run(bench.split('straße "7" 📞.wav'))
    [request] = bench.services.requests("split")
    assert (request.file.field, request.file.content_type) == ("file", "audio/wav")
    assert request.file.size_bytes == (tmp_path / "recording").stat().st_size
    assert "straße" in request.file.name and "📞" in request.file.name
    assert request.malformed is None and request.fields == []


def test_channel_files_may_have_any_audio_format(bench: EngineBench, tmp_path: Path):
    offer(bench, a_file(tmp_path, noise(1), "a.wav"), a_file(tmp_path, noise(2), "b.mp3"))
    split = bench.run(bench.split())
    assert [c.channel for c in split.channels] == ["left", "right"]
    info = soundfile.info(tmp_path / "right.flac")
    assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)


def test_the_same_sound_on_both_sides_is_one_channel(bench: EngineBench, tmp_path: Path):
    same = a_file(tmp_path, noise(1))
    offer(bench, same, same)
    split = bench.run(bench.split())
    assert [c.channel for c in split.channels] == [Channel.MIXED]
    assert [flag.flag for flag in split.flags] == [Flag.FAKE_STEREO]
    assert sorted(p.name for p in tmp_path.glob("*.flac*")) == ["made-x.flac", "mixed.flac"]


def test_a_mono_recording_has_one_channel(bench: EngineBench, tmp_path: Path):
    soundfile.write(tmp_path / "recording", noise(1), RATE_HZ, format="WAV")
    here = split_locally(tmp_path / "recording", tmp_path / "here")
    offer(bench, *[(tmp_path / "here/mixed.flac").read_bytes()] * 2)
    assert bench.run(bench.split()) == here


def test_one_url_for_both_channels_is_downloaded_once(bench: EngineBench):
    twice = with_change("one", lambda a: {**a, "right_channel_url": a["left_channel_url"]})
    bench.services.plan("split", twice)
    split = bench.run(bench.split())
    assert [c.channel for c in split.channels] == [Channel.MIXED]
    assert bench.services.attempts("channel") == 1


def test_more_than_two_channels_are_downloaded_by_their_names(bench: EngineBench, tmp_path: Path):
    offer(bench, a_file(tmp_path, noise(1), "a.flac"), a_file(tmp_path, noise(2), "b.flac"))

    def name_three(answer: dict[str, Any]) -> dict[str, Any]:
        left, right = answer["left_channel_url"], answer["right_channel_url"]
        named = {"1": left, "2": right, "4": left}
        return {**answer, "channels": [{"channel": n, "url": url} for n, url in named.items()]}

    bench.services.plan("split", with_change("three", name_three))
    split = bench.run(bench.split())
    assert bench.services.attempts("channel") == 3
    # The fourth is a copy of the first.
    assert [(c.channel, c.speaker) for c in split.channels] == [
        (Channel.LEFT, Speaker.AGENT),
        (Channel.RIGHT, Speaker.CUSTOMER),
    ]


def test_samples_without_a_header_are_sent_as_wav(bench: EngineBench, tmp_path: Path):
    (tmp_path / "recording").write_bytes(noise(1).tobytes())
    source = SourceAudio(RawFormat("slin"))
    work = bench.splitter.split(
        tmp_path / "recording", tmp_path, "left", file_name="call.raw", source=source
    )
    split = bench.run(work)
    [request] = bench.services.requests("split")
    assert (request.file.name, request.file.content_type) == ("recording.wav", "audio/wav")
    assert request.file.size_bytes == 44 + len(noise(1)) * 2
    assert split.format.container == "wav"
    assert not (tmp_path / "recording.wav").exists()


@pytest.mark.parametrize("side", [0, 1])
def test_the_audible_side_of_a_stereo_channel_file_is_used(
    bench: EngineBench, tmp_path: Path, side: int
):
    sides = [np.zeros_like(noise(1)), np.zeros_like(noise(1))]
    sides[side] = noise(1)
    offer(bench, a_file(tmp_path, np.stack(sides, axis=1)), a_file(tmp_path, noise(2)))
    split = bench.run(bench.split())
    read, _ = soundfile.read(tmp_path / "left.flac", dtype="int16")
    assert [c.channel for c in split.channels] == ["left", "right"]
    assert (read == noise(1)).all()


def test_a_stereo_channel_file_with_two_voices_is_refused(bench: EngineBench, tmp_path: Path):
    both = np.stack([noise(1), noise(2)], axis=1)
    offer(bench, a_file(tmp_path, noise(3)), a_file(tmp_path, both))
    error = bench.run(bench.split())
    assert isinstance(error, EngineRefused)
    assert "its right channel has two different channels" in str(error)


def test_a_silent_channel_is_flagged_as_by_the_local_splitter(bench: EngineBench, tmp_path: Path):
    offer(bench, a_file(tmp_path, noise(1)), a_file(tmp_path, np.zeros_like(noise(1))))
    split = bench.run(bench.split())
    assert [(flag.flag, flag.channel) for flag in split.flags] == [(Flag.SILENT, "right")]


def test_a_file_that_is_not_audio_is_not_sent(bench: EngineBench, tmp_path: Path):
    (tmp_path / "recording").write_bytes(b"%PDF-1.7 etc")
    assert isinstance(bench.run(bench.split()), UnsupportedAudio)
    (tmp_path / "recording").write_bytes(b"")
    assert isinstance(bench.run(bench.split()), EmptyRecording)
    assert bench.services.attempts("split") == 0


def test_audio_that_only_the_service_decodes_is_sent(bench: EngineBench, tmp_path: Path):
    (tmp_path / "recording").write_bytes(bytes(range(1, 256)) * 40)
    split = bench.run(bench.split("call.vox"))
    assert (split.format.container, split.format.sample_rate_hz) == ("unknown", 8000)
    assert bench.services.requests("split")[0].file.content_type == "application/octet-stream"


def test_the_file_name_never_overrides_the_content(bench: EngineBench, tmp_path: Path):
    (tmp_path / "recording").write_bytes(bytes(range(1, 256)) * 40)
    bench.run(bench.split("data:audio/x\r\nX-Planted: yes,call"))
    assert bench.services.requests("split")[0].file.content_type == "application/octet-stream"


SERVER_FORMAT = {
    "container": "mp4",
    "codec": "aac",
    "sample_rate_hz": 16000,
    "channel_count": 2,
    "duration_s": 4.0,
    "declared_duration_s": None,
    "bad_packets": 3,
}


@pytest.mark.parametrize("field", ["sample_rate_hz", "channel_count", "bad_packets"])
def test_a_number_that_cannot_be_stored_is_refused(bench: EngineBench, field: str):
    reported = {"format": {**SERVER_FORMAT, field: 2**31}}
    bench.services.plan("split", with_change("ours", lambda answer: {**answer, **reported}))
    error = bench.run(bench.split())
    assert isinstance(error, EngineRefused) and f"format.{field}" in str(error)


def test_format_and_flags_of_our_own_server_are_used(bench: EngineBench):
    reported = {
        "format": SERVER_FORMAT,
        "flags": [{"flag": "damaged", "detail": "3 packets could not be decoded"}],
    }
    bench.services.plan("split", with_change("ours", lambda answer: {**answer, **reported}))
    split = bench.run(bench.split())
    assert (split.format.codec, split.format.bad_packets) == ("aac", 3)
    assert [flag.flag for flag in split.flags] == [Flag.DAMAGED]


def test_no_token_is_sent_with_a_recording_or_to_a_channel_url(bench: EngineBench):
    bench.services.script.absolute_urls = True
    bench.run(bench.split())
    for service in ("split", "channel"):
        assert all(request.token is None for request in bench.services.requests(service))


# Transcription


def test_a_channel_is_sent_with_the_fields_of_the_contract(bench: EngineBench):
    transcript = bench.run(bench.transcribe())
    [request] = bench.services.requests("transcription")
    assert request.form == FIELDS and len(request.fields) == len(FIELDS)
    assert (request.file.field, request.file.name) == ("audio_file", "left.flac")
    assert request.token == bench.services.tokens.issued[0]
    assert transcript.engine == "remote large-v3"
    assert [s.text for s in transcript.segments] == ["Thank you for calling.", "How can I help?"]
    assert transcript.segments[0].words[0].confidence == 0.9
    [login] = bench.services.requests("auth")
    assert login.form == {"username": "planted-user", "password": "planted-pass"}


def test_fields_can_be_changed_and_removed_and_hints_are_sent_in_their_field(bench: EngineBench):
    service = bench.service("transcription", token_source=bench.tokens)
    fields = {"whisper_model": "tiny", "beam_size": "", "own": "1"}
    hints = ("Vodafone", "gif gaff", "x" * 600)
    bench.transcriber = RemoteTranscriber(service, fields, hints=hints, hint_field="initial_prompt")
    assert bench.run(bench.transcribe()).engine == "remote tiny"
    [request] = bench.services.requests("transcription")
    wanted = {**FIELDS, **fields, "initial_prompt": "Vodafone, gif gaff"}
    del wanted["beam_size"]
    assert request.form == wanted


def test_both_channels_are_transcribed_concurrently_with_one_login(bench: EngineBench):
    bench.services.delay("transcription", 0.2)

    async def both() -> list[Transcript]:
        return await asyncio.gather(*map(bench.transcribe, (Channel.LEFT, Channel.RIGHT)))

    bench.run(both())
    assert bench.services.peak("transcription") == 2
    assert bench.services.attempts("auth") == 1


def test_a_channel_without_speech_is_not_sent(bench: EngineBench, tmp_path: Path):
    about_it = a_channel(Channel.LEFT)
    transcript = bench.run(bench.transcriber.transcribe(tmp_path / "none.flac", about_it))
    assert transcript == Transcript(Channel.LEFT, about_it.speaker, "remote")
    assert bench.services.attempts("transcription") == bench.services.attempts("auth") == 0


@pytest.mark.parametrize("bare", [False, True])
def test_the_response_may_be_the_data_only(bench: EngineBench, bare: bool):
    bench.services.script.bare = bare
    assert bench.run(bench.transcribe()).word_count == 8


def test_without_words_the_text_of_the_segment_is_used(bench: EngineBench):
    bench.services.script.words = False
    transcript = bench.run(bench.transcribe())
    assert transcript.word_count == 8 and transcript.segments[0].words == ()


def test_a_service_without_a_login_gets_no_token(bench: EngineBench):
    bench.transcriber = RemoteTranscriber(
        bench.service("transcription", unauthorized_hint="Set it.")
    )
    error = bench.run(bench.transcribe())
    assert isinstance(error, ServiceUnavailable) and str(error).endswith(
        "401 Unauthorized. Set it."
    )
    assert bench.services.requests("transcription")[0].token is None


def test_wrong_credentials_say_what_to_check(bench: EngineBench):
    bench.services.script.credentials = ("somebody", "else")
    error = bench.run(bench.transcribe())
    assert isinstance(error, ServiceUnavailable)
    assert "CALLPIPELINE_AUTH_USERNAME" in str(error) and "planted" not in str(error)
    assert bench.services.attempts("transcription") == 0


def test_a_refused_login_is_not_repeated_by_each_call(bench: EngineBench):
    """Repeating it might lock the account; no recording is the cause, whatever the status."""
    bench.services.plan("auth", fault.STATUS_400, forever=True)

    async def run() -> list[object]:
        return await asyncio.gather(*(bench.transcribe() for _ in range(9)), return_exceptions=True)

    errors = bench.run(run())
    assert all(isinstance(error, ServiceUnavailable) and error.service for error in errors)
    assert bench.services.attempts("auth") == 1


@pytest.mark.parametrize("gateway", [fault.STATUS_502, fault.STATUS_504], ids=str)
def test_a_recording_that_kills_a_service_behind_a_gateway_is_no_outage_if_others_succeed(
    bench: EngineBench, gateway: fault.Fault
):
    async def as_call(call_id: str) -> object:
        with call_context(call_id):
            try:
                return await bench.judged()
            except EngineUnavailable as error:
                return error

    async def run(answers_others: bool) -> object:
        left = [1, 2, 3]
        bench.services.plan("sentiment", gateway, forever=True, where=lambda _: bool(left))

        async def sleep(seconds: float) -> None:
            if answers_others:
                kept = list(left)
                left.clear()
                await as_call("other")
                left.extend(kept)

        bench.judge._service._sleep = sleep
        return await as_call("poison")

    assert type(bench.run(run(True))) is EngineUnavailable
    assert type(bench.run(run(False))) is ServiceUnavailable


def test_a_wrong_path_is_reported_with_the_url_and_not_the_login(bench: EngineBench):
    bench.services.plan("auth", fault.STATUS_404, forever=True)
    error = bench.run(bench.transcribe())
    assert isinstance(error, ServiceUnavailable)
    assert str(error).endswith("it answered 404 Not Found: check the path of its URL.")


def test_only_one_of_sixteen_requests_with_an_expired_token_logs_in(bench: EngineBench):
    async def run() -> list[Transcript]:
        await bench.transcribe()
        bench.services.expire_tokens()
        return await asyncio.gather(*(bench.transcribe() for _ in range(16)))

    assert len(bench.run(run())) == 16
    assert bench.services.attempts("auth") == 2
    assert bench.services.attempts("transcription") == 1 + 16 + bench.services.tokens.refused
    assert bench.slept == []


def test_a_token_is_renewed_before_it_expires(bench: EngineBench):
    bench.services.tokens.lifetime_s = 30.0  # by its claim `exp`; renewed after nine tenths

    ahead_s = 0.0
    clock = lambda: time.time() + ahead_s  # noqa: E731
    bench.tokens = LoginTokens(
        bench.service("auth", failures_are_outages=True), "name", "pass", clock=clock
    )

    async def run() -> None:
        nonlocal ahead_s
        await bench.transcribe()
        ahead_s = 20.0
        await bench.transcribe()
        assert bench.services.attempts("auth") == 1
        ahead_s = 28.0
        await bench.transcribe()

    bench.run(run())
    assert bench.services.attempts("auth") == 2 and bench.services.tokens.refused == 0


# Sentiment


def test_both_channels_are_sent_to_the_judge_without_identifying_the_call(bench: EngineBench):
    bench.services.script.labels = {"vodafone": "negative"}
    [judgement] = bench.run(bench.judged())
    assert judgement.sentiment is Sentiment.NEGATIVE and judgement.score == -1.0
    assert judgement.rule == "pattern: scripted"
    assert judgement.quote == "I would rather go to Vodafone."
    [request] = bench.services.requests("sentiment")
    assert request.form == {"context": "vodafone"}
    assert (request.file.field, request.file.name) == ("file", "transcript.json")
    sent = json.loads(request.file.content)
    assert [segment["channel"] for segment in sent["segments"]] == ["left", "right"]
    assert [segment["id"] for segment in sent["segments"]] == [0, 1]
    reported = {name: value for name, value in sent["metadata"].items() if value}
    assert (
        set(reported) == {"ref-id", "transcribed-at", "channel"} and reported["channel"] == "mixed"
    )


def test_a_name_that_is_not_found_is_unsure(bench: EngineBench):
    [judgement] = bench.run(bench.judged(a_mention("Orange", char_start=21)))
    assert (judgement.sentiment, judgement.score) == (Sentiment.MIXED, 0.0)
    assert judgement.rule == "the service found nothing about this name here"


def test_a_failure_of_one_competitor_does_not_affect_the_others(bench: EngineBench):
    bench.services.plan("sentiment", fault.STATUS_500, forever=True, where=for_competitor("three"))
    names = [a_mention(name, char_start=at) for at, name in enumerate(("EE", "Three", "Vodafone"))]
    verdicts = bench.run(bench.judged(*names))
    assert [type(verdict) for verdict in verdicts] == [Judgement, UnjudgedMention, Judgement]
    assert [v.competitor for v in verdicts] == ["EE", "Three", "Vodafone"]
    assert (verdicts[1].error_class, verdicts[1].transient) == ("EngineUnavailable", True)
    assert bench.services.attempts("sentiment") == 1 + 3 + 1
    assert bench.services.peak("sentiment") == 1


def test_if_all_competitors_fail_the_call_fails(bench: EngineBench):
    bench.services.plan("sentiment", fault.STATUS_500, forever=True)
    names = [a_mention(name, char_start=at) for at, name in enumerate(("EE", "Three"))]
    assert isinstance(bench.run(bench.judged(*names)), EngineUnavailable)


# What all of them share


def test_no_cookie_is_stored(bench: EngineBench):
    planted = fault.status(503, retried=True, Set_Cookie="planted=yes; Path=/")
    bench.services.plan("sentiment", planted)
    bench.run(bench.judged())
    assert all("cookie" not in a.headers for a in bench.services.requests("sentiment"))


def test_a_cancelled_request_ends_at_once(bench: EngineBench):
    bench.services.plan("transcription", fault.READ_TIMEOUT, forever=True)

    async def run() -> None:
        request = asyncio.create_task(bench.transcribe())
        assert await asyncio.to_thread(bench.services.wait_for_attempts, "transcription", 1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await asyncio.to_thread(bench.services.settled)

    bench.run(run())
    assert bench.services.attempts("transcription") == 1 and bench.slept == []


def test_during_an_outage_one_request_probes_and_the_others_wait_for_it(bench: EngineBench):
    now, go_on = [0.0], threading.Event()
    bench.http = HttpClient(clock=lambda: now[0])
    bench.services.plan("sentiment", fault.STATUS_503, times=3)

    async def hold(exchange: Exchange) -> None:
        await asyncio.to_thread(go_on.wait)
        await exchange.reply(await exchange.regular_reply())

    async def run() -> tuple[object, ...]:
        with pytest.raises(ServiceUnavailable):
            await bench.judged()
        with pytest.raises(ServiceUnavailable):  # not sent: 15 s are not over
            await bench.judged()
        assert bench.services.attempts("sentiment") == 3
        now[0] += 16
        bench.services.plan("sentiment", fault.Fault("held", hold))
        asked = [asyncio.create_task(bench.judged()) for _ in range(16)]
        await asyncio.to_thread(bench.services.wait_for_attempts, "sentiment", 4)
        await asyncio.sleep(0.1)
        assert bench.services.attempts("sentiment") == 4
        asked[7].cancel()  # a cancelled waiter cancels no other
        go_on.set()
        return tuple(await asyncio.gather(*asked, return_exceptions=True))

    results = bench.run(run())
    failed = [result for result in results if isinstance(result, BaseException)]
    assert [type(each) for each in failed] == [asyncio.CancelledError]
    assert bench.services.attempts("sentiment") == 3 + 15


def test_a_relative_url_gets_the_path_prefix_of_a_proxy(bench: EngineBench):
    service = bench.http.service("split", "https://host/engines")
    assert service.absolute_url("/channels/1") == "https://host/engines/channels/1"
    assert service.absolute_url("channels/1") == "https://host/engines/channels/1"
    assert service.absolute_url("/engines/channels/1") == "https://host/engines/channels/1"
    assert service.absolute_url("http://other/x") == "http://other/x"
    for wrong in ("file:///etc/passwd", "ftp://x/y", "http://[::1", "http://"):
        with pytest.raises(EngineRefused, match="a URL that is not HTTP"):
            service.absolute_url(wrong)


MEMORY = """
import asyncio, sys
from contextlib import closing
from pathlib import Path
from callpipeline.engines.ports import call_context
from callpipeline.engines.http.service import HttpClient
from callpipeline.engines.http.messages import Request, Upload
from callpipeline.engines.split.remote import _SplitResponse
from callpipeline.engines.http.messages import parse_as

def peak_mb():
    status = dict(l.split(":", 1) for l in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

async def send(http, path):
    file = Upload("file", "call.wav", Path(path), "audio/wav")
    service = http.service("split", sys.argv[1])
    answer = await service.send(Request("POST", "/split", file=file), parse_as(_SplitResponse))
    await service.download(answer.left_channel_url, Path(path + ".left"))

with closing(HttpClient()) as http:
    asyncio.run(send(http, sys.argv[2]))
    before = peak_mb()
    asyncio.run(send(http, sys.argv[3]))
    print(peak_mb() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux reports the peak memory of a process"
)
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


def test_speech_outside_of_the_channel_is_clamped_to_it(bench: EngineBench):
    bench.services.script.recognise = lambda _: scripted_segments("Good bye then.", start_s=19.8)
    transcript = bench.run(bench.transcribe())
    [segment] = transcript.segments
    assert (segment.start_s, segment.end_s) == (19.8, 20.0)
    assert [word.end_s for word in segment.words] == [20.0, 20.0, 20.0]


def test_a_response_with_more_segments_than_were_sent_is_refused(bench: EngineBench):
    found = {"segment_id": 0, "start": 0.0, "end": 1.0, "text": "x", "sentiment": "positive"}
    answer = {"context": "Vodafone", "segments": [found] * 10_000}
    bench.services.plan("sentiment", fault.fixed_reply("many", json_reply(answer)))
    error = bench.run(bench.judged())
    assert isinstance(error, EngineRefused)
    assert str(error).endswith("it returned more segments than it was sent.")


def test_a_path_that_may_hold_a_key_is_not_stored_with_an_outage():
    with closing(HttpClient()) as http:
        service = http.service("transcription", "https://host/planted-key/v1")
        other = http.service("transcription", "https://host/other-key/v1")
    names = {service._breaker._service, other._breaker._service}
    assert len(names) == 2
    assert not any("key" in name for name in names)
