"""Repeated requests with the same Idempotency-Key."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.errors import DatabaseUnavailable, TransientError
from callpipeline.pipeline.ingest.registration import AnnouncedCall, Announcement
from callpipeline.storage.access import IdempotencyKeys, IdempotentRequest
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, Sender, a_recording, sending, sending_to

KEYED = {"Idempotency-Key": "order 4711"}
REPLAYED = "Idempotency-Replayed"


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
def sender(empty_app: Served) -> Iterator[Sender]:
    with sending_to(empty_app) as sender:
        yield sender


def test_a_repeated_upload_gets_the_same_response(sender: Sender) -> None:
    content = a_recording()
    first = sender.upload(content, **KEYED)
    again = sender.upload(content, **KEYED)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert sender.calls() == 1


@pytest.mark.parametrize("name", ["call.wav", "other.wav"])
def test_the_key_of_another_file_is_refused(sender: Sender, name: str) -> None:
    content = a_recording()
    sender.upload(content, "call.wav", **KEYED)
    reply = sender.upload(content if name == "other.wav" else a_recording(), name, **KEYED)
    assert reply.status_code == 422
    assert "Idempotency-Key" in reply.json()["detail"]
    assert sender.calls() == 1


def test_another_key_or_none_is_another_request_for_the_same_call(sender: Sender) -> None:
    content = a_recording()
    replies = [sender.upload(content, **KEYED), sender.upload(content)]
    replies.append(sender.upload(content, **{"Idempotency-Key": "another"}))
    assert len({reply.json()["job_id"] for reply in replies}) == 1
    assert not any(REPLAYED in reply.headers for reply in replies)


def test_concurrent_uploads_with_one_key_are_one_call(
    sender: Sender,
) -> None:
    content = a_recording()
    with ThreadPoolExecutor(8) as hands:
        replies = list(hands.map(lambda _: sender.upload(content, **KEYED), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    assert (sender.calls(), len(sender.objects())) == (1, 1)


def test_a_key_can_be_reused_after_a_refusal(sender: Sender) -> None:
    assert sender.upload(b"%PDF", **KEYED).status_code == 415
    assert sender.upload(a_recording(), **KEYED).status_code == 200


@pytest.mark.parametrize("key", ["", "ü", "x" * 256, "a\tb"])
def test_keys_are_validated(sender: Sender, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    reply = sender.client.put("/upload/a.wav", content=a_recording(), headers=headers)
    assert reply.status_code == 422
    assert sender.calls() == 0


class Dying(IdempotencyKeys):
    """The app dies after the work and before the response."""

    def save_answer(self, request: IdempotentRequest, answer: object) -> dict[str, object]:
        raise DatabaseUnavailable("Postgres did not answer.")


def test_a_crash_after_the_work_does_not_repeat_it(settings: Settings, storage: Storage) -> None:
    content = a_recording()

    def dying(state: AppState) -> AppState:
        return replace(state, idempotency_keys=Dying(storage.database))

    with sending(settings, storage, dying) as sender:
        assert sender.upload(content, **KEYED).status_code == 503
        assert sender.calls() == 1
    with sending(settings, storage) as sender:
        first, again = (sender.upload(content, **KEYED) for _ in range(2))
        assert first.json() == again.json()
        assert (REPLAYED in first.headers, REPLAYED in again.headers) == (False, True)
        assert (sender.calls(), len(sender.objects())) == (1, 1)


def end_leases(storage: Storage) -> None:
    with storage.database.transaction() as connection:
        connection.execute("UPDATE idempotent_requests SET held_until = now()")


@pytest.fixture
def repeats(storage: Storage) -> IdempotencyKeys:
    return IdempotencyKeys(storage.database)


def test_a_lease_excludes_concurrent_work(repeats: IdempotencyKeys, storage: Storage) -> None:
    one, other = (IdempotentRequest("key", "asked", lease_s=600) for _ in range(2))
    assert repeats.claim(one).is_claimed
    assert repeats.claim(one).is_claimed
    assert not repeats.claim(other).is_claimed
    end_leases(storage)
    assert repeats.claim(other).is_claimed
    assert repeats.save_answer(other, {"n": 1}) == {"n": 1}
    assert repeats.save_answer(one, {"n": 2}) == {"n": 1}
    assert repeats.claim(one).answer == {"n": 1}


def test_only_the_holder_can_release_a_request_and_responses_stay(
    repeats: IdempotencyKeys,
) -> None:
    one, other = (IdempotentRequest("key", "asked", lease_s=60) for _ in range(2))
    repeats.claim(one)
    repeats.release(other)
    assert not repeats.claim(other).is_claimed
    repeats.release(one)
    assert repeats.claim(other).is_claimed
    repeats.save_answer(other, {})
    repeats.release(other)
    assert repeats.claim(one).answer == {}


def test_keys_expire_after_two_days(repeats: IdempotencyKeys, storage: Storage) -> None:
    for key in ("old", "young"):
        repeats.claim(IdempotentRequest(key, "asked"))
    with storage.database.transaction() as connection:
        connection.execute(
            "UPDATE idempotent_requests SET begun_at = now() - interval '1 hour'"
            " * CASE key_hash WHEN 'old' THEN 49 ELSE 47 END"
        )
    assert repeats.claim(IdempotentRequest("old", "something else")).is_same
    assert not repeats.claim(IdempotentRequest("young", "something else")).is_same


@dataclass
class Announcing:
    """Registers a call for each announcement, after a delay."""

    storage: Storage
    heard: list[Announcement] = field(default_factory=list)
    error: Exception | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, said: Announcement) -> AnnouncedCall:
        self.begun.set()
        self.go_on.wait(60)
        if self.error:
            raise self.error
        self.heard.append(said)
        [call_id] = enter(self.storage, f"announced {len(self.heard)}.wav")
        return AnnouncedCall(call_id, "call.wav", is_new=True)


@pytest.fixture
def announcing(storage: Storage) -> Announcing:
    announcing = Announcing(storage)
    announcing.go_on.set()
    return announcing


@pytest.fixture
def client(settings: Settings, storage: Storage, announcing: Announcing) -> Iterator[httpx.Client]:
    def announced(state: AppState) -> AppState:
        return replace(state, announce=announcing)

    with sending(settings, storage, announced) as sender:
        yield sender.client


ADDRESS = {"filename": "call.wav", "file_url": "https://recorder.example.com/call.wav"}


def test_a_recording_is_announced_by_url(client: httpx.Client, announcing: Announcing) -> None:
    more = {"metadata": {"agent": "Anna", "queue": 7, "x": None}, "agent_channel": "right"}
    reply = client.post("/webhook", json=ADDRESS | more)
    assert reply.status_code == 200
    assert reply.json()["status"] == "PENDING"
    assert reply.json()["message"] == "Accepted. Waiting to be downloaded and processed."
    [said] = announcing.heard
    assert (said.url, said.filename) == (ADDRESS["file_url"], "call.wav")
    assert said.metadata == {"agent": "Anna", "queue": "7"}
    assert (said.agent_channel, said.idempotency_key) == ("right", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"file_url": None},
        {"file_url": ""},
        {"file_url": "x" * 8193},
        {"agent_channel": "middle"},
        {"metadata": {"a": ["b"]}},
        {"metadata": {str(n): 1 for n in range(51)}},
        {"filename": "x" * 1025},
    ],
)
def test_invalid_announcements_are_refused(
    client: httpx.Client, announcing: Announcing, wrong: dict[str, object]
) -> None:
    reply = client.post("/webhook", json=ADDRESS | wrong)
    assert reply.status_code == 422
    assert next(iter(wrong)) in reply.json()["detail"]
    assert client.post("/webhook", json={"filename": "call.wav"}).status_code == 422
    assert announcing.heard == []


def test_a_repeated_announcement_with_a_key_is_one_call(
    client: httpx.Client, announcing: Announcing
) -> None:
    first, again = (client.post("/webhook", json=ADDRESS, headers=KEYED) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers[REPLAYED] == "true"
    [said] = announcing.heard
    assert said.idempotency_key
    other = client.post("/webhook", json=ADDRESS | {"filename": "b.wav"}, headers=KEYED)
    assert other.status_code == 422


def test_a_concurrent_repeat_gets_409(client: httpx.Client, announcing: Announcing) -> None:
    announcing.go_on.clear()
    with ThreadPoolExecutor(1) as hands:
        first = hands.submit(client.post, "/webhook", json=ADDRESS, headers=KEYED)
        assert announcing.begun.wait(60)
        again = client.post("/webhook", json=ADDRESS, headers=KEYED)
        assert (again.status_code, again.headers["Retry-After"]) == (409, "5")
        announcing.go_on.set()
        assert first.result().status_code == 200
    assert client.post("/webhook", json=ADDRESS, headers=KEYED).json() == first.result().json()
    assert len(announcing.heard) == 1


def test_a_failed_announcement_can_be_repeated_at_once(
    client: httpx.Client, announcing: Announcing
) -> None:
    announcing.error = TransientError("Not now.")
    assert client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 503
    announcing.error = None
    reply = client.post("/webhook", json=ADDRESS, headers=KEYED)
    assert (reply.status_code, REPLAYED in reply.headers) == (200, False)


def test_announced_calls_wait_and_local_urls_are_refused(
    sender: Sender,
) -> None:
    reply = sender.client.post("/webhook", json=ADDRESS)
    assert (reply.status_code, reply.json()["status"]) == (200, "PENDING")
    assert sender.calls() == 1
    for url in (
        *("http://127.0.0.1/a.wav", "http://[::ffff:10.0.0.1]/a.wav", "file:///etc/passwd"),
        *("http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://[::1]/"),
        *("http://169.254.169.254/latest/meta-data", "http://[fd00::1]/", "http://0/"),
        *("http://100.64.0.1/", "http://[64:ff9b::7f00:1]/", "http://127.0.0.1.:80/"),
    ):
        reply = sender.client.post("/webhook", json={"file_url": url})
        assert reply.status_code == 422, url
        assert reply.headers["Content-Type"] == "application/problem+json"
    assert sender.calls() == 1


def test_announcements_with_one_key_are_one_call_even_after_a_lost_response(
    settings: Settings, storage: Storage
) -> None:
    def dying(state: AppState) -> AppState:
        return replace(state, idempotency_keys=Dying(storage.database))

    with sending(settings, storage, dying) as sender:
        assert sender.client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 503
    end_leases(storage)
    with sending(settings, storage) as sender:
        assert sender.client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 200
        assert sender.calls() == 1
