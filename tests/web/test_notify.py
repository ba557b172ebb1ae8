"""`/notify` as the old system's users call it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web.bodies import SMALL
from callpipeline.wiring import Storage
from tests.fakes.receivers import Answer, HttpReceiver
from tests.integration.calls import enter
from tests.web.app_server import asked

KEY = "a key of sixteen or more"
WISH = {"type": "task_failed", "severity": "warning", "title": "Backup failed", "message": "disk"}


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


@pytest.fixture
def client(settings: Settings, database_url: str, receiver: HttpReceiver) -> Iterator[httpx.Client]:
    where = {
        "database_url": SecretStr(database_url),
        "api_key": SecretStr(KEY),
        "notify_webhook_url": SecretStr(f"{receiver.url}/hook"),
    }
    with asked(settings.model_copy(update=where), **{"X-API-KEY": KEY}) as client:
        yield client


def test_a_word_is_delivered_and_the_answer_says_where(
    client: httpx.Client, receiver: HttpReceiver
) -> None:
    reply = client.post("/notify", json=WISH)
    assert reply.status_code == 200
    document = reply.json()
    assert document["success"] is True
    assert (document["channels_sent"], document["channels_failed"]) == (["webhook"], [])
    [request] = receiver.requests
    told = request.json
    assert (told["type"], told["severity"], told["title"]) == (
        "task_failed",
        "warning",
        "Backup failed",
    )
    assert document["details"]["event_id"] in told["metadata"]["event_ids"]


def test_everything_that_is_told_arrives(
    client: httpx.Client, receiver: HttpReceiver, storage: Storage
) -> None:
    own = {"job_id": "old-17", "job_filename": "a.wav", "error_message": "e", "stack_trace": "at x"}
    client.post("/notify", json=WISH | own | {"metadata": {"host": "recorder-3"}})
    told = receiver.requests[0].json
    assert {name: told[name] for name in own} == own
    assert told["metadata"]["host"] == "recorder-3"
    [call_id] = enter(storage, "mine.wav")
    client.post("/notify", json=WISH | {"job_id": call_id})
    told = receiver.requests[1].json
    assert (told["job_id"], told["job_filename"]) == (call_id, "mine.wav")


def test_what_is_refused_is_told_as_failed_and_stays_in_the_outbox(
    client: httpx.Client, receiver: HttpReceiver
) -> None:
    receiver.answers = [Answer(503, b"down")]
    document = client.post("/notify", json=WISH | {"channels": ["webhook", "slack"]}).json()
    assert document["success"] is False
    assert document["channels_failed"] == ["slack", "webhook"]
    assert document["details"]["answers"] == {"slack": "Not set up.", "webhook": "503 down"}
    [message] = client.get("/notify/history").json()["notifications"]
    assert (message["state"], message["last_answer"]) == ("PENDING", "503 down")


def test_a_receiver_that_wants_nothing_is_told_of(
    client: httpx.Client, receiver: HttpReceiver
) -> None:
    receiver.answers = [Answer(410, b"gone")]
    assert client.post("/notify", json=WISH).json()["success"] is False
    document = client.post("/notify", json=WISH).json()
    assert document["success"] is False
    assert "since it answered: 410 gone" in document["details"]["answers"]["webhook"]
    assert len(receiver.requests) == 1


def test_the_history_is_limited(client: httpx.Client) -> None:
    for number in range(3):
        client.post("/notify", json=WISH | {"title": f"word {number}"})
    newest = client.get("/notify/history", params={"limit": 2}).json()["notifications"]
    assert [message["title"] for message in newest] == ["word 2", "word 1"]
    assert client.get("/notify/history", params={"limit": 0}).status_code == 422


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", "ключ"])
def test_nobody_is_let_in_without_the_key(client: httpx.Client, key: str) -> None:
    for method, path in (("POST", "/notify"), ("GET", "/notify/history")):
        headers = [(b"X-API-KEY", key.encode())]
        assert client.request(method, path, headers=headers, json=WISH).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "explosion"},
        {"severity": "meh"},
        {"title": ""},
        {"title": "t" * 301},
        {"channels": ["pigeon"]},
        {"channels": []},
        {"metadata": "none"},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    reply = client.post("/notify", json=WISH | wrong)
    assert reply.status_code == 422
    assert next(iter(wrong)) in str(reply.json()["detail"])


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, receiver: HttpReceiver) -> None:
    large = WISH | {"metadata": {"x": "y" * SMALL}}
    refused = client.post("/notify", json=large)
    assert (refused.status_code, refused.headers["Connection"]) == (413, "close")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert receiver.requests == []


@effort(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    title=st.text(min_size=1, max_size=50),
    metadata=st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.integers(), max_size=3),
    job_id=st.none() | st.text(max_size=30),
)
def test_any_words_can_be_told(
    client: httpx.Client, title: str, metadata: dict[str, Any], job_id: str | None
) -> None:
    wish = WISH | {"title": title, "metadata": metadata, "job_id": job_id}
    assert client.post("/notify", json=wish).status_code == 200


def test_numbers_that_json_does_not_know_do_no_harm(client: httpx.Client) -> None:
    body = '{"type": "custom", "title": "x", "metadata": {"n": NaN, "z": "a\\u0000b\\ud800"}}'
    reply = client.post("/notify", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (200, 422)


def test_health(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "up"
