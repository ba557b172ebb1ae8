"""Times on pages: in the zone that is set, or in the browser's; pages without JavaScript in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.storage.calls.descriptions import CallDescription
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading.filtered import DayZone
from callpipeline.web.pages.corrections import correction_fields
from callpipeline.web.pages.rendering import PageZone, page_zone
from tests.integration.databases import execute_sql, new_database
from tests.web.app_server import serving
from tests.web.browsing import chromium, watched

AT = datetime(2026, 4, 4, 11, 0, 30, tzinfo=UTC)
"""Midnight of 5 April in Auckland, hours before its clocks change; still 4 April in UTC."""
CALL = "2026-04-04-00000000000a"
INSERT = f"""
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, state,
                   error_class, error_message, error_transient)
VALUES ('{CALL}', 'b', 'night.wav', 'e', 1, '{AT}', '{AT}', 'FAILED',
        'EmptyRecording', 'No sound.', false)
"""
HTML = {"Accept": "text/html"}
IN_AUCKLAND = "5 Apr 2026, 12:00 AM"
IN_UTC, IN_NEW_YORK = "4 Apr 2026, 11:00 AM", "4 Apr 2026, 7:00 AM"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["Pacific/Auckland", None])
def app(
    request: pytest.FixtureRequest,
    postgres: str,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str | None]]:
    """The address of an app with one call, and its time zone."""
    with new_database(postgres, template) as url:
        execute_sql(url, INSERT)
        options = Settings(
            home=tmp_path_factory.mktemp("home"),
            database_url=SecretStr(url),
            timezone=request.param,
            _env_file=None,  # pyright: ignore[reportCallIssue]
        )
        with Database(url) as database:
            DayZone(database).set(options.day_zone)
        with serving(options) as address:
            yield address, request.param


def page(address: str, path: str) -> str:
    return httpx.get(f"{address}{path}", headers={"Accept": "text/html"}, timeout=60).text


def test_without_scripts_pages_show_the_zone_of_days(app: tuple[str, str | None]) -> None:
    address, zone = app
    for path in ("/calls", f"/calls/{CALL}"):
        shown = page(address, path)
        assert (IN_AUCKLAND if zone else IN_UTC) in shown
        assert ("Times and days are in Pacific/Auckland." if zone else "Times are in UTC.") in shown


def test_a_filter_by_day_finds_the_call_on_the_day_that_pages_show(
    app: tuple[str, str | None],
) -> None:
    address, zone = app
    days = ("2026-04-04", "2026-04-05")
    found = {day for day in days if "night.wav" in page(address, f"/calls?from={day}&to={day}")}
    assert found == {"2026-04-05" if zone else "2026-04-04"}


def test_a_corrected_start_is_in_the_zone_of_the_page(app: tuple[str, str | None]) -> None:
    address, zone = app
    shown = "2026-04-05 00:00:30" if zone else "2026-04-04 11:00:30"
    found = CallDescription({}, AT)
    before = page_zone.set(PageZone(ZoneInfo(zone or "UTC"), is_set=bool(zone)))
    field = correction_fields(found)[0]
    page_zone.reset(before)
    assert (field.label, field.value) == (f"Start ({zone or 'UTC'})", shown)
    path = f"{address}/calls/{CALL}/metadata"
    for entered, stored in (
        ("2026-07-01 12:00:00", "2026-07-01T00:00:00Z" if zone else "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00Z"),
        (shown, f"{AT:%Y-%m-%dT%H:%M:%SZ}"),
    ):
        sent = httpx.post(path, data={"started_at": entered}, headers=HTML, timeout=60)
        assert sent.status_code == 303, sent.text
        assert httpx.get(path, timeout=60).json()["started_at"] == stored
    wrong = httpx.post(path, data={"started_at": "teatime"}, headers=HTML, timeout=60)
    assert wrong.status_code == 422


def test_browsers_show_the_zone_that_is_set_or_else_their_own(
    app: tuple[str, str | None], browser: Browser
) -> None:
    address, zone = app
    with watched(browser, address, timezone_id="America/New_York") as visit:
        visit.page.goto("/calls")
        expect(visit.page.locator("tbody time").first).to_have_text(
            IN_AUCKLAND if zone else IN_NEW_YORK
        )
        expect(visit.page.locator("footer")).to_contain_text(
            "Times and days are in Pacific/Auckland."
            if zone
            else "Times are in your time zone (America/New_York), days in UTC."
        )
        visit.check()


def test_times_that_arrive_later_are_shown_in_the_zone_of_the_browser(
    app: tuple[str, str | None], browser: Browser
) -> None:
    address, zone = app
    with watched(browser, address, timezone_id="America/New_York") as visit:
        visit.page.goto("/calls")
        visit.page.evaluate(
            """document.querySelector("main").insertAdjacentHTML("beforeend",
            '<p id="new"><time datetime="2026-04-04T11:00:30+00:00">server</time></p>')"""
        )
        new = visit.page.locator("#new time")
        expect(new).to_have_text("server" if zone else IN_NEW_YORK)
        visit.page.evaluate("document.querySelector('#new time').firstChild.data = 'again'")
        expect(new).to_have_text("again" if zone else IN_NEW_YORK)
