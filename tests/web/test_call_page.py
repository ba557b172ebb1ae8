"""The call page in a browser: playback, transcript, mentions, shortcuts."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from callpipeline.wiring import Storage
from tests.web.browsing import WatchedPage, chromium, watched
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served

pytestmark = pytest.mark.browser

AT = "document.getElementById('audio').currentTime"
SHADOW = "document.querySelector('#waves > div').shadowRoot"
CURSOR = f"parseFloat({SHADOW}.querySelector('.cursor').style.left) / 100"
NOW = "[...(CSS.highlights.get('current-word') ?? [])].map(String).join('|')"


@pytest.fixture(scope="module")
def call_id(app: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    return ProcessedCall().store(app.storage, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def watch(browser: Browser, app: Served, call_id: str) -> Iterator[WatchedPage]:
    """The call's page, with audio and waveform loaded."""
    with watched(browser, app.address) as watch:
        _open(watch, f"/calls/{call_id}")
        yield watch
        watch.check()


def _open(watch: WatchedPage, url: str) -> None:
    page = watch.page
    with page.expect_response(lambda reply: reply.url.endswith("/words")):
        page.goto(url)
    watch.until("document.getElementById('audio').readyState >= 1")
    page.wait_for_selector("#markers .marker", state="attached")


def test_playing_highlights_the_current_word(watch: WatchedPage) -> None:
    page = watch.page
    page.evaluate("document.getElementById('audio').playbackRate = 0.2")  # a machine may be slow
    page.click("#play")
    watch.until(f"{AT} > 0.6")
    expect(page.locator("#lines [aria-current]")).to_have_count(1)
    watch.until(f"['this', 'is', 'riverside', 'telecom'].includes({NOW})")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.click("#play")
    stopped = page.evaluate(AT)
    page.wait_for_timeout(100)
    assert page.evaluate(AT) == pytest.approx(stopped, abs=0.05)


def test_clicking_a_word_plays_it(watch: WatchedPage) -> None:
    page = watch.page
    line = page.locator("#lines li p").nth(1)  # the customer's first line: i saw that vodafone …
    box = line.evaluate(
        """(p) => { const range = document.createRange(); range.setStart(p.firstChild, 6);
        range.setEnd(p.firstChild, 10); const box = range.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }"""
    )
    page.mouse.click(*box)
    watch.until_position(6.2)
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")


def test_clicking_a_mention_anywhere_seeks_to_it(watch: WatchedPage) -> None:
    page = watch.page
    for selector in (
        "#markers .marker.positive",
        "#lines .mention.positive",
        "#mentions .entry.positive a",
    ):
        page.evaluate("document.getElementById('audio').pause()")
        page.evaluate("document.getElementById('audio').currentTime = 0")
        watch.until_position(0)
        page.click(selector)
        watch.until_position(6.5)
    expect(page.locator("#announcement")).to_have_text("Vodafone, positive, customer, 0:06")


def test_a_mention_in_the_transcript_opens_a_popup(watch: WatchedPage) -> None:
    page = watch.page
    page.click("#lines .mention.positive")
    popup = page.locator("#mention-popup")
    expect(popup).to_be_visible()
    for text in ("unambiguous name", "Positive (+0.70)", "praise", "by hand"):
        expect(popup).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(popup).to_be_hidden()


def test_shortcuts_seek_and_are_text_in_a_field(watch: WatchedPage) -> None:
    page = watch.page
    for key, second in (
        ("]", 6.5),
        ("]", 16.0),
        ("[", 6.5),
        ("ArrowRight", 11.5),
        ("ArrowLeft", 6.5),
        ("Shift+ArrowRight", 10.0),
        ("Shift+ArrowLeft", 5.0),
    ):
        page.keyboard.press(key)
        watch.until_position(second)
    page.keyboard.press("/")
    page.keyboard.type("sky [ ] ? f")
    expect(page.locator("#query")).to_have_value("sky [ ] ? f")
    expect(page.locator("#shortcuts")).to_be_hidden()
    watch.until_position(5.0)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    watch.until(f"{AT} > 5.2")


