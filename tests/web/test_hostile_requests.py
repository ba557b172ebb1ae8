"""Hostile requests: each gets a response, and none a server error."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope
from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.access import ApiKeys
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, sending, sending_to

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


NOTE = {"type": "custom", "title": "a", "channels": ["email"]}


JSON = [
    (
        "/notify",
        json.dumps(NOTE)[:-1] + ', "metadata": {"a": %s}}' % ("[" * 900 + "]" * 900),
        422,
    ),
    ("/notify", json.dumps(NOTE)[:-1] + ', "metadata": {"a": "\\ud800\\u0000"}}', 200),
    ("/notify", json.dumps(NOTE)[:-1] + ', "metadata": {"a": NaN, "b": 1e999}}', 200),
    ("/notify", json.dumps(NOTE)[:-1] + ', "job_id": "\\u0000", "message": "\\u0000"}', 200),
    ("/notify", '{"type": "custom", "title": "\\ud800"}', 422),
    ("/notify", "[" * 100_000, 400),
    ("/notify", '{"a":' * 100_000, 400),
    ("/notify", '{"title": ' + "9" * 5000 + "}", 400),
    ("/notify", "\ufeff", 422),
    ("/webhook", '{"file_url": "https://a.example/a.wav", "metadata": {"a": "\\ud800"}}', 422),
    ("/webhook", '{"file_url": "https://a.example/a.wav", "metadata": {"\\ud800": 1}}', 422),
    (
        "/webhook",
        '{"file_url": "https://a.example/a.wav", "metadata": {"agent": "%s"}}' % ("a" * 1001),
        422,
    ),
    (
        "/webhook",
        '{"file_url": "https://a.example/a.wav", "metadata": {"agent": "\\u0000é"}}',
        200,
    ),
    ("/webhook", '{"file_url": "https://a.example/a.wav", "metadata": {"agent": NaN}}', 200),
    ("/webhook", '{"file_url": "https://a.example/\\u0000.wav"}', 422),
    ("/webhook", '{"file_url": "https://a.example/a.wav", "filename": "\\u0000"}', 200),
    ("/find-competitors", '{"transcript_text": "\\ud800"}', 422),
    ("/find-competitors", '{"transcript_text": "\\u0000"}', 200),
]


def test_odd_json_is_accepted_or_refused(client: httpx.Client) -> None:
    kind = {"Content-Type": "application/json"}
    for path, body, answer in JSON:
        reply = client.post(path, content=body.encode(), headers=kind)
        assert reply.status_code == answer, (path, body[:90], reply.text)
        assert reply.headers["Content-Type"] == (PROBLEM if answer >= 400 else "application/json")


def test_compressed_bodies_are_not_decompressed(client: httpx.Client) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert client.post("/notify", content=b"\x1f\x8b\x08" + bytes(20), headers=packed).is_error
    reply = client.put("/upload/a.wav", content=b"\x1f\x8b\x08" + bytes(5000), headers=packed)
    assert reply.status_code == 415


ODD = ["%00", "a%00b", "%ED%A0%80", "%FF", "%0D%0AX:%201", "%E2%80%AE", "9" * 400, "x" * 3000, "-1"]
QUERIES = {
    "/jobs": ("skip", "limit", "after", "from", "agent", "competitor", "state", "named", "name"),
    "/calls": ("after", "agent", "competitor", "source", "name", "state", "sentiment"),
    "/search": ("words", "after", "agent"),
    "/review": ("competitor", "after"),
    "/search/segments": ("words", "after", "name"),
    "/analytics": ("after", "sort", "order", "agents", "agent", "competitor"),
    "/analytics/sentiment-trends": ("competitor_name", "speaker"),
    "/storage/list": ("prefix", "after", "limit"),
    "/export/segments.csv": ("words", "name", "agent"),
    "/notify/history": ("limit",),
    "/events/calls": ("row",),
    "/login": ("next",),
}
PATHS = [
    *("/jobs/{}", "/calls/{}", "/calls/{}/words", "/calls/{}/audio.wav", "/calls/{}/call.json"),
    *("/storage/download/{}", "/storage/exists/{}", "/storage/presigned-url/{}", "/{}"),
    *("/storage/signed/{}", "/analytics/competitor/{}", "/export/{}.csv", "/static/{}"),
]


def test_odd_queries_cause_no_server_error(client: httpx.Client) -> None:
    for path, name in [(path, name) for path, names in QUERIES.items() for name in names]:
        for value in ODD:
            for query in (f"{name}={value}", f"{name}={value}&{name}={value}"):
                reply = client.get(f"{path}?{query}")
                assert reply.status_code in (200, 303, 422), (path, query, reply.text)
                assert "\nX:" not in str(reply.headers)


def test_odd_paths_cause_no_server_error(client: httpx.Client) -> None:
    for path in PATHS:
        for value in ODD:
            for accept in ("*/*", "text/html"):
                reply = client.get(path.format(value), headers={"Accept": accept})
                assert reply.status_code in (200, 404, 422), (path, value, reply.text)


def test_odd_headers_cause_no_server_error(client: httpx.Client) -> None:
    for name, value in [
        ("If-None-Match", b'"'),
        ("If-None-Match", b'W/,,,"\xff"'),
        ("Range", b"bytes=-99999999999999999999999"),
        ("Range", b"junk"),
        ("Cookie", b"=;;;=;a"),
        ("Cookie", b";".join(b"c%d=1" % n for n in range(6000))),
        ("Accept", b"text/html;" * 5000),
        ("Last-Event-ID", b"\xff"),
        ("Authorization", b"Bearer"),
        ("X-Forwarded-For", b"a,,b,\xff"),
    ]:
        for path in (
            "/jobs",
            "/analytics/overview",
            "/calls",
            "/static/app.js",
            "/calls/x/audio.wav",
        ):
            began_s = time.process_time()
            reply = client.get(path, headers=[(name.encode(), value)])
            assert reply.status_code < 500, (name, value[:40], path)
            assert time.process_time() - began_s < 10


def test_405_lists_the_allowed_methods(client: httpx.Client) -> None:
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
        for path in ("/", "/jobs", "/health", "/notify"):
            reply = client.request(method, path)
            assert reply.status_code == 405
            assert reply.headers["Allow"]
    assert client.head("/notify").status_code == 405
    assert client.head("/jobs").status_code == 200


PRIVATE = " ".join(("SELECT", "secret", "FROM", "bucket/mrs-smith"))


class Broken:
    """Fails with an unexpected error."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(PRIVATE)


