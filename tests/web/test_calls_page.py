"""The list of calls and the header of a call's page, without scripts."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from callpipeline import errors
from callpipeline.domain.access import ApiKey, Scope
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.access import ApiKeys
from callpipeline.web.pages.rendering import timestamp
from callpipeline.web.problems import DEFAULT_ADVICE, advice
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, row
from tests.integration.databases import execute_sql
from tests.web import calls_by_state
from tests.web.served import Served, served
from tests.web.uploads import a_recording

A_BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("app"), module_url, dagster_ui_url="http://dagster:3000"
    ) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client(**A_BROWSER) as client:
        yield client


@pytest.fixture
def calls(storage: Storage, tmp_path: Path) -> dict[str, str]:
    return calls_by_state.one_per_state(storage, tmp_path / "sound")


def rows_of(html: str) -> list[str]:
    """Ids of the calls in the list, in its order."""
    return re.findall(r'<tr id="row-([^"]+)"', html)


def row_of(html: str, call_id: str) -> str:
    found = re.search(rf'<tr id="row-{call_id}".*?</tr>', html, re.DOTALL)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-03-02T02:09:00+00:00", "Today, 2:09 AM"),
        ("2026-03-02T01:30:00+02:00", "1 Mar 2026, 11:30 PM"),
        ("2026-03-01T12:00:00+00:00", "1 Mar 2026, 12:00 PM"),
    ],
)
def test_times_are_in_utc(at: str, shown: str) -> None:
    now = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert f">{shown}</time>" in timestamp(datetime.fromisoformat(at), now)


def test_every_state_has_a_label(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    for name, word in {
        "completed": "Completed",
        "failed": "Failed",
        "put off": "Queued",
        "processing": "Processing",
        "duplicate": "Duplicate",
    }.items():
        assert f">{word}</span>" in row_of(html, calls[name]).replace("</svg>", ">"), name


def test_the_newest_call_is_first_and_erased_calls_need_the_filter(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    shown = list(reversed([call_id for name, call_id in calls.items() if name != "erased"]))
    assert rows_of(client.get("/calls").text) == shown
    assert rows_of(client.get("/calls?state=ERASED").text) == [calls["erased"]]


def test_a_row_shows_results_and_progress(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    done = row_of(html, calls["completed"])
    assert "Vodafone" in done and ": positive" in done and ": negative" in done
    assert "0:20" in done and "Ann O&#39;Neill" in done
    assert 'value="10"' in row_of(html, calls["processing"])
    assert "Transcribing left and right" in row_of(html, calls["processing"])
    assert "This is an image (PNG), not audio." in row_of(html, calls["failed"])
    assert "Next in queue" in row_of(html, calls["waiting"])
    assert "Next attempt: " in row_of(html, calls["put off"])


BY_FILTER = (
    ("state=FAILED", ["failed"]),
    ("state=FAILED&state=COMPLETED", ["failed", "completed"]),
    ("competitor=vodafone&sentiment=positive", ["completed"]),
    ("competitor=Vodafone&sentiment=negative", []),
    ("agent=ann+o%27neill", ["completed"]),
    ("name=2026+COMPLETED", ["completed"]),
    ("from=2026-03-03", []),
    ("state=&name=&competitor=&sentiment=&agent=&from=&to=2026-03-01", []),
)


def test_calls_are_filtered_by_the_query(client: httpx.Client, calls: dict[str, str]) -> None:
    for query, names in BY_FILTER:
        html = client.get(f"/calls?{query}").text
        assert rows_of(html) == [calls[name] for name in names], query
        assert ("No calls match these filters" in html) is (not names)


def test_an_invalid_filter_is_an_error_page(client: httpx.Client) -> None:
    for wrong in ["from=yesterday", "state=LOST", "sentiment=angry", "after=x"]:
        reply = client.get(f"/calls?{wrong}")
        assert reply.status_code == 422, wrong
        assert "<h1>" in reply.text


def test_pagination_keeps_the_filter(client: httpx.Client, storage: Storage) -> None:
    known = enter(storage, *(f"{number:03}.wav" for number in range(120)))
    html, seen = client.get("/calls?state=PENDING").text, list[str]()
    while True:
        seen += rows_of(html)
        older = re.search(r'<a href="([^"]+)" rel="next"', html)
        if older is None:
            break
        assert "state=PENDING" in older[1]
        html = client.get(older[1].replace("&amp;", "&")).text
    assert len(seen) == len(set(seen)) == 120
    assert sorted(seen) == sorted(known)


def test_file_names_are_escaped(client: httpx.Client, storage: Storage) -> None:
    call_ids = enter(storage, *calls_by_state.NAMES)
    for path in ("/upload", "/calls", *(f"/calls/{call_id}" for call_id in call_ids)):
        reply = client.get(path)
        assert reply.status_code == 200
        assert "<b>" not in reply.text.replace("<bdi>", "")
        assert "\u202e" not in reply.text


def test_the_page_of_a_failed_call_shows_reason_and_advice(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['failed']}").text
    assert "Couldn&#39;t split the recording into speakers:" in html
    assert "This is an image (PNG), not audio." in html
    assert advice("UnsupportedAudio") in html
    partition = (
        f"http://dagster:3000/assets/channel_audio?view=partitions&amp;partition={calls['failed']}"
    )
    assert partition in html
    assert "hx-sse:connect" not in html


def test_the_page_of_a_call_in_progress_is_live_and_links_to_its_run(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['processing']}").text
    assert f"http://dagster:3000/runs/{calls_by_state.RUN}" in html
    assert f'hx-sse:connect="/events/calls/{calls["processing"]}?mark=' in html
    assert 'value="10"' in html


def test_a_call_in_backoff_shows_its_next_attempt_and_the_reason(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['put off']}").text
    assert "Next attempt: <time" in html
    assert "The recogniser did not answer within 30 s." in html
    assert "Retry now" in html


def test_a_duplicate_links_to_the_original(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get(f"/calls/{calls['duplicate']}").text
    assert f'href="/calls/{calls["completed"]}"' in html


def test_an_erased_call_shows_nothing_but_its_state(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    reply = client.get(f"/calls/{calls['erased']}")
    assert reply.status_code == 200
    assert "Erased call" in reply.text
    assert "gone.wav" not in reply.text


def test_an_unknown_call_is_a_404_page(client: httpx.Client) -> None:
    for call_id in ["2026-03-02-000000000000", "nonsense", "%00"]:
        reply = client.get(f"/calls/{call_id}")
        assert reply.status_code == 404
        assert "<h1>" in reply.text


def test_retrying_failed_calls_redirects_back(
    client: httpx.Client, storage: Storage, calls: dict[str, str]
) -> None:
    form = {"call_id": [calls["failed"]], "back": "/calls?state=FAILED"}
    reply = client.post("/calls/retry", data=form)
    assert (reply.status_code, reply.headers["location"]) == (303, "/calls?state=FAILED")
    assert row(storage, calls["failed"])["state"] == CallState.PENDING


def test_redirects_stay_on_the_site(client: httpx.Client) -> None:
    for back in ["//evil.example", "https://evil.example", "/\\evil", "/a\nb", ""]:
        form = {"call_id": ["2026-03-02-000000000000"], "back": back}
        assert client.post("/calls/retry", data=form).headers["location"] == "/calls"


def test_retrying_an_invalid_call_id_is_rejected(client: httpx.Client) -> None:
    for call_id in [[], ["nonsense"], ["2026-03-02-000000000000"] * 501]:
        assert client.post("/calls/retry", data={"call_id": call_id}).status_code == 422


def test_retry_is_no_main_button_where_it_cannot_help(
    client: httpx.Client, calls: dict[str, str], empty_app: Served
) -> None:
    """A file that is not audio has to be exported again."""
    main = f'name="call_id" value="{calls["failed"]}">Retry'
    url = empty_app.settings.database_url
    assert url
    statement = "UPDATE calls SET error_class = '{}' WHERE state = 'FAILED'"
    execute_sql(url.get_secret_value(), statement.format("UnsupportedAudio"))
    html = client.get(f"/calls/{calls['failed']}").text
    assert main not in html
    assert f'value="{calls["failed"]}" class="outline secondary">Retry' in html
    execute_sql(url.get_secret_value(), statement.format("EngineRefused"))
    assert main in client.get(f"/calls/{calls['failed']}").text


def test_buttons_work_without_scripts(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    button = f'form="retry" name="call_id" value="{calls["failed"]}"'
    assert button in html and '<form id="retry" method="post" action="/calls/retry">' in html
    assert f'form="retry-all" name="call_id" value="{calls["failed"]}"' in html


def test_the_upload_page_has_a_form_and_the_newest_calls(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get("/upload").text
    assert 'type="file" name="file"' in html
    assert 'data-max-bytes="2048000000"' in html
    assert rows_of(html)[0] == calls["duplicate"]
    assert calls["erased"] not in html


def test_readers_see_no_upload_form(
    client: httpx.Client, storage: Storage, calls: dict[str, str]
) -> None:
    key = ApiKey.generate()
    ApiKeys(storage.database).add(key, "a reader", [Scope.READ], by="a test")
    as_reader = {"X-API-KEY": key.to_text()}
    html = client.get("/", headers=as_reader).text
    assert "Overview" in html and 'href="/upload"' not in html
    assert client.get("/upload", headers=as_reader).status_code == 403


def test_a_recording_is_uploaded_without_scripts(client: httpx.Client, tmp_path: Path) -> None:
    reply = client.post("/upload/page", files={"file": ("a.wav", a_recording())})
    assert reply.status_code == 303
    page = client.get(reply.headers["location"])
    assert page.status_code == 200 and "a.wav" in page.text
    rejected = client.post("/upload/page", files={"file": ("a.pdf", b"%PDF-1.7")})
    assert rejected.status_code == 415 and "a PDF, not audio" in rejected.text


def test_every_error_of_engines_and_claims_has_advice() -> None:
    package = Path(errors.__file__).parent
    files = [*package.glob("engines/**/*.py"), package / "storage" / "calls" / "claims.py"]
    raised = {name for file in files for name in re.findall(r"raise (\w+)\(", file.read_text())}
    known = {name for name in raised if name in vars(errors)} - {
        "ClaimLost",
        "SameRecording",
        "TranscriptIgnored",
    }
    assert len(known) >= 8
    assert [name for name in sorted(known) if advice(name) == DEFAULT_ADVICE] == []
    assert advice(None) == advice("ErrorOfTomorrow") == DEFAULT_ADVICE


def test_competitor_names_with_special_characters_link_to_their_calls(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = calls_by_state.completed(storage, "x.wav", tmp_path, **{"A&B <x>": Sentiment.MIXED})
    html = client.get("/calls").text
    assert 'href="/calls?competitor=A%26B+%3Cx%3E"' in html
    assert rows_of(client.get("/calls?competitor=A%26B+%3Cx%3E").text) == [call_id]


def test_an_old_call_is_not_listed_as_new(client: httpx.Client, storage: Storage) -> None:
    old, new = enter(storage, "old.wav", "new.wav")
    change(storage, [old], created_at="now() - interval '1 day'")
    assert rows_of(client.get("/calls").text) == [new, old]
