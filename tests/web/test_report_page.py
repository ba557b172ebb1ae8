"""The page of a weekly report: what it says, who schedules it, how it looks and prints."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from benchmarks.synthetic_calls import fill
from benchmarks.synthetic_data import DatasetSize
from callpipeline.domain.calls.saved_views import SavedView, ViewPage
from tests.integration.databases import execute_sql
from tests.web.browsing import chromium, watched
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served
from tests.web.test_alerts_page import login

NOW = datetime.now(UTC)
DAY = NOW.date()
"""Reports are about the week before this day, also if a test runs over midnight."""
WHITE = "rgb(255, 255, 255)"
SIZE = DatasetSize(400, 3_000, 1_600, agents=4, competitors=6, days=14)
VIEW = SavedView("Everything", ViewPage.OVERVIEW, days=28, is_shared=True, owner="login:x")


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app with two weeks of calls up to yesterday; Sky is not mentioned in the second."""
    fill(module_url, SIZE, now=NOW)
    week = f"r.day >= '{DAY}'::date - 7"
    gone = "DELETE FROM mentions m USING reading_calls r WHERE r.call_id = m.call_id AND "
    execute_sql(module_url, f"{gone} m.competitor = 'Sky' AND {week}")
    execute_sql(module_url, "UPDATE sentiment SET switching = NULL, switching_quote = ''")
    execute_sql(
        module_url,
        f"""UPDATE sentiment SET switching = 'leaving_to', switching_quote = 'we are leaving'
           WHERE (call_id, mention_id) IN (
               SELECT DISTINCT ON (call_id) call_id, mention_id FROM reading_mentions
               WHERE speaker = 'customer' AND state = 'COMPLETED'
                 AND day BETWEEN '{DAY}'::date - 7 AND '{DAY}'::date - 1
               ORDER BY call_id, mention_id LIMIT 2)""",
    )
    options = WITH_USERS | {"smtp_host": "127.0.0.1", "email_from": "a@b.example"}
    options |= {"email_to": ("team@b.example",)}
    with served(tmp_path_factory.mktemp("app"), module_url, **options) as app:
        yield app


@pytest.fixture
def view(app: Served) -> SavedView:
    execute_sql(app.storage.database.url, "DELETE FROM saved_views")
    return app.storage.views.add(VIEW)


@pytest.fixture
def ann(app: Served) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield login(client, "ann")


def part(html: str, name: str) -> str:
    return html.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]


def test_it_says_what_changed_with_intervals(ann: httpx.Client, view: SavedView) -> None:
    html = ann.get(f"/views/{view.view_id}/report?day={DAY}").text
    assert f"{DAY - timedelta(7)} to {DAY - timedelta(1)}</strong>" in html
    losing = part(html, "losing")
    assert "<bdi>Sky</bdi>" in losing and "\N{MINUS SIGN}100%" in losing
    assert "<bdi>Sky</bdi>" not in part(html, "gaining")
    assert "2 moments in 2 calls" in part(html, "at-risk")
    row = part(html, "all").partition("<bdi>Vodafone</bdi>")[2].partition("</tr>")[0]
    assert re.search(r"\d <small class=\"muted\">\([\d.]+–[\d.]+\)</small>", row)


def test_page_and_api_have_the_same_numbers(ann: httpx.Client, view: SavedView) -> None:
    html = ann.get(f"/views/{view.view_id}/report?day={DAY}").text
    found = ann.get(
        f"/saved-views/{view.view_id}/report?day={DAY}", headers={"Accept": "application/json"}
    ).json()
    naming = found["calls_with_mention"]["now"]
    assert f"{naming['completed_calls']:,} completed calls, " in html
    assert naming["low"] < naming["per_100"] < naming["high"]
    assert "Sky" in found["losing"] and (found["moments_at_risk"], found["calls_at_risk"]) == (2, 2)
    assert found["competitors"]["Sky"]["now"]["events"] == 0
    assert found["competitors"]["Sky"]["is_clear"] is True


def test_weeks_lead_to_each_other(ann: httpx.Client, view: SavedView) -> None:
    html = ann.get(f"/views/{view.view_id}/report?day={DAY}").text
    assert ">Week after</a>" not in html
    [earlier] = re.findall(r'href="([^"]*)">Week before', html)
    before = ann.get(earlier).text
    assert "<bdi>Sky</bdi>" in part(before, "all")
    assert ">Week after</a>" in before
    later = DAY + timedelta(2)
    assert ann.get(f"/views/{view.view_id}/report?day={later}").status_code == 422
    assert ann.get(f"/views/{view.view_id}/report?day=soon").status_code == 422
    assert ann.get("/views/999999/report").status_code == 404


