"""The web app of a running installation in a real browser: from two files to what they say.

Recordings are heard by the real recogniser. Screenshots are kept in tests/screenshots.
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
from tests.web.browsing import Watched, chromium, watched

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SAMPLES = ROOT / "samples"
FILES = [SAMPLES / "05-cheaper-at-vodafone.wav", SAMPLES / "09-survey.opus"]
BROKEN = SAMPLES / "12-not-audio.mp3"
AT = "document.getElementById('sound').currentTime"
LOOKS = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
HEARD_S = 120_000
"""Milliseconds in which two calls are heard on a machine that does other things as well."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def watch(browser: Browser, up: Up) -> Iterator[Watched]:
    with watched(browser, up.web, viewport=LOOKS["desktop"]) as watch:
        watch.page.set_default_timeout(30_000)
        yield watch
        watch.check()


@pytest.fixture(scope="module")
def uploaded(browser: Browser, up: Up) -> dict[str, str]:
    """The ids of the calls of both files, sent by the page and seen through to their end."""
    with watched(browser, up.web, viewport=LOOKS["desktop"]) as watch:
        page = watch.page
        page.goto("/")
        page.set_input_files("#files", FILES)
        links = page.locator("#sent a")
        expect(links).to_have_count(2, timeout=30_000)
        ids = [str(links.nth(n).get_attribute("href")).rpartition("/")[2] for n in range(2)]
        # Without loading the page again: the rows are told of what changes.
        for call_id in ids:
            row = page.locator(f"#row-{call_id}")
            expect(row).to_contain_text("Completed", timeout=HEARD_S)
        watch.check()
    names = {up.call(path.name)["call_id"]: path.name for path in FILES}
    assert set(names) == set(ids)
    return {name: call_id for call_id, name in names.items()}


def mentions_spoken(file: Path) -> list[dict[str, float | str]]:
    """Where competitors are named in a sample, as it was made."""
    return json.loads(file.with_suffix(".truth.json").read_text())["mentions"]


def open_call(watch: Watched, call_id: str) -> Page:
    page = watch.page
    page.goto(f"/calls/{call_id}")
    watch.until("document.getElementById('sound').readyState >= 1", 20)
    page.wait_for_selector("#marks .mark", state="attached")
    return page


def test_two_files_go_through_to_completed_and_a_mention_is_heard_where_it_is(
    watch: Watched, uploaded: dict[str, str]
) -> None:
    page = open_call(watch, uploaded[FILES[0].name])
    page.click("#play")
    watch.until(f"{AT} > 0.5", 20)
    entry = page.locator("#mentions [data-t]", has_text=re.compile("vodafone", re.IGNORECASE)).first
    second = float(str(entry.get_attribute("data-t")))
    spoken = [each for each in mentions_spoken(FILES[0]) if each["competitor"] == "Vodafone"]
    assert any(abs(float(each["start_s"]) - second) < 1.5 for each in spoken), (second, spoken)
    page.click("#play")
    entry.locator("a").first.click()
    watch.until(f"Math.abs({AT} - {second}) < 0.3")
    expect(page.locator("#lines")).to_contain_text("vodafone")


def test_what_was_said_is_searched_and_leads_to_its_second(
    watch: Watched, uploaded: dict[str, str]
) -> None:
    page = watch.page
    page.goto("/search?words=cheaper")
    hit = page.locator(f'a[href^="/calls/{uploaded[FILES[0].name]}?t="]').first
    expect(hit).to_be_visible()
    second = float(str(hit.get_attribute("href")).rpartition("=")[2])
    hit.click()
    watch.until(f"document.getElementById('sound') && Math.abs({AT} - {second}) < 0.3", 20)


def test_a_number_leads_to_its_calls_and_what_is_shown_is_saved(
    watch: Watched, uploaded: dict[str, str], tmp_path: Path
) -> None:
    page = watch.page
    page.goto("/analytics?competitor=Vodafone")
    expect(page.locator(".plot canvas").first).to_be_visible()
    tile = page.locator(".tiles a", has_text="Calls with a mention")
    count = int(tile.locator("strong").inner_text())
    tile.click()
    page.wait_for_url(re.compile("competitor=Vodafone"))
    expect(page.locator('tr[id^="row-"]')).to_have_count(count)
    assert count >= 1
    with page.expect_download() as saving:
        page.locator('[data-export="calls"]', has_text="CSV").click()
    saved = tmp_path / "calls.csv"
    saving.value.save_as(saved)
    with saved.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert uploaded[FILES[0].name] in {row["call_id"] for row in rows}


def test_a_call_that_failed_says_why_and_is_tried_again(watch: Watched, up: Up) -> None:
    page = watch.page
    page.goto("/calls?state=FAILED")
    row = page.locator('tr[id^="row-"]', has_text="bad.mp3")
    expect(row).to_contain_text("Failed")
    call_id = str(row.get_attribute("id")).removeprefix("row-")
    page.goto(f"/calls/{call_id}")
    expect(page.locator("main")).to_contain_text("this is an HTML page, not audio")
    before = up.call("bad.mp3")["updated_at"]
    page.get_by_role("button", name="Try again").click()

    def failed_again() -> bool:
        now = up.call("bad.mp3")
        return now["state"] == "FAILED" and now["updated_at"] > before

    until(failed_again, "it is tried again, and fails again", 60, every_s=0.5)
    expect(page.locator("main")).to_contain_text("Failed", timeout=30_000)


def test_a_file_that_is_no_audio_is_refused_with_a_sentence(watch: Watched, up: Up) -> None:
    page = watch.page
    page.goto("/")
    page.set_input_files("#files", [BROKEN])
    expect(page.locator("#sent li")).to_contain_text("HTML page", timeout=20_000)
    # The browser itself notes the refusal, which is meant.
    assert [said for said in watch.said if "status of 415" not in said] == []
    watch.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_fit_for_everybody_and_is_kept_as_a_picture(
    browser: Browser, up: Up, uploaded: dict[str, str], look: str, scheme: str
) -> None:
    pages = {
        "upload": "/",
        "calls": "/calls",
        "call": f"/calls/{uploaded[FILES[0].name]}",
        "analytics": "/analytics",
        "search": "/search?words=cheaper",
        "review": "/review",
        "api": "/docs",
    }
    for name, path in pages.items():
        with watched(browser, up.web, viewport=LOOKS[look], color_scheme=scheme) as watch:
            watch.page.goto(path)
            watch.page.wait_for_load_state("load")
            if name == "call":
                watch.page.wait_for_selector("#marks .mark", state="attached")
            watch.keep(f"{name}-{look}-{scheme}")
            wide = watch.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} px wider than the {look}"
            watch.check()
            assert watch.faults() == [], path
