"""The call page without scripts, without audio, in dark mode and on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browsing import chromium, watched
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def call_id(app: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    return ProcessedCall().store(app.storage, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_a_failed_decision_is_shown_next_to_its_buttons(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address) as watch:
        watch.page.route("**/review", lambda route: route.fulfill(status=403, body="<h1>No</h1>"))
        watch.page.goto(f"/calls/{call_id}")
        watch.page.click("#mentions button.confirm")
        expect(watch.page.locator("#mentions form .problem")).to_contain_text("Reload the page")
        expect(watch.page.locator("#mentions button.confirm")).to_be_visible()


def test_without_scripts_the_native_controls_are_shown(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address, java_script_enabled=False) as watch:
        watch.page.goto(f"/calls/{call_id}?t=3")
        expect(watch.page.locator("audio[controls]")).to_be_visible()
        expect(watch.page.locator("#controls")).to_be_hidden()
        assert (watch.page.get_attribute("#audio", "src") or "").endswith("#t=3.0")
        watch.page.click("#lines .mention.positive")
        assert watch.page.url.endswith("?t=6.5")
        watch.page.click("#mentions button.dismiss")
        expect(watch.page.locator("#mentions summary", has_text="Dismissed")).to_be_visible()
        watch.page.click("#mentions summary:has-text('Dismissed')")
        watch.page.click("#mentions button[value=undo]")
        expect(watch.page.locator("#mentions .entry.review")).to_be_visible()


def test_a_browser_that_cannot_play_shows_a_problem_and_its_native_controls(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address) as watch:
        watch.page.route("**/audio.wav*", lambda route: route.fulfill(status=404, body=""))
        watch.page.goto(f"/calls/{call_id}")
        expect(watch.page.locator("#player-problem")).to_contain_text("Couldn't play the audio")
        expect(watch.page.locator("audio[controls]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_accessible_and_fit(
    browser: Browser, app: Served, call_id: str, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 850}
    with watched(browser, app.address, viewport=size, color_scheme=scheme) as watch:
        watch.page.goto(f"/calls/{call_id}?t=6.6")
        watch.page.wait_for_selector("#markers .marker", state="attached")
        watch.screenshot(f"call-{scheme}-{width}")
        assert watch.page.evaluate("document.querySelector('main').scrollWidth") <= width
        watch.check()
        assert watch.accessibility_issues() == []
    with watched(browser, app.address, viewport=size, color_scheme=scheme) as watch:
        watch.page.goto("/review")
        watch.screenshot(f"review-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
