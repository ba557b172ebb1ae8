"""Requests of the old system's web client, from a page of another origin in Chromium."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from callpipeline.domain.calls.legacy import job_uuid
from callpipeline.domain.sentiment import Sentiment
from tests.processes import free_port
from tests.web import calls_by_state
from tests.web.browsing import OPTIONS
from tests.web.protected_app import USERS
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY, a_recording

pytestmark = pytest.mark.browser

ASK = """
async ([url, method, body, headers]) => {
  const options = { method, headers };
  if (body !== null && body.file) {
    const form = new FormData();
    const bytes = Uint8Array.from(atob(body.file), (c) => c.charCodeAt(0));
    form.append("file", new File([bytes], "call.wav", { type: "audio/wav" }));
    options.body = form;
  } else if (body !== null) {
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  try {
    const response = await fetch(url, options);
    return [response.status, await response.json()];
  } catch (error) {
    return [0, String(error)];
  }
}
"""
JOB_STRINGS = ("progress_percentage", "total_competitors", "completed_competitors")


class Client:
    """A page of the old client, which asks an app."""

    def __init__(self, page: Page, base: str, key: str | None) -> None:
        self._page = page
        self._base = base
        self._headers = {"X-API-KEY": key} if key else {}

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON that a script gets; 0 and a text if it gets none."""
        asked = [f"{self._base}{path}", method, body, dict(self._headers)]
        return tuple(self._page.evaluate(ASK, asked))

    def get(self, path: str) -> Any:
        status, document = self.ask(path)
        assert status == 200, (path, status, document)
        return document


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def site(folder: Path, port: int) -> Iterator[str]:
    """Serve an empty page, as the old client's server does."""
    (folder / "index.html").write_text("<!doctype html><title>old client</title>")
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from shutil import which

    path = which("chromium") or which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=OPTIONS)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site(tmp_path_factory.mktemp("site"), free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site(tmp_path_factory.mktemp("stranger"), free_port()) as address:
        yield address


@pytest.fixture(scope="module", params=["without login", "with login"])
def app(
    request: pytest.FixtureRequest,
    origin: str,
    module_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    login = {"web_users": USERS, **WITH_KEY} if request.param == "with login" else {}
    options = {"web_api": "legacy", "web_cors_origins": (origin,), **login}
    with served(tmp_path_factory.mktemp("app"), module_url, **options) as app:
        yield app


@contextmanager
def page_of(browser: Browser, origin: str, app: Served, *, key: bool = True) -> Iterator[Client]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(origin)
    needs_key = key and app.settings.api_key is not None
    try:
        yield Client(page, app.address, KEY if needs_key else None)
    finally:
        context.close()


@pytest.fixture
def client(browser: Browser, origin: str, empty_app: Served) -> Iterator[Client]:
    with page_of(browser, origin, empty_app) as client:
        yield client


@pytest.fixture
def call_id(empty_app: Served, tmp_path: Path) -> str:
    named = {"Vodafone": Sentiment.POSITIVE, "Sky": Sentiment.NEGATIVE}
    return calls_by_state.completed(
        empty_app.storage, "2026/03/completed.wav", tmp_path / "sound", **named
    )


def test_a_recording_is_uploaded_and_its_job_opened(client: Client) -> None:
    import base64

    recording = base64.b64encode(a_recording()).decode()
    status, answer = client.ask("/upload", "POST", {"file": recording})
    assert status == 200
    assert answer["job_id"] == job_uuid(answer["call_id"])
    assert answer["status"] == "PENDING" and answer["message"]
    job = client.get(f"/jobs/{answer['job_id']}")
    assert (job["id"], job["call_id"]) == (answer["job_id"], answer["call_id"])
    assert (job["filename"], job["status"]) == ("call.wav", "PENDING")
    assert [job[name] for name in JOB_STRINGS] == ["0%", "0", "0"]


def test_jobs_are_listed_page_by_page(client: Client, call_id: str) -> None:
    page = client.get("/jobs?skip=0&limit=20")
    assert page["total"] == 1
    [job] = page["jobs"]
    assert (job["id"], job["id"][:8]) == (job_uuid(call_id), call_id[11:19])
    assert (job["filename"], job["status"]) == ("completed.wav", "COMPLETED")
    assert job["created_at"]
    assert client.get("/jobs?skip=0&limit=20") == page, "it asks every five seconds"
    assert client.get("/jobs?skip=20&limit=20") | {"next": None} == {
        "total": 1,
        "jobs": [],
        "next": None,
    }


def test_a_job_has_its_results(client: Client, call_id: str) -> None:
    job = client.get(f"/jobs/{job_uuid(call_id)}")
    assert [job[name] for name in JOB_STRINGS] == ["100%", "2", "2"]
    assert (job["competitors_found"], job["current_step"]) == (["Vodafone", "Sky"], "completed")
    assert job["error_message"] is None and job["completed_at"]
    found = {each["competitor_name"]: each for each in job["sentiment_results"]}
    assert found["Sky"]["sentiment"] == "negative"
    assert "Sky" in found["Sky"]["segment_text"]
    for each in found.values():
        assert each["detection_method"] in ("llm-based", "rule-based")
        assert each["detection_details"] and each["job_id"] == job["id"]
        times = (each["start_time"], each["end_time"], each["segment_id"])
        assert all(isinstance(text, str) for text in times), times
        assert float(each["start_time"]) < float(each["end_time"])
    status, error = client.ask(f"/jobs/{job_uuid('2020-01-01-000000000000')}")
    assert (status, error["detail"]) == (404, "Call not found. It may have been deleted.")


def test_analytics_are_shown(client: Client, call_id: str) -> None:
    overview = client.get("/analytics/overview")
    assert (overview["total_jobs"], overview["total_competitors"]) == (1, 2)
    assert {"name": "Sky", "count": 1} in overview["top_competitors"]
    assert {"sentiment": "negative", "count": 1} in overview["sentiment_distribution"]
    listed = client.get("/analytics/competitors/list")["competitors"]
    assert {"name": "Vodafone", "mention_count": 1} in listed
    report = client.get("/analytics/competitor/Sky")
    assert (report["competitor_name"], report["total_mentions"]) == ("Sky", 1)
    [segment] = report["segments"]
    assert segment["job_id"] == job_uuid(call_id)
    assert isinstance(segment["start_time"], str)
    assert client.get("/analytics/sentiment-trends?competitor_name=Sky")["trends"]


def test_tables_and_files_are_shown(client: Client, call_id: str) -> None:
    jobs = client.get("/admin/database/jobs?limit=100")
    assert (jobs["table"], jobs["count"]) == ("jobs", 1)
    [row] = jobs["rows"]
    assert (row["id"], row["progress_percentage"]) == (job_uuid(call_id), "100%")
    results = client.get("/admin/database/sentiment_results?limit=100")
    assert (results["table"], results["count"]) == ("sentiment_results", 2)
    assert {each["competitor_name"] for each in results["rows"]} == {"Sky", "Vodafone"}
    assert all(each["created_at"] for each in results["rows"])
    files = client.get("/admin/storage/files")
    path = f"transcripts/{job_uuid(call_id)}/right_transcript.json"
    assert [each["object_name"] for each in files["objects"]] == [path]
    assert files["count"] == 1 and files["objects"][0]["size"] > 0
    assert files["objects"][0]["last_modified"]
    assert row["right_transcript_path"] == path
    transcript = client.get(f"/storage/download/{path}")
    assert transcript["success"] and transcript["object_path"] == path
    assert transcript["data"]["segments"][0].keys() == {"id", "start", "end", "text", "words"}


def test_patterns_are_edited(client: Client) -> None:
    for kind in ("positive", "negative"):
        built_in = client.get(f"/patterns/{kind}")
        assert built_in["count"] == len(built_in["patterns"]) > 20
        status, added = client.ask(f"/patterns/{kind}", "POST", {"pattern": "and/or worse"})
        assert (status, added["patterns"][0]) == (200, "and/or worse")
        assert added["count"] == built_in["count"] + 1
        assert client.ask(f"/patterns/{kind}", "POST", {"pattern": "And or worse"})[0] == 400
        shown = [*added["patterns"], "second"]
        status, put = client.ask(f"/patterns/{kind}", "PUT", {"patterns": shown})
        assert (status, put["patterns"][:2]) == (200, ["and/or worse", "second"])
        assert put["count"] == built_in["count"] + 2, "built-in phrases are not doubled"
        left = client.ask(f"/patterns/{kind}/{quote('and/or worse', safe='')}", "DELETE")
        assert (left[0], left[1]["patterns"][0]) == (200, "second")
        assert client.ask(f"/patterns/{kind}/never", "DELETE")[0] == 404
        path = f"/patterns/{kind}/{quote(built_in['patterns'][-1], safe='')}"
        status, error = client.ask(path, "DELETE")
        assert status == 400 and "built in" in error["detail"]


def test_a_page_of_another_site_gets_nothing(
    browser: Browser, stranger: str, empty_app: Served, call_id: str
) -> None:
    with page_of(browser, stranger, empty_app) as client:
        asked = [
            client.ask("/jobs"),
            client.ask(f"/jobs/{job_uuid(call_id)}"),
            client.ask("/patterns/negative", "POST", {"pattern": "of a stranger"}),
            client.ask("/patterns/negative/outage", "DELETE"),
        ]
        form = "() => { const f = document.createElement('form'); f.method = 'post'; %s }"
        target = f"f.action = '{empty_app.address}/jobs/{call_id}/retry';"
        with client._page.expect_navigation() as navigation:  # pyright: ignore[reportPrivateUsage]
            client._page.evaluate(  # pyright: ignore[reportPrivateUsage]
                form % f"{target} document.body.append(f); f.submit();"
            )
        assert navigation.value.status in (401, 403)
    assert all(status == 0 and "Failed to fetch" in error for status, error in asked)
    assert empty_app.storage.patterns.lists() == {"positive": (), "negative": ()}


def test_a_login_requires_a_key(
    browser: Browser, origin: str, empty_app: Served, call_id: str
) -> None:
    with page_of(browser, origin, empty_app, key=False) as client:
        status, answer = client.ask("/jobs")
    if empty_app.settings.api_key is None:
        assert (status, answer["total"]) == (200, 1)
    else:
        assert (status, "X-API-KEY" in answer["detail"]) == (401, True)


def test_named_origins_get_no_page_and_no_other_host(empty_app: Served, origin: str) -> None:
    from_script = {"Origin": origin, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    is_open = empty_app.settings.api_key is None
    with empty_app.client(**from_script) as http:
        assert http.get("/jobs").status_code == (200 if is_open else 401)
        assert http.get("/calls").status_code in (403, 401), "pages have form tokens"
        assert http.get("/jobs", headers={"Host": "evil.example"}).status_code in (421, 401)
    forged = from_script | {"Origin": "https://evil.example"}
    with empty_app.client(**forged) as http:
        assert http.post("/patterns/negative", json={"pattern": "x"}).status_code in (403, 401)


def test_a_page_of_another_network_may_ask(empty_app: Served, origin: str) -> None:
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    with empty_app.client(**asks) as http:
        allowed = http.options("/upload")
        stranger = http.options("/upload", headers={"Origin": "https://evil.example"})
    assert allowed.headers["Access-Control-Allow-Private-Network"] == "true"
    assert (allowed.status_code, stranger.status_code) == (200, 400)
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_all_origins_is_not_a_named_origin(
    module_url: str, database_url: str, tmp_path: Path
) -> None:
    with served(tmp_path, module_url, web_cors_origins=("*",)) as app:
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert httpx.get(f"{app.address}/jobs", headers=headers, timeout=60).status_code == 403
        forged = headers | {"Origin": "*"}
        assert httpx.get(f"{app.address}/jobs", headers=forged, timeout=60).status_code == 403
