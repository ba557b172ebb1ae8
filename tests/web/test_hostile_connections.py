"""Request smuggling, endless requests, and forged hosts."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.http_server import connections as heads
from callpipeline.http_server import limits as bodies
from callpipeline.wiring import Storage
from tests.web.app_server import serving
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY, sending, sending_to

HOST = b"Host: 127.0.0.1\r\n"
USERS = {"ann": SecretStr("a password of mine")}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def settings(empty_app: Served) -> Settings:
    return empty_app.settings


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with sending_to(empty_app) as sender:
        yield sender.client


def said(address: str, request: bytes, within_s: float = 300) -> bytes:
    """Return everything the server sends in response to these bytes."""
    parts = urlsplit(address)
    answer = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=within_s) as there:
        there.sendall(request)
        while piece := there.recv(65_536):
            answer += piece
    return answer


def status(address: str, request: bytes) -> int:
    return int(said(address, request).split(b" ", 2)[1])


BODY = b"POST /notify HTTP/1.1\r\n" + HOST


AMBIGUOUS = [
    BODY + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    BODY + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    BODY + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    BODY + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    BODY + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFF\r\n",
    BODY + b"Content-Length: -1\r\n\r\n",
    BODY + b"Content-Length: +2\r\n\r\n{}",
    b"GET /jobs HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    b"GET /jobs HTTP/1.1\r\n" + HOST + b"X: \0\r\n\r\n",
    b"GET /jobs HTTP/1.1\nHost: 127.0.0.1\n\n",
    b"GET /j\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /jobs HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
]


def test_ambiguous_requests_are_refused(client: httpx.Client) -> None:
    for request in AMBIGUOUS:
        assert status(str(client.base_url), request) == 400, request


def test_endless_headers_are_refused(client: httpx.Client) -> None:
    for head in (b"X: " + b"x" * 99_000, b"a: b\r\n" * 16_000):
        assert status(str(client.base_url), b"GET /health HTTP/1.1\r\n" + HOST + head) == 400


def test_long_headers_are_accepted(client: httpx.Client) -> None:
    assert client.get("/health", params={"x": "x" * 30_000}).status_code == 200
    headers = {"X": "x" * 30_000, "Connection": "close"}
    assert client.get("/health", headers=headers).status_code == 200
    large = {"transcript_text": "Sky " * 200_000}
    assert client.post("/find-competitors", json=large).status_code in (200, 422)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, settings: Settings, database_url: str) -> Iterator[str]:
    """An app with short timeouts and users."""
    monkeypatch.setitem(bodies.BodyTimeout.__init__.__kwdefaults__ or {}, "idle_s", 0.3)
    monkeypatch.setitem(heads.HeaderLimit.__init__.__kwdefaults__ or {}, "within_s", 1.0)
    known = {
        "database_url": SecretStr(database_url),
        "api_key": SecretStr(KEY),
        "web_users": USERS,
    }
    with serving(settings.model_copy(update=known)) as address:
        yield address


def test_a_stalled_body_times_out(hasty: str) -> None:
    for path in ("/notify", "/webhook", "/find-competitors", "/login"):
        kind = "application/x-www-form-urlencoded" if path == "/login" else "application/json"
        head = f"POST {path} HTTP/1.1\r\nX-API-KEY: {KEY}\r\nContent-Type: {kind}\r\n".encode()
        answer = said(hasty, head + HOST + b"Content-Length: 1000\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 "), path
        assert PROBLEM.encode() in answer


def test_stalled_headers_time_out(hasty: str) -> None:
    for begun in (b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nX: ", b"\r\n"):
        assert said(hasty, begun) == b""


def test_slow_responses_are_not_cut_off(hasty: str) -> None:
    parts = urlsplit(hasty)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as there:
        there.sendall(f"GET /events/newest HTTP/1.1\r\nX-API-KEY: {KEY}\r\n".encode() + HOST)
        there.sendall(b"\r\n")
        answer = b""
        while b"listening" not in answer:
            answer += (piece := there.recv(65_536))
            assert piece, "the stream begins"
        there.settimeout(2.0)
        with suppress(TimeoutError):  # usually there is nothing to tell
            assert there.recv(65_536), "it is still open"


def test_idle_connections_do_not_block_others(hasty: str) -> None:
    parts = urlsplit(hasty)
    idle = [socket.create_connection((parts.hostname, parts.port)) for _ in range(300)]
    try:
        assert httpx.get(f"{hasty}/health/live", timeout=60).status_code == 204
        assert {each.recv(1) for each in idle} == {b""}, "each is closed when its time is over"
    finally:
        for each in idle:
            each.close()


def test_redirects_ignore_the_host_header(hasty: str) -> None:
    for path in ("/jobs/", "/calls/", "//evil.example/jobs/", "/login/?next=%0d%0aX:1"):
        for host in ("evil.example", "127.0.0.1"):
            reply = httpx.get(hasty + path, headers={"Host": host}, timeout=60)
            assert reply.headers.get("Location", "/").startswith("/"), path
            assert not reply.headers.get("Location", "/").startswith("//"), path
    assert httpx.get(f"{hasty}/jobs/", timeout=60).headers["Location"] == "/jobs"


def test_generated_urls_use_the_settings(settings: Settings, storage: Storage) -> None:
    options = settings.model_copy(
        update={"web_url": "https://calls.example.com", "web_users": USERS}
    )
    with sending(options, storage) as sender:
        sender.client.post("/storage/upload", json={"object_path": "a.json", "data": 1})
        for headers in ({}, {"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
            reply = sender.client.get("/storage/presigned-url/a.json", headers=headers)
            url = reply.json()["url"]
            assert url.startswith("https://calls.example.com/storage/signed/")
        path = url.removeprefix("https://calls.example.com")
        assert sender.client.get(path).json() == 1