def test_only_admins_choose_when_a_report_is_sent(
    app: Served, ann: httpx.Client, view: SavedView
) -> None:
    page = f"/views/{view.view_id}/report"
    sent: dict[str, Any] = {"view_id": view.view_id, "weekday": "1", "at": "07:30"}
    for name in ("ben", "eve"):
        with app.client() as client:
            login(client, name)
            html = client.get(page).text
            assert 'action="/views/schedule"' not in html
            token = {"csrf_token": token_in(client.get("/calls").text)}
            assert client.post("/views/schedule", data=sent | token).status_code == 403
            headers = {"X-CSRF-Token": token["csrf_token"]}
            body = {"weekday": 1, "at": "07:30"}
            path = f"/saved-views/{view.view_id}/schedule"
            assert client.put(path, json=body, headers=headers).status_code == 403
    token = {"csrf_token": token_in(ann.get(page).text)}
    assert ann.post("/views/schedule", data=sent | token | {"at": "25:00"}).status_code == 422
    assert ann.post("/views/schedule", data=sent | token | {"at": ""}).status_code == 422
    assert ann.post("/views/schedule", data=sent | token).status_code == 303
    assert "Sent every Monday at 07:30 (UTC)." in ann.get(page).text
    report = app.storage.views.find(view.view_id or 0, "x").report
    assert report and (report.weekday, report.at, report.set_by) == (1, time(7, 30), "ann")
    assert ann.post("/views/schedule", data=sent | token | {"weekday": ""}).status_code == 303
    assert "This report is not sent." in ann.get(page).text


def test_the_api_schedules_reports_of_shared_views(ann: httpx.Client, view: SavedView) -> None:
    ann.headers["X-CSRF-Token"] = token_in(ann.get("/calls").text)
    ann.headers["Accept"] = "application/json"
    path = f"/saved-views/{view.view_id}/schedule"
    for wrong in ({"weekday": 8}, {"at": "8 o'clock"}, {"at": "24:00"}):
        reply = ann.put(path, json={"weekday": 5, "at": "16:00"} | wrong)
        assert reply.status_code == 422
    reply = ann.put(path, json={"weekday": 5, "at": "16:00", "has_quotes": True})
    assert reply.json()["report"] == {"weekday": 5, "at": "16:00", "has_quotes": True}
    assert ann.delete(path).status_code == 204
    assert ann.get(f"/saved-views/{view.view_id}").json()["report"] is None
    own = ann.post("/saved-views", json={"name": "Mine", "page": "calls"}).json()
    refused = ann.put(f"/saved-views/{own['view_id']}/schedule", json={"weekday": 5, "at": "16:00"})
    assert (refused.status_code, "Share the view" in refused.json()["detail"]) == (409, True)


def test_a_search_for_words_has_no_report(ann: httpx.Client, view: SavedView) -> None:
    ann.headers["X-CSRF-Token"] = token_in(ann.get("/calls").text)
    new = {"name": "Refunds", "page": "search", "is_shared": True}
    made = [
        ann.post("/saved-views", json=new | each).json()["view_id"]
        for each in ({"query": "words=refund"}, {"name": "Angry", "query": "sentiment=negative"})
    ]
    as_json, time_of_day = {"Accept": "application/json"}, {"weekday": 5, "at": "16:00"}
    listed = ann.get("/views").text
    for view_id, status in zip(made, (409, 200), strict=True):
        page = f"/views/{view_id}/report"
        reply = ann.get(page)
        assert reply.status_code == status and (f'"{page}"' in listed) == (status == 200)
        assert ann.get(f"/saved-views/{view_id}/report", headers=as_json).status_code == status
        reply = ann.put(f"/saved-views/{view_id}/schedule", json=time_of_day, headers=as_json)
        assert reply.status_code == status
        assert ("A search for words has no report" in reply.text) == (status == 409)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_it_is_accessible_fits_and_prints(
    app: Served, view: SavedView, scheme: Any, width: int
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 1600}}
    with (
        chromium() as browser,
        watched(browser, app.address, color_scheme=scheme, **options) as watch,
    ):
        tab = watch.page
        tab.goto("/login")
        tab.get_by_label("Name").fill("ann")
        tab.get_by_label("Password").fill(PASSWORD)
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/")
        tab.goto(f"/views/{view.view_id}/report?day={DAY}")
        expect(tab.get_by_role("heading", name="Customers at risk")).to_be_visible()
        expect(tab.get_by_role("button", name="Print or save as PDF")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        watch.screenshot(f"report-{scheme}-{width}")
        tab.emulate_media(media="print")
        for hidden in ("body > header", "body > footer", "nav.weeks", "button.print"):
            expect(tab.locator(hidden)).to_be_hidden()
        expect(tab.get_by_role("heading", name="All competitors")).to_be_visible()
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
        assert tab.evaluate("getComputedStyle(document.querySelector('h1')).color") != WHITE
        watch.screenshot(f"report-print-{scheme}-{width}")
        assert tab.pdf(format="A4").startswith(b"%PDF")
        tab.emulate_media(media="screen")
        watch.check()
        assert watch.accessibility_issues() == []
