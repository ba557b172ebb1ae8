"""What is known about a call: sent with an upload, and corrected on its page and by API."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.wiring import Storage
from tests.integration.calls import enter, erase
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served
from tests.web.uploads import a_recording

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def known(client: httpx.Client, call_id: str) -> dict[str, object]:
    found = client.get(f"/calls/{call_id}/metadata").json()
    return found["metadata"] | ({"started_at": found["started_at"]} if found["started_at"] else {})


SENT = {"agent": "Ann", "direction": "IB", "started_at": "2026-03-02T10:15:00+01:00", "team": "x"}
STORED = {
    "agent": "Ann",
    "direction": "inbound",
    "team": "x",
    "started_at": "2026-03-02T09:15:00Z",
}


def test_the_fields_of_an_upload_describe_its_call(client: httpx.Client, storage: Storage) -> None:
    file = {"file": ("call.wav", a_recording())}
    job = client.post("/upload", files=file, data=SENT | {"agent_channel": "right"}).json()
    assert known(client, job["job_id"]) == STORED
    [call] = storage.claims.claim([job["job_id"]], "run-1")
    assert call.agent_channel == "right"


def test_fields_may_be_sent_as_json(client: httpx.Client) -> None:
    data = {"metadata": json.dumps(SENT | {"agent": "B", "external_id": 7}), "agent": "Ann"}
    job = client.post("/upload", files={"file": ("call.wav", a_recording())}, data=data).json()
    assert known(client, job["job_id"]) == STORED | {"external_id": "7"}


def test_the_query_describes_a_recording_that_is_the_body(client: httpx.Client) -> None:
    job = client.put("/upload/call.wav", content=a_recording(), params=SENT).json()
    assert known(client, job["job_id"]) == STORED


@pytest.mark.parametrize(
    "data", [{"metadata": "nope"}, {"metadata": "[1]"}, {"metadata": '{"a b": 1}'},
             {"agent_channel": "middle"}],
)  # fmt: skip
def test_malformed_fields_of_an_upload_are_refused(
    client: httpx.Client, storage: Storage, data: dict[str, str]
) -> None:
    answer = client.post("/upload", files={"file": ("call.wav", a_recording())}, data=data)
    assert answer.status_code == 422
    assert storage.ledger.calls() == []


def test_the_api_corrects_a_call(client: httpx.Client, storage: Storage) -> None:
    [call_id] = enter(storage, "call.wav", metadata={"agent": "A", "queue": "Sales"})
    given = {"agent": "Ann", "queue": None, "started_at": "2026-03-02 09:15:00Z", "ticket": 7}
    answer = client.patch(f"/calls/{call_id}/metadata", json=given)
    assert answer.status_code == 200
    assert known(client, call_id) == {
        "agent": "Ann",
        "ticket": "7",
        "started_at": "2026-03-02T09:15:00Z",
    }
    [correction] = answer.json()["corrections"]
    assert correction["fields"]["queue"] is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"a b": "x"},
        {"agent": ["x"]},
        {"agent": "x" * 1001},
        {"started_at": "yesterday"},
        {"started_at": "2999-01-01T00:00:00Z"},
        {f"f{n}": "x" for n in range(51)},
    ],
)
def test_malformed_corrections_are_refused(
    client: httpx.Client, storage: Storage, given: dict[str, object]
) -> None:
    [call_id] = enter(storage, "call.wav", metadata={"agent": "A"})
    assert client.patch(f"/calls/{call_id}/metadata", json=given).status_code == 422
    assert known(client, call_id) == {"agent": "A"}


def test_an_unknown_or_erased_call_cannot_be_corrected(
    client: httpx.Client, storage: Storage
) -> None:
    [call_id] = enter(storage, "call.wav")
    erase(storage, call_id)
    for each in (call_id, "2026-03-02-000000000000"):
        assert client.patch(f"/calls/{each}/metadata", json={"agent": "A"}).status_code == 404


def test_the_page_corrects_what_was_changed_in_its_form(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    storage.descriptions.correct(call_id, {"agent": "Old <b>", "queue": "Sales"})
    page = client.get(f"/calls/{call_id}", headers=HTML).text
    assert 'name="agent" value="Old &lt;b&gt;"' in page
    assert 'name="queue" value="Sales"' in page
    form = {"agent": " Ann ", "queue": "", "customer": "", "started_at": "2026-03-02 09:15:00"}
    answer = client.post(f"/calls/{call_id}/metadata", data=form, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/calls/{call_id}#metrics")
    found = storage.descriptions.find(call_id)
    assert found.metadata.get("agent") == "Ann"
    assert "queue" not in found.metadata
    assert found.corrections[0].fields.keys() >= {"agent", "queue"}
    assert "customer" not in found.corrections[0].fields
    assert "agent, queue" in client.get(f"/calls/{call_id}", headers=HTML).text
    unchanged = {"agent": "Ann"}
    client.post(f"/calls/{call_id}/metadata", data=unchanged, headers=HTML)
    assert len(storage.descriptions.find(call_id).corrections) == 2
