"""`/upload`: recordings that come over HTTP."""

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
from callpipeline.domain.call import DuplicatePolicy, Lane, Registered, Registration
from callpipeline.errors import DatabaseUnavailable, SameRecording, StoreUnavailable
from callpipeline.pipeline.discovery import Tick, discover
from callpipeline.pipeline.progress import Progress
from callpipeline.storage.ledger import Ledger
from callpipeline.web.opened import Opened
from callpipeline.wiring import Storage, open_storage
from tests.fakes.file_host import FileHost, ok
from tests.integration.calls import change, row
from tests.web.uploads import KEY, Sender, a_recording, sending


@pytest.fixture
def sender(settings: Settings, storage: Storage) -> Iterator[Sender]:
    small = settings.model_copy(update={"upload_max_mb": 1})
    with sending(small, storage) as sender:
        yield sender


def look(storage: Storage) -> list[Registered]:
    """What a sensor finds in the folder of the recordings."""
    tick = Tick(datetime.now(UTC), settle_s=0)
    return discover(storage.home, storage.inbox, storage.ledger, Progress(), tick).found.registered


def test_a_recording_is_stored_and_its_call_waits(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    reply = sender.upload(content, "Anna Müller.wav")
    assert reply.status_code == 200
    document = reply.json()
    assert document["status"] == "PENDING"
    assert "taken in" in document["message"]
    [found] = storage.inbox.list()
    assert found.key.endswith("/Anna Müller.wav")
    assert found.call_id == document["job_id"]
    assert storage.inbox.read(found.key) == content
    entered = row(storage, found.call_id)
    assert (entered["lane"], entered["sha256"]) == (Lane.LIVE, hashlib.sha256(content).hexdigest())
    assert sender.landed() == []


def test_what_its_name_tells_by_the_sources_pattern_is_known(
    settings: Settings, storage: Storage
) -> None:
    source = replace(storage.home, filename=r"AGENT_(?P<agent>[^_]+)_(?P<date>\d{8})")

    def with_pattern(opened: Opened) -> Opened:
        return replace(opened, storage=replace(opened.storage, home=source))

    with sending(settings, storage, with_pattern) as sender:
        job_id = sender.upload(a_recording(), "AGENT_ChrisL_20260302.wav").json()["job_id"]
    entered = row(storage, job_id)
    assert entered["metadata"] == {"agent": "ChrisL"}
    assert f"{entered['started_at']:%Y-%m-%d}" == "2026-03-02"


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
    assert "before" in again["message"]
    assert (sender.calls(), len(sender.objects())) == (1, 1)


def test_of_a_call_that_failed_its_state_is_told(sender: Sender, storage: Storage) -> None:
    content = a_recording()
    job_id = sender.upload(content).json()["job_id"]
    change(storage, [job_id], state="'FAILED'", error_message="'not audio'", error_class="'X'")
    again = sender.upload(content).json()
    assert (again["job_id"], again["status"]) == (job_id, "FAILED")
    assert "retry" in again["message"]


def test_what_was_erased_does_not_come_back(sender: Sender, storage: Storage) -> None:
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
        (b"anything", "notes.txt", 415, "no recording"),
        (b"anything", "call.transcript.json", 415, "no recording"),
        (b"anything", "C:\\calls\\list.CSV", 415, "no recording"),
        (b"\0" * 1_000_001, "call.wav", 413, "1 MB"),
        (b"\0" * 3_000_000, "call.wav", 413, "1 MB"),
        (b"%PDF" + b"\xff" * 900_000, "call.wav", 415, "a PDF, not audio"),
    ],
    ids=["empty", "pdf", "zip", "html", "text", "txt", "json", "csv", "byte", "large", "head"],
)
def test_what_is_no_recording_is_refused_in_words_and_leaves_nothing(
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
def test_what_is_no_form_with_a_file_is_refused(
    sender: Sender, content: bytes, kind: str, status: int
) -> None:
    reply = sender.client.post("/upload", content=content, headers={"Content-Type": kind})
    assert reply.status_code == status
    assert sender.landed() == []


def test_nobody_uploads_without_a_key(sender: Sender) -> None:
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


def test_what_says_that_it_is_too_large_is_refused_before_any_of_it_is_read(
    sender: Sender,
) -> None:
    with socket.create_connection(sender.address, timeout=10) as there:
        there.sendall(_head(sender, 5_000_000_000))
        assert there.recv(100).startswith(b"HTTP/1.1 413")


def test_who_asks_first_whether_to_send_is_told_to_go_on(sender: Sender) -> None:
    content = a_recording()
    with socket.create_connection(sender.address, timeout=10) as there:
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
    """A store that does not answer, or is full."""

    def __init__(self, store: object, reason: str) -> None:
        self._store, self.reason = store, reason

    def put_new(self, key: str, content: bytes | Path) -> None:
        if self.reason:
            raise StoreUnavailable(self.reason)
        self._store.put_new(key, content)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("reason", ["recordings is full.", "recordings did not answer."])
def test_a_store_that_is_full_or_away_is_told_of_and_the_next_try_takes_it_in(
    settings: Settings, storage: Storage, reason: str
) -> None:
    store = Away(storage.inbox, reason)

    def broken(opened: Opened) -> Opened:
        return replace(opened, storage=replace(opened.storage, inbox=store))  # type: ignore[arg-type]

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
    """A ledger whose database goes away before the recording is entered."""

    def register(self, registrations: Iterable[Registration]) -> list[Registered]:
        raise DatabaseUnavailable("Postgres did not answer.")


@pytest.mark.parametrize("sensor_first", [True, False])
def test_what_is_stored_and_not_entered_is_one_call_whoever_finds_it(
    settings: Settings, storage: Storage, sensor_first: bool
) -> None:
    def broken(opened: Opened) -> Opened:
        ledger = Lost(opened.storage.database)
        return replace(opened, storage=replace(opened.storage, ledger=ledger))

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


def test_many_at_once_are_all_taken_in(sender: Sender) -> None:
    contents = [a_recording() for _ in range(20)]
    with ThreadPoolExecutor(20) as all_at_once:
        replies = list(all_at_once.map(sender.upload, contents))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["job_id"] for reply in replies}) == 20
    assert (sender.calls(), sender.landed()) == (20, [])


