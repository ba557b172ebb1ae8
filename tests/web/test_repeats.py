"""Requests that are sent again with the same Idempotency-Key."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.errors import DatabaseUnavailable, TransientError
from callpipeline.pipeline.announcing import Announced, Announcement
from callpipeline.storage.repeats import Repeatable, Repeats
from callpipeline.web.opened import Opened
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web.uploads import Sender, a_recording, sending

KEYED = {"Idempotency-Key": "order 4711"}
REPLAYED = "Idempotency-Replayed"


@pytest.fixture
def sender(settings: Settings, storage: Storage) -> Iterator[Sender]:
    with sending(settings, storage) as sender:
        yield sender


def test_an_upload_that_is_sent_again_has_the_same_answer(sender: Sender) -> None:
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


def test_another_key_or_none_is_another_request_of_the_same_call(sender: Sender) -> None:
    content = a_recording()
    replies = [sender.upload(content, **KEYED), sender.upload(content)]
    replies.append(sender.upload(content, **{"Idempotency-Key": "another"}))
    assert len({reply.json()["job_id"] for reply in replies}) == 1
    assert not any(REPLAYED in reply.headers for reply in replies)


def test_uploads_with_one_key_at_the_same_time_are_one_call_with_one_answer(
    sender: Sender,
) -> None:
    content = a_recording()
    with ThreadPoolExecutor(8) as hands:
        replies = list(hands.map(lambda _: sender.upload(content, **KEYED), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    assert (sender.calls(), len(sender.objects())) == (1, 1)


def test_what_was_refused_may_be_sent_right_with_the_same_key(sender: Sender) -> None:
    assert sender.upload(b"%PDF", **KEYED).status_code == 415
    assert sender.upload(a_recording(), **KEYED).status_code == 200


@pytest.mark.parametrize("key", ["", "ü", "x" * 256, "a\tb"])
def test_a_key_is_a_short_word(sender: Sender, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    reply = sender.client.put("/upload/a.wav", content=a_recording(), headers=headers)
    assert reply.status_code == 422
    assert sender.calls() == 0


class Dying(Repeats):
    """The app dies when all is done and nothing answered yet."""

    def answer(self, request: Repeatable, answer: object) -> dict[str, object]:
        raise DatabaseUnavailable("Postgres did not answer.")


def test_what_was_done_when_the_app_died_is_not_done_again(
    settings: Settings, storage: Storage
) -> None:
    content = a_recording()

    def dying(opened: Opened) -> Opened:
        return replace(opened, repeats=Dying(storage.database))

    with sending(settings, storage, dying) as sender:
        assert sender.upload(content, **KEYED).status_code == 503
        assert sender.calls() == 1
    with sending(settings, storage) as sender:
        first, again = (sender.upload(content, **KEYED) for _ in range(2))
        assert first.json() == again.json()
        assert (REPLAYED in first.headers, REPLAYED in again.headers) == (False, True)
        assert (sender.calls(), len(sender.objects())) == (1, 1)


@pytest.fixture
def repeats(storage: Storage) -> Repeats:
    return Repeats(storage.database)


def test_one_at_a_time_works_on_what_may_not_be_done_twice(repeats: Repeats) -> None:
    one, other = (Repeatable("key", "asked", hold_s=0.3) for _ in range(2))
    assert repeats.begin(one).is_ours
    assert repeats.begin(one).is_ours
    assert not repeats.begin(other).is_ours
    time.sleep(0.35)  # Postgres' own clock decides
    assert repeats.begin(other).is_ours
    assert repeats.answer(other, {"n": 1}) == {"n": 1}
    assert repeats.answer(one, {"n": 2}) == {"n": 1}
    assert repeats.begin(one).answer == {"n": 1}


def test_only_who_holds_it_can_forget_a_request_and_nobody_an_answer(repeats: Repeats) -> None:
    one, other = (Repeatable("key", "asked", hold_s=60) for _ in range(2))
    repeats.begin(one)
    repeats.forget(other)
    assert not repeats.begin(other).is_ours
    repeats.forget(one)
    assert repeats.begin(other).is_ours
    repeats.answer(other, {})
    repeats.forget(other)
    assert repeats.begin(one).answer == {}


def test_keys_are_forgotten_after_two_days(repeats: Repeats, storage: Storage) -> None:
    for key in ("old", "young"):
        repeats.begin(Repeatable(key, "asked"))
    with storage.database.transaction() as connection:
        connection.execute(
            "UPDATE idempotent_requests SET begun_at = now() - interval '1 hour'"
            " * CASE key_hash WHEN 'old' THEN 49 ELSE 47 END"
        )
    assert repeats.begin(Repeatable("old", "something else")).is_same
    assert not repeats.begin(Repeatable("young", "something else")).is_same


@dataclass
class Announcing:
    """Enters a call for each announcement, as slowly as it is told to."""

    storage: Storage
    heard: list[Announcement] = field(default_factory=list)
    error: Exception | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, said: Announcement) -> Announced:
        self.begun.set()
        self.go_on.wait(10)
        if self.error:
            raise self.error
        self.heard.append(said)
        [call_id] = enter(self.storage, f"announced {len(self.heard)}.wav")
        return Announced(call_id, "call.wav", is_new=True)


@pytest.fixture
def announcing(storage: Storage) -> Announcing:
    announcing = Announcing(storage)
    announcing.go_on.set()
    return announcing


@pytest.fixture
def client(settings: Settings, storage: Storage, announcing: Announcing) -> Iterator[httpx.Client]:
    def announced(opened: Opened) -> Opened:
        return replace(opened, announce=announcing)

    with sending(settings, storage, announced) as sender:
        yield sender.client


ADDRESS = {"filename": "call.wav", "file_url": "https://recorder.example.com/call.wav"}


def test_a_recording_is_announced_by_its_address(
    client: httpx.Client, announcing: Announcing
) -> None:
    more = {"metadata": {"agent": "Anna", "queue": 7, "x": None}, "agent_channel": "right"}
    reply = client.post("/webhook", json=ADDRESS | more)
    assert reply.status_code == 200
    assert reply.json()["status"] == "PENDING"
    assert "fetched" in reply.json()["message"]
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
def test_an_announcement_that_makes_no_sense_is_refused(
    client: httpx.Client, announcing: Announcing, wrong: dict[str, object]
) -> None:
    reply = client.post("/webhook", json=ADDRESS | wrong)
    assert reply.status_code == 422
    assert next(iter(wrong)) in reply.json()["detail"]
    assert client.post("/webhook", json={"filename": "call.wav"}).status_code == 422
    assert announcing.heard == []


def test_an_announcement_that_is_sent_again_with_its_key_is_one_call(
    client: httpx.Client, announcing: Announcing
) -> None:
    first, again = (client.post("/webhook", json=ADDRESS, headers=KEYED) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers[REPLAYED] == "true"
    [said] = announcing.heard
    assert said.idempotency_key
    other = client.post("/webhook", json=ADDRESS | {"filename": "b.wav"}, headers=KEYED)
    assert other.status_code == 422


def test_while_one_is_worked_on_the_same_is_told_to_come_again(
    client: httpx.Client, announcing: Announcing
) -> None:
    announcing.go_on.clear()
    with ThreadPoolExecutor(1) as hands:
        first = hands.submit(client.post, "/webhook", json=ADDRESS, headers=KEYED)
        assert announcing.begun.wait(10)
        again = client.post("/webhook", json=ADDRESS, headers=KEYED)
        assert (again.status_code, again.headers["Retry-After"]) == (409, "5")
        announcing.go_on.set()
        assert first.result().status_code == 200
    assert client.post("/webhook", json=ADDRESS, headers=KEYED).json() == first.result().json()
    assert len(announcing.heard) == 1


def test_an_announcement_that_failed_may_be_sent_again_at_once(
    client: httpx.Client, announcing: Announcing
) -> None:
    announcing.error = TransientError("Not now.")
    assert client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 503
    announcing.error = None
    reply = client.post("/webhook", json=ADDRESS, headers=KEYED)
    assert (reply.status_code, REPLAYED in reply.headers) == (200, False)


def test_what_is_announced_waits_and_addresses_of_this_machine_are_refused(
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


def test_announcements_with_one_key_are_one_call_also_when_the_answer_was_lost(
    settings: Settings, storage: Storage
) -> None:
    def dying(opened: Opened) -> Opened:
        return replace(opened, repeats=Dying(storage.database))

    with sending(settings, storage, dying) as sender:
        assert sender.client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 503
    with storage.database.transaction() as connection:
        connection.execute("UPDATE idempotent_requests SET held_until = now()")
    with sending(settings, storage) as sender:
        assert sender.client.post("/webhook", json=ADDRESS, headers=KEYED).status_code == 200
        assert sender.calls() == 1
