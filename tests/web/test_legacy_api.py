"""Routes for services of the old system, in its formats and in ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.domain.calls.legacy import job_uuid
from callpipeline.domain.sentiment import Sentiment
from tests.fakes.receivers import HttpReceiver
from tests.web import calls_by_state
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, sending_to

DOCUMENT = {"text": "Grüße", "segments": []}


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


@pytest.fixture(scope="module", params=["legacy", "native"])
def app(
    request: pytest.FixtureRequest,
    module_url: str,
    receiver: HttpReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    secrets: dict[str, Any] = {
        "notify_webhook_url": SecretStr(f"{receiver.url}/hook?token=of-the-receiver"),
        "notify_webhook_secret": SecretStr("whsec_" + "c2VjcmV0" * 5),
    }
    home = tmp_path_factory.mktemp("app")
    with served(home, module_url, web_api=request.param, **secrets, **WITH_KEY) as app:
        yield app


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with sending_to(empty_app) as sender:
        yield sender.client


@pytest.fixture
def is_legacy(app: Served) -> bool:
    return app.settings.web_is_legacy


@pytest.fixture
def call_id(empty_app: Served, tmp_path: Path) -> str:
    return calls_by_state.completed(
        empty_app.storage, "2026/03/a.wav", tmp_path / "sound", Sky=Sentiment.NEGATIVE
    )


def test_documents_are_stored_and_read(client: httpx.Client, is_legacy: bool) -> None:
    path = "transcripts/some-job/left_transcript.json"
    stored = client.post("/storage/upload", json={"object_path": path, "data": DOCUMENT}).json()
    assert (stored["success"], stored["object_path"], bool(stored["message"])) == (True, path, True)
    assert stored["full_path"].endswith(path)
    read = client.get(f"/storage/download/{path}").json()
    if is_legacy:
        assert read.pop("message")
        assert read == {"success": True, "object_path": path, "data": DOCUMENT}
    else:
        assert read == DOCUMENT
    signed = client.get(f"/storage/presigned-url/{path}?expires=600").json()
    assert signed["success"] and signed["object_path"] == path
    assert (signed["expires_in_seconds"], signed["expires"]) == (600, 600)
    assert httpx.get(signed["url"], timeout=60).json() == DOCUMENT
    assert client.get(f"/storage/exists/{path}").json()["exists"]
    assert client.get("/storage/health").json() == {"success": True, "status": "healthy"}
    assert client.delete(f"/storage/delete/{path}").json()["success"]
    assert client.get(f"/storage/download/{path}").status_code == 404


def test_transcripts_are_read_by_their_old_paths(client: httpx.Client, call_id: str) -> None:
    path = f"transcripts/{job_uuid(call_id)}/right_transcript.json"
    read = client.get(f"/storage/download/{path}").json()
    transcript = read.get("data", read)
    [segment] = transcript["segments"]
    assert transcript["text"] == segment["text"] == "they say Sky is what they want"
    assert segment["words"][0].keys() == {"word", "start", "end", "probability"}
    signed = client.get(f"/storage/presigned-url/{path}").json()
    assert httpx.get(signed["url"], timeout=60).json() == transcript
    assert client.get(f"/storage/exists/{path}").json()["exists"]
    missing = path.replace("right", "left")
    assert not client.get(f"/storage/exists/{missing}").json()["exists"]
    body = {"object_path": path, "data": {}}
    assert client.post("/storage/upload", json=body).status_code == 422
    assert client.delete(f"/storage/delete/{path}").status_code == 422
    assert client.get(f"/storage/download/{path}").json() == read


def test_transcripts_are_listed_with_documents(
    client: httpx.Client, call_id: str, is_legacy: bool
) -> None:
    for name in ("a.json", "z.json"):
        body = {"object_path": f"reports/{name}", "data": 1}
        assert client.post("/storage/upload", json=body).status_code == 200
    transcript = f"transcripts/{job_uuid(call_id)}/right_transcript.json"
    found = client.get("/storage/list?prefix=").json()
    if not is_legacy:
        assert [each["object_path"] for each in found["objects"]] == [
            "reports/a.json",
            "reports/z.json",
        ]
        return
    assert found["objects"] == ["reports/a.json", "reports/z.json", transcript]
    assert (found["success"], found["prefix"], found["count"]) == (True, "", 3)
    for prefix in ("transcripts/", f"transcripts/{job_uuid(call_id)[:5]}", transcript):
        assert client.get("/storage/list", params={"prefix": prefix}).json()["objects"] == [
            transcript
        ]
    after = {"prefix": "", "after": "reports/a.json", "limit": 1}
    page = client.get("/storage/list", params=after).json()
    assert (page["objects"], page["next"]) == (["reports/z.json"], "reports/z.json")


def test_both_ids_of_a_call_are_accepted(
    client: httpx.Client, call_id: str, is_legacy: bool
) -> None:
    uuid = job_uuid(call_id)
    jobs = [client.get(f"/jobs/{each}").json() for each in (call_id, uuid, uuid.upper())]
    assert jobs[0] == jobs[1] == jobs[2]
    assert jobs[0]["id"] == (uuid if is_legacy else call_id)
    assert (jobs[0]["call_id"], jobs[0]["uuid"]) == (call_id, uuid)
    assert client.get(f"/calls/{uuid}/transcript.json").status_code == 200
    retried = client.post(f"/jobs/{uuid}/retry")
    assert (retried.status_code, retried.json()["retried"]) == (202, False)
    assert retried.json()["job_id"] == jobs[0]["id"]
    for unknown in (job_uuid("2020-01-01-000000000000"), "7f0c7b1e-93f8-4d58-8a4e-0d7c2d1b5e11"):
        assert client.get(f"/jobs/{unknown}").status_code == 404


@pytest.mark.parametrize("how", ["query", "json"])
def test_old_notifications_arrive(
    client: httpx.Client, receiver: HttpReceiver, call_id: str, how: str
) -> None:
    receiver.requests.clear()
    fields = {"job_id": job_uuid(call_id), "filename": "a.wav", "error": "no disk", "worker": "w1"}
    sent = {"params": fields} if how == "query" else {"json": fields}
    reply = client.post("/notify/job-failed", **sent).json()  # pyright: ignore[reportArgumentType]
    assert (reply["success"], reply["channels_sent"]) == (True, ["webhook"])
    [request] = receiver.requests
    message = request.json
    assert (message["type"], message["severity"]) == ("job_failed", "error")
    assert (message["title"], message["error_message"]) == ("Job failed: a.wav", "no disk")
    assert message["job_id"] == call_id
    assert message["metadata"]["worker"] == "w1"


@pytest.mark.parametrize(
    ("kind", "wire_type", "severity"),
    [
        ("job-completed", "job_completed", "info"),
        ("task-failed", "task_failed", "error"),
        ("system-error", "system_error", "critical"),
    ],
)
def test_every_kind_of_old_notification_has_defaults(
    client: httpx.Client, receiver: HttpReceiver, kind: str, wire_type: str, severity: str
) -> None:
    receiver.requests.clear()
    assert client.post(f"/notify/{kind}").json()["success"]
    [request] = receiver.requests
    assert (request.json["type"], request.json["severity"]) == (wire_type, severity)


def test_unusable_notifications_are_refused(client: httpx.Client) -> None:
    assert client.post("/notify/job-lost").status_code == 422
    assert client.post("/notify/job-failed", content=b"[1]").status_code == 422
    assert client.post("/notify/job-failed", content=b"{").status_code == 422
    wrong = client.post("/notify/job-failed", params={"severity": "loud"})
    assert (wrong.status_code, "severity" in wrong.json()["detail"]) == (422, True)


def test_the_notification_settings_have_no_secrets(client: httpx.Client) -> None:
    shown = client.get("/config")
    assert "c2VjcmV0" not in shown.text and "token" not in shown.text
    assert shown.json()["channels"]["webhook"] == {"enabled": True}
    assert not shown.json()["enable_email"]


def test_tables_have_the_format_of_the_app(
    client: httpx.Client, call_id: str, is_legacy: bool
) -> None:
    [job] = client.get("/admin/database/jobs").json()["rows"]
    assert (job["id"], job["call_id"]) == (job_uuid(call_id) if is_legacy else call_id, call_id)
    assert job["progress_percentage"] == ("100%" if is_legacy else 100)
    [result] = client.get("/admin/database/sentiment_results").json()["rows"]
    assert (result["job_id"], result["call_id"]) == (job["id"], call_id)
    assert result["segment_id"] == ("0" if is_legacy else 0)
    assert client.get("/admin/database/jobs?limit=0").status_code == 422
    assert client.get("/admin/database/jobs?limit=100000").json()["count"] == 1
