"""Calls imported from the old system, which have no recording, in the API and on pages."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline import wiring
from callpipeline.pipeline.erasure import ExternalTraces
from callpipeline.wiring import Storage
from tests.integration.databases import new_database
from tests.integration.old_system import SAID, OldSystem, old_id
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, sending_to


@pytest.fixture(scope="module", params=["legacy", "native"])
def app(
    request: pytest.FixtureRequest, module_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("app")
    with served(home, module_url, web_api=request.param, **WITH_KEY) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served, postgres: str, tmp_path: Path) -> Storage:
    """The app's storage with two imported jobs, of which the second failed."""
    with new_database(postgres) as url:
        old = OldSystem(url, tmp_path / "old-bucket")
        old.add_jobs(1)
        old.add_jobs(2, transcripts=False, status="FAILED", error_message="no disk")
        opened = wiring.open_legacy_import(
            empty_app.settings, empty_app.storage, url, str(old.bucket)
        )
        with opened as (importer, database):
            report = importer.run(database)
    assert report.problems == []
    return empty_app.storage


@pytest.fixture
def client(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with sending_to(empty_app) as sender:
        yield sender.client


def test_jobs_keep_their_ids(client: httpx.Client, app: Served) -> None:
    job = client.get(f"/jobs/{old_id(1)}").json()
    assert (job["uuid"], job["filename"], job["status"]) == (old_id(1), "call 1.wav", "COMPLETED")
    assert client.get(f"/jobs/{job['call_id']}").json() == job
    listed = client.get("/jobs").json()["jobs"]
    assert [each["uuid"] for each in listed] == [old_id(2), old_id(1)], "newest first"
    assert len(job["sentiment_results"]) == 2
    if app.settings.web_is_legacy:
        assert job["id"] == old_id(1)
        assert {each["job_id"] for each in job["sentiment_results"]} == {old_id(1)}
        methods = {e["competitor_name"]: e["detection_method"] for e in job["sentiment_results"]}
        assert methods["Vodafone"] == "rule-based"


@pytest.mark.parametrize("side", ["left", "right"])
def test_transcripts_keep_their_paths(client: httpx.Client, side: str) -> None:
    path = f"transcripts/{old_id(1)}/{side}_transcript.json"
    read = client.get(f"/storage/download/{path}").json()
    assert [each["text"] for each in read.get("data", read)["segments"]] == SAID[side]
    job = client.get(f"/jobs/{old_id(1)}").json()
    assert client.get(f"/storage/download/{job[f'{side}_transcript_path']}").status_code == 200
    listed = client.get("/admin/storage/files").json()["objects"]
    assert path in [each["object_name"] for each in listed]


def test_pages_show_them(client: httpx.Client) -> None:
    job = client.get(f"/jobs/{old_id(1)}").json()
    page = client.get(f"/calls/{job['call_id']}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert SAID["right"][1] in page.text
    failed = client.get(f"/calls/{old_id(2)}", headers={"Accept": "text/html"})
    assert (failed.status_code, "no disk" in failed.text) == (200, True)
    assert client.get("/calls", headers={"Accept": "text/html"}).status_code == 200
    assert client.get(f"/calls/{job['call_id']}/audio.wav").status_code == 404


def test_they_cannot_be_retried(client: httpx.Client) -> None:
    refused = client.post(f"/jobs/{old_id(2)}/retry")
    assert (refused.status_code, "Upload the recording" in refused.json()["detail"]) == (409, True)


def test_they_count_in_analytics(client: httpx.Client) -> None:
    overview = client.get("/analytics/overview").json()
    assert overview["total_jobs"] == 2
    report = client.get("/analytics/competitor/Vodafone").json()
    assert (report["total_mentions"], report["unique_calls"]) == (2, 2)
    trends = client.get("/analytics/sentiment-trends").json()["trends"]
    assert {each["date"] for each in trends} == {"2025-05-06"}


def test_they_can_be_erased(client: httpx.Client, app: Served, storage: Storage) -> None:
    call_id = client.get(f"/jobs/{old_id(1)}").json()["call_id"]
    storage.erasures.begin([call_id], keep_recording=False)
    nothing = ExternalTraces(0, busy=False)
    eraser = wiring.open_eraser(app.settings, storage, lambda ids, thorough: nothing, quiet_s=0.0)
    eraser.finish()
    assert [attempt.trouble for attempt in eraser.finish()] == [None]
    assert storage.erasures.open(None, limit=10) == []
    assert not list(storage.store.list(f"calls/{call_id}"))
    assert client.get(f"/jobs/{old_id(1)}").status_code == 404
    path = f"transcripts/{old_id(1)}/left_transcript.json"
    assert client.get(f"/storage/download/{path}").status_code == 404
