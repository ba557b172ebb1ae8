"""The fault server records requests, and applies planned faults to them."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.fakes.services import FaultServer, Script
from tests.fakes.services.faults import READ_TIMEOUT
from tests.integration.asking_services import (
    RECORDING,
    SHA256,
    a_client,
    ask_auth,
    ask_chat,
    ask_speech,
    ask_split,
    ask_transcription,
    pieces,
)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


def test_it_stops_listening_and_leaves_no_threads() -> None:
    before = threading.active_count()
    with FaultServer() as services, a_client() as client:
        ask_auth(services, client)
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(services.url("auth"), verify=False, timeout=60)


def test_it_stops_while_clients_are_waiting() -> None:
    with ThreadPoolExecutor() as pool, a_client() as client:
        with FaultServer() as services:
            services.plan("split", READ_TIMEOUT)
            waiting = pool.submit(ask_split, services, client)
            assert services.wait_for_attempts("split", 1)
        assert isinstance(waiting.exception(), httpx.TransportError)


def test_an_openai_request_is_recorded_with_all_its_fields(
    services: FaultServer, client: httpx.Client
) -> None:
    ask_speech(services, client)
    ask_chat(services, client)
    [speech] = services.requests("speech")
    assert speech.values("timestamp_granularities[]") == ["segment", "word"]
    assert (speech.form["model"], speech.form["temperature"]) == ("whisper-1", "0")
    [chat] = services.requests("chat")
    assert chat.json["messages"] == [{"role": "user", "content": "hello"}]
    assert chat.json["response_format"] == {"type": "json_object"}


def test_uploads_are_hashed_and_not_stored(services: FaultServer, client: httpx.Client) -> None:
    ask_transcription(services, client)
    [request] = services.requests("transcription")
    file = request.file
    assert (file.field, file.name, file.content_type) == ("audio_file", "right.flac", "audio/flac")
    assert (file.size_bytes, file.sha256, file.content) == (len(RECORDING), SHA256, b"")
    assert request.form == {"whisper_model": "large-v3", "language": "en"}
    assert request.token == services.tokens.issued[0]
    assert request.body_read and request.body_bytes > len(RECORDING)
    assert (request.status, request.fault) == (200, None)


def test_file_names_are_recorded_as_sent(services: FaultServer, client: httpx.Client) -> None:
    names = ["naïve – “call”.wav", "a;b=c.wav", "back\\slash.wav", "通話.wav", "two  spaces.wav"]
    for name in names:
        upload = {"file": (name, b"\r\n--x\r\n" * 3, "audio/wav")}
        client.post(f"{services.url('split')}/split", files=upload)
    assert [request.file.name for request in services.requests("split")] == names


@pytest.mark.parametrize("size", [1, 7, 1000, 70_000])
def test_a_chunked_upload_is_recorded_like_any_other(
    size: int, services: FaultServer, client: httpx.Client
) -> None:
    content = b"\r\n--edg\r\n--\r\n" * 20 + RECORDING[: size * 300]
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = head + content + b"\r\n--edge--\r\n"
    answer = client.post(
        f"{services.url('split')}/split",
        content=pieces(body, size),
        headers={"Content-Type": "multipart/form-data; boundary=edge"},
    )
    assert answer.status_code == 200
    [request] = services.requests("split")
    assert request.headers["transfer-encoding"] == "chunked"
    assert request.file.sha256 == hashlib.sha256(content).hexdigest()
    assert request.body_bytes == len(body)


def test_a_malformed_form_is_refused_and_recorded(
    services: FaultServer, client: httpx.Client
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    answer = client.post(f"{services.url('split')}/split", content=b"nothing", headers=headers)
    assert answer.status_code == 400
    assert services.requests("split")[0].malformed


def test_a_disconnect_during_an_upload_is_recorded(services: FaultServer) -> None:
    def broken():
        yield b"--edge\r\n"
        raise RuntimeError("hung up")

    with a_client() as client, pytest.raises(RuntimeError):
        client.post(f"{services.url('split')}/split", content=broken())
    assert services.wait_for_attempts("split", 1)
    assert services.settled()
    [request] = services.requests("split")
    assert (request.body_read, request.status) == (False, None)


def test_a_connection_is_reused_and_counted(services: FaultServer) -> None:
    with a_client() as client:
        for _ in range(5):
            ask_split(services, client)
    assert services.connections("split") == 1
    for _ in range(2):
        with a_client() as client:
            ask_split(services, client)
    assert services.connections("split") == 3
    assert len({request.connection for request in services.requests("split")}) == 3


def test_the_peak_counts_concurrent_requests(services: FaultServer) -> None:
    services.delay("split", 0.1)

    async def send_concurrently(limit: int) -> None:
        limits = httpx.Limits(max_connections=limit)
        async with httpx.AsyncClient(limits=limits, verify=False, timeout=60) as client:
            upload = {"file": ("call.wav", b"sound", "audio/wav")}
            url = f"{services.url('split')}/split"
            await asyncio.gather(*(client.post(url, files=upload) for _ in range(8)))

    asyncio.run(send_concurrently(4))
    assert services.peak("split") == 4
    assert services.connections("split") == 4
    assert max(request.in_flight for request in services.requests("split")) == 4
    assert services.peak("auth") == 0


def test_a_delay_applies_to_each_response(services: FaultServer, client: httpx.Client) -> None:
    services.delay("auth", 0.1)
    ask_auth(services, client)
    assert services.settled()
    [request] = services.requests("auth")
    assert request.ended_s and request.ended_s - request.arrived_s >= 0.1


def test_an_unknown_path_is_404_and_recorded(services: FaultServer, client: httpx.Client) -> None:
    assert client.get(f"{services.url('split')}/splat").status_code == 404
    assert client.get(f"{services.url('auth')}/split").status_code == 404
    assert [request.path for request in services.requests("unknown")] == ["/splat", "/split"]
    assert client.get(f"{services.url('speech')}/models").status_code == 200


def test_a_bug_in_a_script_is_raised_when_the_server_stops() -> None:
    def recognise(request: object) -> None:
        raise KeyError("a bug")

    services = FaultServer(Script(recognise=recognise))
    services.__enter__()
    with a_client() as client:
        assert ask_transcription(services, client).status_code == 500
    with pytest.raises(KeyError, match="a bug"):
        services.__exit__(None, None, None)


def test_it_runs_as_a_program_with_statistics() -> None:
    command = [sys.executable, "-m", "tests.fakes.services", "--transcription-seconds", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout
        urls = dict(process.stdout.readline().split() for _ in range(8))
        with a_client() as client:
            form = {"username": "a", "password": "b"}
            login = client.post(f"{urls['auth']}/api/v1/login/access-token", data=form).json()
            began_s = time.perf_counter()
            answer = client.post(
                f"{urls['transcription']}/api/v1/transcriptions/",
                headers={"Authorization": f"Bearer {login['access_token']}"},
                files={"audio_file": ("left.flac", b"sound", "audio/flac")},
            )
            assert time.perf_counter() - began_s >= 0.2
            stats = client.get(urls["stats"]).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert answer.status_code == 200
    assert stats["transcription"]["requests"] == stats["transcription"]["peak"] == 1
    assert stats["auth"]["connections"] == 1
