"""Moments in a browser: playback, keyboard, selection, without scripts, and accessibility."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from callpipeline.domain.audio import Channel
from tests.builders import a_mention
from tests.web.browsing import WatchedPage, chromium, watched
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served

pytestmark = pytest.mark.browser

TEXTS = {
    Channel.LEFT: ["hello this is riverside telecom", "we can match that price for you"],
    Channel.RIGHT: ["i saw that vodafone is cheaper", "and vodafone was faster that day"],
}
MENTIONS = (
    a_mention("Vodafone", segment_index=0, char_start=11),
    a_mention("Vodafone", segment_index=1, char_start=4),
)


@pytest.fixture(scope="module")
def address(app: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    for name in ("one.wav", "two.wav"):
        call = ProcessedCall(key=name, texts=TEXTS, mentions=MENTIONS)
        call.store(app.storage, tmp_path_factory.mktemp("sound"))
    return app.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def watch(browser: Browser, address: str) -> Iterator[WatchedPage]:
    with watched(browser, address) as watch:
        watch.page.set_default_timeout(60_000)
        watch.page.goto("/moments")
        yield watch
        watch.check()


def test_moments_are_played_and_decided_by_keyboard(watch: WatchedPage) -> None:
    page = watch.page
    moments = page.locator("[data-moment]")
    expect(moments).to_have_count(4)
    page.keyboard.press("j")
    expect(moments.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(moments.nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Space")
    play = moments.nth(0).locator("a.play-clip")
    expect(play).to_have_class(re.compile("playing"), timeout=60_000)
    expect(play).to_have_attribute("aria-label", re.compile("^Pause Vodafone"))
    page.keyboard.press("Space")
    expect(play).not_to_have_class(re.compile("playing"), timeout=60_000)
    page.keyboard.press("j")  # the first one is not judged yet
    page.keyboard.press("r")
    mixed = moments.nth(1).get_by_role("button", name=re.compile("^Mixed"))
    expect(mixed).to_be_visible()
    mixed.click()
    expect(moments.nth(1).locator(".sentiment")).to_have_text("Mixed", timeout=60_000)
    page.keyboard.press("d")
    expect(moments.nth(1)).to_contain_text("Dismissed", timeout=60_000)
    expect(moments.nth(1)).to_be_focused(timeout=60_000)
    page.keyboard.press("u")
    expect(moments.nth(1)).not_to_contain_text("Dismissed", timeout=60_000)


def test_a_selection_has_a_link(watch: WatchedPage) -> None:
    page = watch.page
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#selected")).to_have_text("1 selected")
    expect(page.locator("#play-all")).to_have_text("Play selected")
    page.get_by_role("button", name="Only selected").click()
    page.wait_for_url(re.compile("moment="))
    expect(page.locator("[data-moment]")).to_have_count(1, timeout=60_000)


def test_without_scripts_moments_play_and_are_decided(browser: Browser, address: str) -> None:
    with watched(browser, address, java_script_enabled=False) as watch:
        page = watch.page
        page.set_default_timeout(60_000)
        page.goto("/moments?competitor=Vodafone")
        clip = page.locator("a.play-clip").first.get_attribute("href")
        assert page.request.get(str(clip)).status == 200
        page.get_by_role("button", name=re.compile("^Dismiss")).first.click()
        expect(page.locator("[data-moment]")).to_have_count(3, timeout=60_000)
        assert page.url.endswith("/moments?competitor=Vodafone")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_moments_are_accessible_and_fit(
    browser: Browser, address: str, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    with watched(browser, address, color_scheme=scheme, viewport=size) as watch:
        watch.page.set_default_timeout(60_000)
        watch.page.goto("/moments")
        expect(watch.page.locator("[data-moment]").first).to_be_visible(timeout=60_000)
        assert watch.page.evaluate("document.documentElement.scrollWidth") <= width
        watch.screenshot(f"moments-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
