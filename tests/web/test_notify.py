"""`/notify`, in the old system's format."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import SecretStr

from callpipeline.http_server.limits import MAX_BODY_BYTES
from callpipeline.wiring import Storage
from tests.fakes.receivers import Answer, HttpReceiver
from tests.integration.calls import enter
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY, sending_to

WISH = {"type": "task_failed", "severity": "warning", "title": "Backup failed", "message": "disk"}


@pytest.fixture(scope="module")
def running() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


@pytest.fixture
def receiver(running: HttpReceiver) -> HttpReceiver:
    """The receiver, without requests and planned answers."""
    running.requests.clear()
    running.answers.clear()
    return running


@pytest.fixture(scope="module")
def app(
    module_url: str, running: HttpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    url = SecretStr(f"{running.url}/hook")
    home = tmp_path_factory.mktemp("app")
    with served(home, module_url, notify_webhook_url=url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def client(empty_app: Served, receiver: HttpReceiver) -> Iterator[httpx.Client]:
    with sending_to(empty_app) as sender:
        yield sender.client


def test_a_notification_is_delivered_and_the_response_lists_channels(
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


def test_all_fields_are_delivered(
    client: httpx.Client, receiver: HttpReceiver, storage: Storage
) -> None:
    own = {"job_id": "old-17", "job_filename": "a.wav", "error_message": "e", "stack_trace": "at x"}
    metadata = {"host": "recorder-3", "moments": 3, "path": "/backup"}
    client.post("/notify", json=WISH | own | {"metadata": metadata})
    told = receiver.requests[0].json
    assert {name: told[name] for name in own} == own
    assert {name: told["metadata"][name] for name in metadata} == metadata
    [call_id] = enter(storage, "mine.wav")
    client.post("/notify", json=WISH | {"job_id": call_id})
    told = receiver.requests[1].json
    assert (told["job_id"], told["job_filename"]) == (call_id, "mine.wav")


def test_a_refused_delivery_is_reported_and_stays_in_the_outbox(
    client: httpx.Client, receiver: HttpReceiver
) -> None:
    receiver.answers = [Answer(503, b"down")]
    document = client.post("/notify", json=WISH | {"channels": ["webhook", "slack"]}).json()
    assert document["success"] is False
    assert document["channels_failed"] == ["slack", "webhook"]
    assert document["details"]["answers"] == {"slack": "Not set up.", "webhook": "503 down"}
    [message] = client.get("/notify/history").json()["notifications"]
    assert (message["state"], message["last_answer"]) == ("PENDING", "503 down")


def test_a_gone_receiver_is_reported(client: httpx.Client, receiver: HttpReceiver) -> None:
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
def test_the_key_is_required(client: httpx.Client, key: str) -> None:
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
def test_invalid_requests_are_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    reply = client.post("/notify", json=WISH | wrong)
    assert reply.status_code == 422
    assert next(iter(wrong)) in str(reply.json()["detail"])


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, receiver: HttpReceiver) -> None:
    large = WISH | {"metadata": {"x": "y" * MAX_BODY_BYTES}}
    refused = client.post("/notify", json=large)
    assert (refused.status_code, refused.headers["Connection"]) == (413, "close")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert receiver.requests == []


@effort(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    title=st.text(min_size=1, max_size=50),
    metadata=st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.integers(), max_size=3),
    job_id=st.none() | st.text(max_size=30),
)
def test_any_text_can_be_sent(
    client: httpx.Client, title: str, metadata: dict[str, Any], job_id: str | None
) -> None:
    wish = WISH | {"title": title, "metadata": metadata, "job_id": job_id}
    assert client.post("/notify", json=wish).status_code == 200


def test_non_json_numbers_are_harmless(client: httpx.Client) -> None:
    body = '{"type": "custom", "title": "x", "metadata": {"n": NaN, "z": "a\\u0000b\\ud800"}}'
    reply = client.post("/notify", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (200, 422)


def test_health(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "up"