def test_the_url_sets_the_position_and_the_link_copies_it(watch: WatchedPage, call_id: str) -> None:
    page = watch.page
    _open(watch, f"/calls/{call_id}?t=12.5")
    watch.until_position(12.5)
    expect(page.locator("#lines [aria-current]")).to_contain_text("we can match")
    watch.until(f"{NOW} === 'for'")
    watch.until(f"Math.abs({CURSOR} - 12.5 / 20) < 0.02")
    page.keyboard.press("]")
    watch.until_position(16.0)
    link = page.locator("#link")
    expect(link).to_have_attribute("href", "?t=16")
    link.click()
    assert page.url.endswith(f"/calls/{call_id}?t=16")


def test_search_counts_matches_and_enter_goes_to_the_next(watch: WatchedPage) -> None:
    page = watch.page
    page.keyboard.press("/")
    page.keyboard.type("THAT")
    expect(page.locator("#match-count")).to_have_text("3 found")
    page.keyboard.press("Enter")
    expect(page.locator("#match-count")).to_have_text("1 of 3")
    assert page.evaluate("[...CSS.highlights.get('current-match')].map(String)") == ["that"]
    page.check("#matches-only")
    expect(page.locator("#lines li:visible")).to_have_count(3)


def test_the_transcript_scrolls_until_the_reader_scrolls(watch: WatchedPage) -> None:
    page = watch.page
    auto_scroll = page.locator("#auto-scroll")
    expect(auto_scroll).to_be_checked()
    page.click("#play")
    watch.until(f"{AT} > 0.1")
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 50)
    expect(auto_scroll).not_to_be_checked()
    page.keyboard.press("f")
    expect(auto_scroll).to_be_checked()


def test_the_speed_is_remembered_for_the_next_call(watch: WatchedPage, call_id: str) -> None:
    page = watch.page
    page.select_option("#speed", "1.5")
    assert page.evaluate("document.getElementById('audio').playbackRate") == 1.5
    _open(watch, f"/calls/{call_id}")
    assert page.evaluate("document.getElementById('audio').playbackRate") == 1.5


def test_the_waveform_seeks_by_mouse_and_zooms(watch: WatchedPage) -> None:
    page = watch.page
    box = page.locator("#waves").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    watch.until_position(10.0)
    expect(page.locator("#waveform")).to_have_attribute("aria-valuetext", "0:10 of 0:20")
    page.click("#zoom-in")
    watch.until(
        "waves.offsetWidth > 1.9 * document.getElementById('waveform-view').clientWidth"
        " && document.getElementById('waveform-view').scrollLeft > 0"
    )


def test_a_mention_is_confirmed_and_undone_by_keyboard(
    watch: WatchedPage, app: Served, call_id: str
) -> None:
    page = watch.page
    expect(page.locator("#lines .mention.review")).to_have_count(1)
    page.focus("#mentions button.confirm")
    page.keyboard.press("Enter")
    expect(page.locator("#mentions .entry.review")).to_have_count(0)
    expect(page.locator("#lines .mention.unjudged, #lines .mention.mixed")).to_have_count(1)
    assert _sky(app.storage, call_id) == "counted"
    expect(page.locator("#mentions button[value=undo]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#markers .marker.review")).to_have_count(1)
    assert _sky(app.storage, call_id) == "needs_review"


def _sky(storage: Storage, call_id: str) -> str:
    [sky] = [m for m in storage.results.mentions(call_id) if m.competitor == "Sky"]
    return str(sky.status)


def test_the_decoded_audio_has_the_tone_of_the_mention(watch: WatchedPage) -> None:
    """The customer's channel has a tone at the second of the mention."""
    page = watch.page
    decoded = page.evaluate(
        """async () => { const reply = await fetch(document.getElementById('audio').src);
        const context = new OfflineAudioContext(2, 8000, 8000);
        const sound = await context.decodeAudioData(await reply.arrayBuffer());
        const loud = (side, at) => Math.max(...sound.getChannelData(side)
            .slice(at * 8000, at * 8000 + 800).map(Math.abs));
        return [sound.duration, loud(0, 6.5), loud(1, 6.5)]; }"""
    )
    assert decoded[0] == pytest.approx(20)
    assert decoded[1] < 0.01
    assert decoded[2] > 0.2
