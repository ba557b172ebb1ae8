"""The page of one call for everybody: without scripts, without sound, in the dark, on a phone.

Screenshots are kept in tests/screenshots.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browsing import chromium, watched
from tests.web.heard_calls import Heard
from tests.web.served import Served, served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), postgres, template) as app:
        yield app


@pytest.fixture(scope="module")
def call_id(app: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    return Heard().store(app.storage, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_a_decision_that_is_refused_is_told_where_it_was_made(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address) as watch:
        watch.page.route("**/review", lambda route: route.fulfill(status=403, body="<h1>No</h1>"))
        watch.page.goto(f"/calls/{call_id}")
        watch.page.click("#mentions button.accept")
        expect(watch.page.locator("#mentions form .trouble")).to_contain_text("load it again")
        expect(watch.page.locator("#mentions button.accept")).to_be_visible()


def test_without_scripts_there_are_the_browsers_own_controls(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address, java_script_enabled=False) as watch:
        watch.page.goto(f"/calls/{call_id}?t=3")
        expect(watch.page.locator("audio[controls]")).to_be_visible()
        expect(watch.page.locator("#controls")).to_be_hidden()
        assert (watch.page.get_attribute("#sound", "src") or "").endswith("#t=3.0")
        watch.page.click("#lines .named.positive")
        assert watch.page.url.endswith("?t=6.5")
        watch.page.click("#mentions button.refuse")
        expect(watch.page.locator("#mentions summary", has_text="Not counted")).to_be_visible()
        watch.page.click("#mentions summary:has-text('Not counted')")
        watch.page.click("#mentions button[value=undo]")
        expect(watch.page.locator("#mentions .entry.review")).to_be_visible()


def test_a_browser_that_cannot_play_says_so_and_gives_its_own_controls(
    browser: Browser, app: Served, call_id: str
) -> None:
    with watched(browser, app.address) as watch:
        watch.page.route("**/audio.wav*", lambda route: route.fulfill(status=404, body=""))
        watch.page.goto(f"/calls/{call_id}")
        expect(watch.page.locator("#trouble")).to_contain_text("cannot be played")
        expect(watch.page.locator("audio[controls]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nobody_is_kept_out(
    browser: Browser, app: Served, call_id: str, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 850}
    with watched(browser, app.address, viewport=size, color_scheme=scheme) as watch:
        watch.page.goto(f"/calls/{call_id}?t=6.6")
        watch.page.wait_for_selector("#marks .mark", state="attached")
        watch.keep(f"call-{scheme}-{width}")
        assert watch.page.evaluate("document.querySelector('main').scrollWidth") <= width
        watch.check()
        assert watch.faults() == []
    with watched(browser, app.address, viewport=size, color_scheme=scheme) as watch:
        watch.page.goto("/review")
        watch.keep(f"review-{scheme}-{width}")
        watch.check()
        assert watch.faults() == []
