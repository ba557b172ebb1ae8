"""The web app of a running installation in a browser, from upload to results.

Uses the real speech recogniser; screenshots go to tests/screenshots.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.installation import ROOT, Up
from tests.processes import until
from tests.web.browsing import WatchedPage, chromium, watched

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SAMPLES = ROOT / "samples"
FILES = [SAMPLES / "05-cheaper-at-vodafone.wav", SAMPLES / "09-survey.opus"]
BROKEN = SAMPLES / "12-not-audio.mp3"
AT = "document.getElementById('audio').currentTime"
VIEWPORTS = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
PROCESSING_TIMEOUT_MS = 120_000
"""For two calls on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def watch(browser: Browser, up: Up) -> Iterator[WatchedPage]:
    with watched(browser, up.web, viewport=VIEWPORTS["desktop"]) as watch:
        watch.page.set_default_timeout(60_000)
        yield watch
        watch.check()


@pytest.fixture(scope="module")
def uploaded(browser: Browser, up: Up) -> dict[str, str]:
    """Upload both files, wait until they are processed, return their call IDs by file name."""
    with watched(browser, up.web, viewport=VIEWPORTS["desktop"]) as watch:
        page = watch.page
        page.goto("/upload")
        page.set_input_files("#files", FILES)
        links = page.locator("#uploads a")
        expect(links).to_have_count(2)
        ids = [str(links.nth(n).get_attribute("href")).rpartition("/")[2] for n in range(2)]
        # Without reloading the page: rows are updated by events.
        for call_id in ids:
            row = page.locator(f"#row-{call_id}")
            expect(row).to_contain_text("Completed", timeout=PROCESSING_TIMEOUT_MS)
        watch.check()
    names = {up.call(path.name)["call_id"]: path.name for path in FILES}
    assert set(names) == set(ids)
    return {name: call_id for call_id, name in names.items()}


def mentions_spoken(file: Path) -> list[dict[str, float | str]]:
    """Return the true mentions of a sample."""
    return json.loads(file.with_suffix(".truth.json").read_text())["mentions"]


def open_call(watch: WatchedPage, call_id: str) -> Page:
    page = watch.page
    page.goto(f"/calls/{call_id}")
    watch.until("document.getElementById('audio').readyState >= 1")
    page.wait_for_selector("#markers .marker", state="attached")
    return page


def test_a_processed_call_plays_its_mention(watch: WatchedPage, uploaded: dict[str, str]) -> None:
    page = open_call(watch, uploaded[FILES[0].name])
    page.click("#play")
    watch.until(f"{AT} > 0.5")
    entry = page.locator("#mentions [data-t]", has_text=re.compile("vodafone", re.IGNORECASE)).first
    second = float(str(entry.get_attribute("data-t")))
    spoken = [each for each in mentions_spoken(FILES[0]) if each["competitor"] == "Vodafone"]
    assert any(abs(float(each["start_s"]) - second) < 1.5 for each in spoken), (second, spoken)
    page.click("#play")
    entry.locator("a").first.click()
    watch.until_position(second)
    expect(page.locator("#lines")).to_contain_text("vodafone")


def test_a_search_result_opens_the_call_at_its_second(
    watch: WatchedPage, uploaded: dict[str, str]
) -> None:
    page = watch.page
    page.goto("/search?words=cheaper")
    hit = page.locator(f'a[href^="/calls/{uploaded[FILES[0].name]}?t="]').first
    expect(hit).to_be_visible()
    second = float(str(hit.get_attribute("href")).rpartition("=")[2])
    hit.click()
    watch.until_position(second)


def test_a_number_links_to_its_moments_and_they_are_downloaded(
    watch: WatchedPage, uploaded: dict[str, str], tmp_path: Path
) -> None:
    page = watch.page
    page.goto("/analytics?competitor=Vodafone")
    expect(page.locator(".plot canvas").first).to_be_visible()
    tile = page.locator(".tiles a", has_text="mention a competitor")
    [count] = map(int, re.findall(r"\((\d+)\)", tile.inner_text()))
    tile.click()
    page.wait_for_url(re.compile(r"/moments\?.*competitor=Vodafone"))
    expect(page.locator("main [role=status] strong").nth(1)).to_have_text(str(count))
    assert count >= 1
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    saved = tmp_path / "mentions.csv"
    download.value.save_as(saved)
    with saved.open(newline="") as file:
        rows = list(csv.DictReader(file))
    call_ids = {row["call_id"] for row in rows}
    assert len(call_ids) == count
    assert uploaded[FILES[0].name] in call_ids


def test_a_failed_call_shows_the_reason_and_is_retried(watch: WatchedPage, up: Up) -> None:
    page = watch.page
    page.goto("/calls?state=FAILED")
    row = page.locator('tr[id^="row-"]', has_text="bad.mp3")
    expect(row).to_contain_text("Failed")
    call_id = str(row.get_attribute("id")).removeprefix("row-")
    page.goto(f"/calls/{call_id}")
    expect(page.locator("main")).to_contain_text("this is an HTML page, not audio")
    before = up.call("bad.mp3")["updated_at"]
    page.get_by_role("button", name="Retry").click()

    def failed_again() -> bool:
        now = up.call("bad.mp3")
        return now["state"] == "FAILED" and now["updated_at"] > before

    until(failed_again, "the retry to fail", 60, every_s=0.5)
    expect(page.locator("main")).to_contain_text("Failed")


def test_a_file_that_is_not_audio_is_rejected(watch: WatchedPage, up: Up) -> None:
    page = watch.page
    page.goto("/upload")
    page.set_input_files("#files", [BROKEN])
    expect(page.locator("#uploads li")).to_contain_text("HTML page")
    # The browser logs the expected 415.
    assert [text for text in watch.console_errors if "status of 415" not in text] == []
    watch.console_errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_every_page_is_accessible_and_fits(
    browser: Browser, up: Up, uploaded: dict[str, str], viewport: str, scheme: str
) -> None:
    pages = {
        "overview": "/",
        "upload": "/upload",
        "moments": "/moments",
        "calls": "/calls",
        "call": f"/calls/{uploaded[FILES[0].name]}",
        "analytics": "/analytics",
        "search": "/search?words=cheaper",
        "review": "/review",
        "api": "/docs",
    }
    for name, path in pages.items():
        with watched(browser, up.web, viewport=VIEWPORTS[viewport], color_scheme=scheme) as watch:
            watch.page.goto(path)
            watch.page.wait_for_load_state("load")
            if name == "call":
                watch.page.wait_for_selector("#markers .marker", state="attached")
            watch.screenshot(f"{name}-{viewport}-{scheme}")
            wide = watch.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} px wider than the {viewport}"
            watch.check()
            assert watch.accessibility_issues() == [], path