def test_unhandled_exceptions_are_reported_without_details(
    capfd: pytest.CaptureFixture[str], settings: Settings, storage: Storage
) -> None:
    def broken(state: AppState) -> AppState:
        return replace(state, storage=replace(state.storage, calls=Broken()))  # pyright: ignore[reportArgumentType]

    with sending(settings, storage, broken) as sender:
        for accept, kind in (("*/*", PROBLEM), ("text/html", "text/html; charset=utf-8")):
            reply = sender.client.get("/jobs", headers={"Accept": accept})
            assert (reply.status_code, reply.headers["Content-Type"]) == (500, kind)
            assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
            assert reply.headers["Cache-Control"] == "no-store"
            assert not any(word in reply.text for word in ("SELECT", "bucket/", "smith", "File "))
    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged
    assert not any(word in logged for word in ("SELECT", "bucket/mrs"))


class AwayStore:
    """Errors of a bucket contain its name."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, path: str) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MissingObject("s3://own-bucket/calls no longer contains the object."), 404),
        (StoreUnavailable("s3://own-bucket/calls did not answer (Timeout)."), 503),
    ],
)
def test_bucket_names_are_for_admins(
    settings: Settings, storage: Storage, error: Exception, answer: int
) -> None:
    def away(state: AppState) -> AppState:
        return replace(state, documents=AwayStore(error))  # pyright: ignore[reportArgumentType]

    key = ApiKey.generate()
    ApiKeys(storage.database).add(key, "a reader", [Scope.READ], by="a test")
    with sending(settings, storage, away) as sender:
        for headers, is_told in (({}, True), ({"X-API-KEY": key.to_text()}, False)):
            reply = sender.client.get("/storage/download/a.json", headers=headers)
            assert (reply.status_code, "own-bucket" in reply.text) == (answer, is_told)


def test_request_data_is_not_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], client: httpx.Client
) -> None:
    caplog.set_level("INFO")
    secret = "zanzibar"
    client.get(f"/search?words={secret}")
    client.get(f"/calls/{secret}")
    client.get(f"/storage/download/{secret}", headers={"X-API-KEY": secret})
    client.get(f"/{secret}", headers={"Cookie": secret, "User-Agent": secret})
    client.put(f"/upload/{secret}.wav", content=secret.encode())
    client.post("/webhook", json={"file_url": f"http://127.0.0.1/{secret}"})
    client.post("/notify", content=secret.encode())
    client.post("/login", data={"name": secret, "password": secret})
    lines = [each.getMessage() for each in caplog.records if not each.name.startswith("http")]
    logged = "\n".join(lines) + "".join(capfd.readouterr())
    assert logged.count("PUT /upload/{filename} 415") == 1
    assert secret not in logged
