"""The list of calls and the head of a call's page, as a browser without scripts sees them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from callpipeline import errors
from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope
from callpipeline.domain.call import CallState
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.api_keys import ApiKeys
from callpipeline.web.advice import OTHERWISE, advice
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, row
from tests.web import standing_calls
from tests.web.app_server import asked
from tests.web.uploads import a_recording

A_BROWSER = {"Accept": "text/html"}


@pytest.fixture
def client(settings: Settings, database_url: str) -> Iterator[httpx.Client]:
    where = {"database_url": SecretStr(database_url), "dagster_ui_url": "http://dagster:3000"}
    with asked(settings.model_copy(update=where), **A_BROWSER) as client:
        yield client


@pytest.fixture
def calls(storage: Storage, tmp_path: Path) -> dict[str, str]:
    return standing_calls.one_of_each(storage, tmp_path / "sound")


def rows_of(html: str) -> list[str]:
    """Ids of the calls in the list, in its order."""
    return re.findall(r'<tr id="row-([^"]+)"', html)


def row_of(html: str, call_id: str) -> str:
    found = re.search(rf'<tr id="row-{call_id}".*?</tr>', html, re.DOTALL)
    assert found
    return found[0]


def test_every_state_is_told_by_a_word(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    for name, word in {
        "completed": "Completed",
        "failed": "Failed",
        "put off": "Waiting",
        "processing": "Processing",
        "duplicate": "Duplicate",
    }.items():
        assert f">{word}</span>" in row_of(html, calls[name]).replace("</svg>", ">"), name


def test_the_newest_call_is_first_and_erased_ones_only_come_when_asked_for(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    shown = list(reversed([call_id for name, call_id in calls.items() if name != "erased"]))
    assert rows_of(client.get("/calls").text) == shown
    assert rows_of(client.get("/calls?state=ERASED").text) == [calls["erased"]]


def test_a_row_has_what_was_found_out(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    done = row_of(html, calls["completed"])
    assert "Vodafone" in done and ": positive" in done and ": negative" in done
    assert "0:20" in done and "Ann O&#39;Neill" in done
    assert 'value="10"' in row_of(html, calls["processing"])
    assert "Transcribing left and right" in row_of(html, calls["processing"])
    assert "This is an image (PNG), not audio." in row_of(html, calls["failed"])
    assert "Next in the queue" in row_of(html, calls["waiting"])
    assert "Next try" in row_of(html, calls["put off"])


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


def test_calls_are_filtered_by_what_the_address_says(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    for asked_for, names in BY_FILTER:
        html = client.get(f"/calls?{asked_for}").text
        assert rows_of(html) == [calls[name] for name in names], asked_for
        assert ("No call matches these filters" in html) is (not names)


def test_a_filter_that_is_none_is_a_page_that_says_so(client: httpx.Client) -> None:
    for wrong in ["from=yesterday", "state=LOST", "sentiment=angry", "after=x"]:
        reply = client.get(f"/calls?{wrong}")
        assert reply.status_code == 422, wrong
        assert "<h1>" in reply.text


def test_pages_follow_each_other_and_keep_the_filter(
    client: httpx.Client, storage: Storage
) -> None:
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


def test_any_file_name_is_shown_as_text(client: httpx.Client, storage: Storage) -> None:
    call_ids = enter(storage, *standing_calls.NAMES)
    for path in ("/", "/calls", *(f"/calls/{call_id}" for call_id in call_ids)):
        reply = client.get(path)
        assert reply.status_code == 200
        assert "<b>" not in reply.text.replace("<bdi>", "")
        assert "\u202e" not in reply.text


def test_the_page_of_a_failed_call_says_why_and_what_to_do(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['failed']}").text
    assert "It failed when the recording was taken apart:" in html
    assert "This is an image (PNG), not audio." in html
    assert advice("UnsupportedAudio") in html
    partition = (
        f"http://dagster:3000/assets/channel_audio?view=partitions&amp;partition={calls['failed']}"
    )
    assert partition in html
    assert "hx-sse:connect" not in html


def test_the_page_of_a_call_at_work_is_live_and_leads_to_its_run(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['processing']}").text
    assert f"http://dagster:3000/runs/{standing_calls.RUN}" in html
    assert f'hx-sse:connect="/events/calls/{calls["processing"]}?mark=' in html
    assert 'value="10"' in html


def test_a_call_that_waits_for_its_next_try_says_when_and_why(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get(f"/calls/{calls['put off']}").text
    assert "It is tried again <time" in html
    assert "The recogniser did not answer within 30 s." in html
    assert "Try now" in html


def test_a_duplicate_leads_to_the_first(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get(f"/calls/{calls['duplicate']}").text
    assert f'href="/calls/{calls["completed"]}"' in html


def test_of_an_erased_call_nothing_is_shown(client: httpx.Client, calls: dict[str, str]) -> None:
    reply = client.get(f"/calls/{calls['erased']}")
    assert reply.status_code == 200
    assert "An erased call" in reply.text
    assert "gone.wav" not in reply.text


def test_an_unknown_call_is_a_page_of_404(client: httpx.Client) -> None:
    for call_id in ["2026-03-02-000000000000", "nonsense", "%00"]:
        reply = client.get(f"/calls/{call_id}")
        assert reply.status_code == 404
        assert "<h1>" in reply.text


def test_failed_calls_are_tried_again_and_the_page_comes_back(
    client: httpx.Client, storage: Storage, calls: dict[str, str]
) -> None:
    wish = {"call_id": [calls["failed"]], "back": "/calls?state=FAILED"}
    reply = client.post("/calls/retry", data=wish)
    assert (reply.status_code, reply.headers["location"]) == (303, "/calls?state=FAILED")
    assert row(storage, calls["failed"])["state"] == CallState.PENDING


def test_nobody_is_led_to_another_site(client: httpx.Client) -> None:
    for back in ["//evil.example", "https://evil.example", "/\\evil", "/a\nb", ""]:
        wish = {"call_id": ["2026-03-02-000000000000"], "back": back}
        assert client.post("/calls/retry", data=wish).headers["location"] == "/calls"


def test_a_wish_for_what_is_no_call_is_refused(client: httpx.Client) -> None:
    for call_id in [[], ["nonsense"], ["2026-03-02-000000000000"] * 501]:
        assert client.post("/calls/retry", data={"call_id": call_id}).status_code == 422


def test_buttons_need_no_script(client: httpx.Client, calls: dict[str, str]) -> None:
    html = client.get("/calls").text
    button = f'form="retry" name="call_id" value="{calls["failed"]}"'
    assert button in html and '<form id="retry" method="post" action="/calls/retry">' in html
    assert f'form="retry-all" name="call_id" value="{calls["failed"]}"' in html


def test_the_home_page_takes_a_recording_and_shows_the_newest_calls(
    client: httpx.Client, calls: dict[str, str]
) -> None:
    html = client.get("/").text
    assert 'type="file" name="file"' in html
    assert 'data-most-bytes="2048000000"' in html
    assert rows_of(html)[0] == calls["duplicate"]
    assert calls["erased"] not in html


def test_who_only_reads_is_not_asked_for_recordings(
    client: httpx.Client, storage: Storage, calls: dict[str, str]
) -> None:
    key = ApiKey.made()
    ApiKeys(storage.database).add(key, "a reader", [Scope.READ], by="a test")
    html = client.get("/", headers={"X-API-KEY": key.written()}).text
    assert calls["completed"] in rows_of(html)
    assert 'type="file"' not in html and "upload.js" not in html and ">Upload<" not in html


def test_a_recording_is_handed_over_without_a_script(client: httpx.Client, tmp_path: Path) -> None:

    reply = client.post("/upload/page", files={"file": ("a.wav", a_recording())})
    assert reply.status_code == 303
    page = client.get(reply.headers["location"])
    assert page.status_code == 200 and "a.wav" in page.text
    refused = client.post("/upload/page", files={"file": ("a.pdf", b"%PDF-1.7")})
    assert refused.status_code == 415 and "a PDF, not audio" in refused.text


def test_there_is_advice_for_every_error_that_engines_raise_and_claims_end_with() -> None:
    package = Path(errors.__file__).parent
    files = [*package.glob("engines/**/*.py"), package / "storage" / "claims.py"]
    raised = {name for file in files for name in re.findall(r"raise (\w+)\(", file.read_text())}
    ours = {name for name in raised if name in vars(errors)} - {"ClaimLost", "SameRecording"}
    assert len(ours) >= 8
    assert [name for name in sorted(ours) if advice(name) == OTHERWISE] == []
    assert advice(None) == advice("ErrorOfTomorrow") == OTHERWISE


def test_sentiment_and_competitors_of_a_name_with_odd_letters_lead_to_calls(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = standing_calls.completed(storage, "x.wav", tmp_path, **{"A&B <x>": Sentiment.UNSURE})
    html = client.get("/calls").text
    assert 'href="/calls?competitor=A%26B+%3Cx%3E"' in html
    assert rows_of(client.get("/calls?competitor=A%26B+%3Cx%3E").text) == [call_id]


def test_a_call_of_long_ago_is_no_newer_one(client: httpx.Client, storage: Storage) -> None:
    old, new = enter(storage, "old.wav", "new.wav")
    change(storage, [old], created_at="now() - interval '1 day'")
    assert rows_of(client.get("/calls").text) == [new, old]