def read_by_a_run(storage: Storage, call_id: str, into: Path) -> str:
    """What a run does first with a call: nothing that costs is done of what is known."""
    run_id = f"run of {call_id}"
    [call] = storage.claims.claim([call_id], run_id)
    storage.recordings.fetch(call.recording, into)
    try:
        storage.claims.own_content(call, run_id, hashlib.sha256(into.read_bytes()).hexdigest())
    except SameRecording as error:
        return error.first
    return call_id


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


@pytest.fixture
def reaching(settings: Settings, database_url: str) -> Iterator[tuple[Sender, Storage]]:
    """An app that may fetch from this machine, and its storage."""
    options = settings.model_copy(update={"fetch_allow": ("127.0.0.1",)})
    with open_storage(options, database_url) as storage, sending(options, storage) as sender:
        yield sender, storage


def test_uploads_an_address_and_a_drop_of_the_same_bytes_at_once_cost_once(
    reaching: tuple[Sender, Storage], host: FileHost, tmp_path: Path
) -> None:
    sender, storage = reaching
    for number in range(100 if "LARGE" in os.environ else 10):
        content = a_recording()
        host.answers[f"/{number}.wav"] = ok(content)
        together = threading.Barrier(5, timeout=10)

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
    def processing(opened: Opened) -> Opened:
        home = replace(storage.home, duplicates=DuplicatePolicy.PROCESS)
        return replace(opened, storage=replace(opened.storage, home=home))

    content = a_recording()
    with sending(settings, storage, processing) as sender:
        assert len({sender.upload(content).json()["job_id"] for _ in range(3)}) == 1


def test_a_page_of_the_error_is_shown_to_a_browser(sender: Sender) -> None:
    reply: httpx.Response = sender.upload(b"", Accept="text/html")
    assert reply.status_code == 422
    assert "text/html" in reply.headers["Content-Type"]
