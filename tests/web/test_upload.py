"""`/upload`: recordings sent over HTTP."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.domain.calls.call import (
    CallState,
    DuplicatePolicy,
    Lane,
    RegisteredCall,
    Registration,
)
from callpipeline.errors import DatabaseUnavailable, SameRecording, StoreUnavailable
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import ScanBudget, discover
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.sources.patterns import compile_pattern
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage, open_storage
from tests.fakes.file_host import FileHost, ok
from tests.integration.calls import change, row
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY, Sender, a_recording, sending, sending_to


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, upload_max_mb=1, **WITH_KEY) as app:
        yield app


@pytest.fixture
def settings(empty_app: Served) -> Settings:
    return empty_app.settings


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def sender(empty_app: Served) -> Iterator[Sender]:
    with sending_to(empty_app) as sender:
        yield sender


def look(storage: Storage) -> list[RegisteredCall]:
    """Run discovery in the folder of the recordings."""
    tick = ScanBudget(datetime.now(UTC), settle_s=0)
    return discover(
        storage.home, storage.inbox, storage.ledger, DiscoveryCursor(), tick
    ).result.registered


def test_a_recording_is_stored_and_its_call_waits(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    reply = sender.upload(content, "Anna Müller.wav")
    assert reply.status_code == 200
    document = reply.json()
    assert document["status"] == "PENDING"
    assert document["message"] == "Uploaded. Waiting to be processed."
    [found] = storage.inbox.list()
    assert found.key.endswith("/Anna Müller.wav")
    assert found.call_id == document["job_id"]
    assert storage.inbox.read(found.key) == content
    entered = row(storage, found.call_id)
    assert (entered["lane"], entered["sha256"]) == (Lane.LIVE, hashlib.sha256(content).hexdigest())
    assert sender.landed() == []


AGENT_AND_DATE = compile_pattern(r"AGENT_(?P<agent>[^_]+)_(?P<date>\d{8})", "filename")


def test_the_sources_name_pattern_applies(settings: Settings, storage: Storage) -> None:
    source = replace(storage.home, filename=AGENT_AND_DATE)

    def with_pattern(state: AppState) -> AppState:
        return replace(state, storage=replace(state.storage, home=source))

    with sending(settings, storage, with_pattern) as sender:
        job_id = sender.upload(a_recording(), "AGENT_ChrisL_20260302.wav").json()["job_id"]
    entered = row(storage, job_id)
    assert entered["metadata"] == {"agent": "ChrisL"}
    assert f"{entered['started_at']:%Y-%m-%d}" == "2026-03-02"


@pytest.mark.parametrize("name", ["call.wav", "the same under another name.wav"])
def test_a_vanished_recording_that_waits_is_restored_by_the_same_bytes(
    sender: Sender, storage: Storage, tmp_path: Path, name: str
) -> None:
    content = a_recording()
    job_id = sender.upload(content, "call.wav").json()["job_id"]
    [lost] = storage.inbox.list()
    storage.inbox.delete(lost.key)
    again = sender.upload(content, name)
    assert (again.status_code, again.json()["job_id"]) == (200, job_id)
    [restored] = storage.inbox.list()
    assert storage.inbox.read(restored.key) == content
    assert storage.ledger.unknown([restored]) == [], "discovery does not see a second call"
    [call] = storage.claims.claim([job_id], "run-1")

    storage.recordings.fetch(call.recording, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert storage.ledger.count() == {CallState.PROCESSING: 1}
    storage.inbox.delete(restored.key)
    assert sender.upload(content, name).json()["job_id"] == job_id
    assert list(storage.inbox.list()) == [], "a run has it already"


def test_the_recording_may_be_the_body_itself(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    reply = sender.client.put("/upload/raw%20call.wav", content=content)
    assert reply.status_code == 200
    [key] = sender.objects()
    assert key.endswith("/raw call.wav")
    assert storage.inbox.read(key) == content
    assert sender.upload(content).json()["job_id"] == reply.json()["job_id"]


def test_the_same_bytes_are_one_call_whatever_their_name(sender: Sender) -> None:
    content = a_recording()
    first = sender.upload(content, "one.wav").json()
    again = sender.upload(content, "other.wav").json()
    assert again["job_id"] == first["job_id"]
    assert again["message"] == "This recording was already uploaded."
    assert (sender.calls(), len(sender.objects())) == (1, 1)


def test_a_failed_call_is_reported(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    job_id = sender.upload(content).json()["job_id"]
    change(storage, [job_id], state="'FAILED'", error_message="'not audio'", error_class="'X'")
    again = sender.upload(content).json()
    assert (again["job_id"], again["status"]) == (job_id, "FAILED")
    assert "retry" in again["message"]


def test_an_erased_recording_is_refused(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    job_id = sender.upload(content).json()["job_id"]
    storage.erasures.begin([job_id], keep_recording=True)
    for name in ("call.wav", "other.wav"):
        reply = sender.upload(content, name)
        assert reply.status_code == 409
        assert "erase --lift" in reply.json()["detail"]
    assert sender.calls() == 1


@pytest.mark.parametrize(
    ("content", "name", "status", "sentence"),
    [
        (b"", "call.wav", 422, "empty"),
        (b"%PDF-1.7 and so on", "call.wav", 415, "a PDF, not audio"),
        (b"PK\x03\x04" + b"\0" * 9000, "call.wav", 415, "a ZIP archive"),
        (b"<!DOCTYPE html><html>", "call.wav", 415, "an HTML page"),
        (b"Hello, this is text.", "call.mp3", 415, "a text file"),
        (b"anything", "notes.txt", 415, "Not an audio file"),
        (b"anything", "call.transcript.json", 415, "Not an audio file"),
        (b"anything", "C:\\calls\\list.CSV", 415, "Not an audio file"),
        (b"\0" * 1_000_001, "call.wav", 413, "1 MB"),
        (b"\0" * 3_000_000, "call.wav", 413, "1 MB"),
        (b"%PDF" + b"\xff" * 900_000, "call.wav", 415, "a PDF, not audio"),
    ],
    ids=["empty", "pdf", "zip", "html", "text", "txt", "json", "csv", "byte", "large", "head"],
)
def test_other_files_are_refused_with_a_reason_and_leave_nothing(
    sender: Sender, content: bytes, name: str, status: int, sentence: str
) -> None:
    reply = sender.upload(content, name)
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert sentence in reply.json()["detail"]
    assert (sender.calls(), sender.objects(), sender.landed()) == (0, [], [])


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"file": "x"}', "application/json", 415),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--x\r\nno header", "multipart/form-data; boundary=x", 400),
        (b"", "multipart/form-data", 415),
        (
            b'--x\r\nContent-Disposition: form-data; name="sound"; filename="a.wav"\r\n\r\n'
            b"x\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            422,
        ),
    ],
)
def test_invalid_forms_are_refused(sender: Sender, content: bytes, kind: str, status: int) -> None:
    reply = sender.client.post("/upload", content=content, headers={"Content-Type": kind})
    assert reply.status_code == status
    assert sender.landed() == []


def test_uploads_require_a_key(sender: Sender) -> None:
    assert sender.upload(a_recording(), **{"X-API-KEY": "wrong"}).status_code == 401
    assert sender.landed() == []


def _head(sender: Sender, length: int, *more: str) -> bytes:
    lines = (
        "PUT /upload/call.wav HTTP/1.1",
        "Host: 127.0.0.1",
        f"X-API-KEY: {KEY}",
        f"Content-Length: {length}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def test_too_large_uploads_are_refused_before_they_are_read(
    sender: Sender,
) -> None:
    with socket.create_connection(sender.address, timeout=60) as there:
        there.sendall(_head(sender, 5_000_000_000))
        assert there.recv(100).startswith(b"HTTP/1.1 413")


def test_expect_continue_is_answered(sender: Sender) -> None:
    content = a_recording()
    with socket.create_connection(sender.address, timeout=60) as there:
        there.sendall(_head(sender, len(content), "Expect: 100-continue"))
        assert there.recv(100).startswith(b"HTTP/1.1 100")
        there.sendall(content)
        answer = b""
        while not answer.endswith(b"}"):
            answer += there.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200")
        there.sendall(_head(sender, 5_000_000_000, "Expect: 100-continue"))
        assert there.recv(100).startswith(b"HTTP/1.1 413")
    assert sender.calls() == 1


class Away:
    """A store that is unavailable or full."""

    def __init__(self, store: object, reason: str) -> None:
        self._store, self.reason = store, reason

    def put_new(self, key: str, content: bytes | Path) -> None:
        if self.reason:
            raise StoreUnavailable(self.reason)
        self._store.put_new(key, content)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("reason", ["recordings is full.", "recordings did not answer."])
def test_a_full_or_unavailable_store_is_reported_and_a_retry_succeeds(
    settings: Settings, storage: Storage, reason: str
) -> None:
    store = Away(storage.inbox, reason)

    def broken(state: AppState) -> AppState:
        return replace(state, storage=replace(state.storage, inbox=store))  # type: ignore[arg-type]

    content = a_recording()
    with sending(settings, storage, broken) as sender:
        reply = sender.upload(content, **{"Idempotency-Key": "k"})
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
        assert reply.json()["detail"] == reason
        assert (sender.calls(), sender.objects(), sender.landed()) == (0, [], [])
        store.reason = ""
        reply = sender.upload(content, **{"Idempotency-Key": "k"})
        assert reply.status_code == 200
        assert (sender.calls(), len(sender.objects())) == (1, 1)


class Lost(Ledger):
    """A ledger whose database fails before the recording is registered."""

    def register(self, registrations: Iterable[Registration]) -> list[RegisteredCall]:
        raise DatabaseUnavailable("Postgres did not answer.")


@pytest.mark.parametrize("sensor_first", [True, False])
def test_a_stored_but_unregistered_recording_becomes_one_call(
    settings: Settings, storage: Storage, sensor_first: bool
) -> None:
    def broken(state: AppState) -> AppState:
        ledger = Lost(state.storage.database)
        return replace(state, storage=replace(state.storage, ledger=ledger))

    content = a_recording()
    with sending(settings, storage, broken) as sender:
        reply = sender.upload(content)
        assert reply.status_code == 503
        assert (sender.calls(), len(sender.objects())) == (0, 1)
    with sending(settings, storage) as sender:
        found = look(storage) if sensor_first else []
        job_id = sender.upload(content).json()["job_id"]
        found += look(storage)
        assert {each.call_id for each in found} <= {job_id}
        assert (sender.calls(), len(sender.objects())) == (1, 1)


def test_concurrent_uploads_are_all_imported(sender: Sender) -> None:
    contents = [a_recording() for _ in range(20)]
    with ThreadPoolExecutor(20) as all_at_once:
        replies = list(all_at_once.map(sender.upload, contents))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["job_id"] for reply in replies}) == 20
    assert (sender.calls(), sender.landed()) == (20, [])


def read_by_a_run(storage: Storage, call_id: str, into: Path) -> str:
    """Do what a run does first: detect duplicates."""
    run_id = f"run of {call_id}"
    [call] = storage.claims.claim([call_id], run_id)
    storage.recordings.fetch(call.recording, into)
    try:
        storage.claims.own_content(call, run_id, hashlib.sha256(into.read_bytes()).hexdigest())
    except SameRecording as error:
        return error.original_call_id
    return call_id


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


@pytest.fixture
def reaching(settings: Settings, database_url: str) -> Iterator[tuple[Sender, Storage]]:
    """An app that may download from loopback, and its storage."""
    options = settings.model_copy(update={"fetch_allow": ("127.0.0.1",)})
    with open_storage(options, database_url) as storage, sending(options, storage) as sender:
        yield sender, storage


def test_the_same_bytes_from_all_sources_are_processed_once(
    reaching: tuple[Sender, Storage], host: FileHost, tmp_path: Path
) -> None:
    sender, storage = reaching
    for number in range(100 if "LARGE" in os.environ else 10):
        content = a_recording()
        host.answers[f"/{number}.wav"] = ok(content)
        together = threading.Barrier(5, timeout=60)

        def send(name: str, content: bytes = content, together: threading.Barrier = together):
            together.wait()
            return sender.upload(content, name).json()["job_id"]

        def drop(
            content: bytes = content, together: threading.Barrier = together, number: int = number
        ) -> str:
            together.wait()
            storage.inbox.put(f"dropped/{number}.wav", content)
            return next((each.call_id for each in look(storage)), "")

        def announce(
            together: threading.Barrier = together, number: int = number
        ) -> httpx.Response:
            together.wait()
            said = {"file_url": host.url(f"/{number}.wav")}
            return sender.client.post("/webhook", json=said)

        with ThreadPoolExecutor(5) as hands:
            dropping, announcing = hands.submit(drop), hands.submit(announce)
            told = set(hands.map(send, ["a.wav", "b.wav", "a.wav"]))
            dropping.result()
            announcing.result().raise_for_status()
        look(storage)
        assert len(told) == 1
        waiting = [record.call_id for record in storage.ledger.calls() if record.state == "PENDING"]
        assert announcing.result().json()["job_id"] in waiting
        copy = tmp_path / "read by a run"
        assert len({read_by_a_run(storage, call_id, copy) for call_id in waiting}) == 1
        assert len(host.asked) == number + 1
        with storage.database.transaction() as connection:
            connection.execute("DELETE FROM calls")
        for key in sender.objects():
            storage.inbox.delete(key)


def test_a_source_that_processes_duplicates_has_one_call_of_a_repeated_upload(
    settings: Settings, storage: Storage
) -> None:
    def processing(state: AppState) -> AppState:
        home = replace(storage.home, duplicates=DuplicatePolicy.PROCESS)
        return replace(state, storage=replace(state.storage, home=home))

    content = a_recording()
    with sending(settings, storage, processing) as sender:
        assert len({sender.upload(content).json()["job_id"] for _ in range(3)}) == 1


def test_browsers_get_an_error_page(sender: Sender) -> None:
    reply: httpx.Response = sender.upload(b"", Accept="text/html")
    assert reply.status_code == 422
    assert "text/html" in reply.headers["Content-Type"]
