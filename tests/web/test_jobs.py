"""`/jobs`, in the old system's format."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope
from callpipeline.storage.access import ApiKeys
from callpipeline.wiring import Storage
from tests.integration.calls import enter, row
from tests.web import calls_by_state
from tests.web.app_server import app_client
from tests.web.served import Served

CONTRACT = {
    *("id", "filename", "status", "error_message", "left_channel_url", "right_channel_url"),
    *("left_transcript_path", "right_transcript_path", "competitors_found", "current_step"),
    *("progress_percentage", "total_competitors", "completed_competitors", "created_at"),
    *("updated_at", "completed_at", "sentiment_results"),
}
RESULT = {
    *("id", "job_id", "competitor_name", "segment_text", "sentiment", "detection_method"),
    *("detection_details", "segment_id", "start_time", "end_time", "context", "created_at"),
}


@pytest.fixture
def settings(empty_app: Served) -> Settings:
    return empty_app.settings


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def calls(storage: Storage, tmp_path: Path) -> dict[str, str]:
    return calls_by_state.one_per_state(storage, tmp_path / "sound")


def test_a_completed_job_has_all_fields_of_the_contract(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    job = client.get(f"/jobs/{calls['completed']}").json()
    assert job.keys() >= CONTRACT
    assert (job["filename"], job["status"], job["error_message"]) == (
        "completed.wav",
        "COMPLETED",
        None,
    )
    assert job["competitors_found"] == ["Vodafone", "Sky"]
    assert (job["progress_percentage"], job["completed_competitors"]) == (100, 2)
    found = {each["competitor_name"]: each for each in job["sentiment_results"]}
    assert found["Sky"].keys() == RESULT
    assert (found["Sky"]["sentiment"], found["Vodafone"]["sentiment"]) == ("negative", "positive")
    assert found["Sky"]["segment_text"] == "they say Sky is what they want"
    assert found["Sky"]["job_id"] == job["id"]


def test_a_jobs_transcript_can_be_downloaded(client: httpx.Client, calls: dict[str, str]) -> None:
    job = client.get(f"/jobs/{calls['completed']}").json()
    paths = [job["left_transcript_path"], job["right_transcript_path"]]
    [path] = [path for path in paths if path]
    reply = client.get(f"/storage/download/{path}")
    assert reply.status_code == 200
    assert "Sky is what they want" in reply.text


def test_jobs_are_listed_newest_first_without_erased_ones(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    listed = client.get("/jobs").json()
    shown = [name for name in reversed(calls) if name != "erased"]
    assert [job["id"] for job in listed["jobs"]] == [calls[name] for name in shown]
    assert (listed["total"], listed["next"]) == (6, None)
    assert all(job["sentiment_results"] == [] for job in listed["jobs"])
    filled = client.get("/jobs", params={"with_sentiment": True, "state": "COMPLETED"}).json()
    assert len(filled["jobs"][0]["sentiment_results"]) == 2


def test_pages_by_skip_and_by_cursor_are_the_same(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    whole = [job["id"] for job in client.get("/jobs").json()["jobs"]]
    by_skip = [
        client.get("/jobs", params={"skip": skip, "limit": 2}).json()["jobs"] for skip in (0, 2, 4)
    ]
    assert [job["id"] for page in by_skip for job in page] == whole
    by_cursor, after = list[str](), None
    while True:
        page = client.get("/jobs", params={"limit": 4, **({"after": after} if after else {})})
        by_cursor += [job["id"] for job in page.json()["jobs"]]
        after = page.json()["next"]
        if after is None:
            break
    assert by_cursor == whole
    for wrong in ({"limit": 0}, {"limit": 501}, {"skip": -1}, {"after": "x"}):
        refused = client.get("/jobs", params=wrong)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"


def test_states_follow_the_contract(client: httpx.Client, calls: dict[str, str]) -> None:
    jobs = {job["id"]: job for job in client.get("/jobs").json()["jobs"]}
    assert {jobs[calls[name]]["status"] for name in ("waiting", "put off")} == {"PENDING"}
    assert jobs[calls["processing"]]["status"] == "PROCESSING"
    assert jobs[calls["failed"]]["status"] == "FAILED"
    assert "PNG" in jobs[calls["failed"]]["error_message"]
    assert datetime.fromisoformat(jobs[calls["put off"]]["next_try_at"])
    places = [jobs[calls[name]]["queue_place"] for name in ("waiting", "completed")]
    assert places == [1, None]


def test_a_duplicate_has_the_originals_results(client: httpx.Client, calls: dict[str, str]) -> None:
    job = client.get(f"/jobs/{calls['duplicate']}").json()
    assert (job["status"], job["duplicate_of"]) == ("COMPLETED", calls["completed"])
    assert (job["id"], job["filename"]) == (calls["duplicate"], "copy.wav")
    assert job["competitors_found"] == ["Vodafone", "Sky"]
    assert len(job["sentiment_results"]) == 2


@pytest.mark.parametrize(
    "job_id", ["2020-01-01-000000000000", "x", "%00", "..%2F..%2Fetc", "1" * 900]
)
def test_an_unknown_job_is_404(client: httpx.Client, job_id: str) -> None:
    for reply in (client.get(f"/jobs/{job_id}"), client.post(f"/jobs/{job_id}/retry")):
        assert reply.status_code == 404
        assert reply.headers["content-type"] == "application/problem+json"


def test_an_erased_job_is_404_and_says_so(client: httpx.Client, calls: dict[str, str]) -> None:
    reply = client.get(f"/jobs/{calls['erased']}")
    assert (reply.status_code, reply.json()["detail"]) == (404, "This call was erased.")


def test_an_unchanged_job_is_304(
    client: httpx.Client, calls: dict[str, str], storage: Storage
) -> None:
    path = f"/jobs/{calls['failed']}"
    tag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    storage.ledger.retry([calls["failed"]])
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_failed_job_can_be_retried(
    client: httpx.Client, calls: dict[str, str], storage: Storage
) -> None:
    reply = client.post(f"/jobs/{calls['failed']}/retry")
    assert (reply.status_code, reply.json()["retried"]) == (202, True)
    assert row(storage, calls["failed"])["state"] == "PENDING"
    assert client.post(f"/jobs/{calls['completed']}/retry").json()["retried"] is False


def test_uploaders_see_progress_but_no_results(
    settings: Settings, storage: Storage, calls: dict[str, str]
) -> None:
    key = ApiKey.generate()
    ApiKeys(storage.database).add(key, "recorder", [Scope.UPLOAD], by="a test")
    options = settings.model_copy(update={"database_url": SecretStr(storage.database.url)})
    with app_client(options, **{"X-API-KEY": key.to_text()}) as client:
        told = client.get(f"/jobs/{calls['completed']}")
        job = told.json()
        assert (job["status"], job["progress_percentage"]) == ("COMPLETED", 100)
        assert not any(word in told.text for word in ("Vodafone", "Sky", "transcript.", "audio"))
        assert client.get("/jobs").status_code == 403
        assert client.post(f"/jobs/{calls['failed']}/retry").status_code == 403


def test_only_intended_routes_are_public(settings: Settings, database_url: str) -> None:
    from callpipeline.web import access
    from callpipeline.web.app import create_app

    routes = access.protected_routes(create_app(settings).routes)
    open_paths = {route.path for route in routes if not route.requirements}
    assert open_paths == {
        *("/health", "/health/live", "/health/ready", "/login", "/openapi.json"),
        *("/storage/signed/{token}", "/static"),
    }


def test_registered_calls_keep_their_order(client: httpx.Client, storage: Storage) -> None:
    for number in range(3):
        enter(storage, f"{number}.wav")
    places = {j["filename"]: j["queue_place"] for j in client.get("/jobs").json()["jobs"]}
    assert places == {"0.wav": 1, "1.wav": 2, "2.wav": 3}
