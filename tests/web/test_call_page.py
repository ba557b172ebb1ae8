"""The page of one call in a real browser: what is clicked is heard, and what is heard is marked.

Screenshots are kept in tests/screenshots.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from callpipeline.wiring import Storage
from tests.web.browsing import Watched, chromium, watched
from tests.web.heard_calls import Heard
from tests.web.served import Served, served

pytestmark = pytest.mark.browser

AT = "document.getElementById('sound').currentTime"
SHADOW = "document.querySelector('#waves > div').shadowRoot"
CURSOR = f"parseFloat({SHADOW}.querySelector('.cursor').style.left) / 100"
NOW = "[...(CSS.highlights.get('said-now') ?? [])].map(String).join('|')"


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


@pytest.fixture
def watch(browser: Browser, app: Served, call_id: str) -> Iterator[Watched]:
    """The call's page, with its sound and its waveform there."""
    with watched(browser, app.address) as watch:
        _open(watch, f"/calls/{call_id}")
        yield watch
        watch.check()


def _open(watch: Watched, url: str) -> None:
    page = watch.page
    with page.expect_response(lambda reply: reply.url.endswith("/words")):
        page.goto(url)
    watch.until("document.getElementById('sound').readyState >= 1")
    page.wait_for_selector("#marks .mark", state="attached")


def _comes_to(watch: Watched, second: float) -> None:
    watch.until(f"Math.abs({AT} - {second}) < 0.3")


def test_the_sound_plays_and_its_words_are_marked(watch: Watched) -> None:
    page = watch.page
    page.click("#play")
    watch.until(f"{AT} > 0.6")
    expect(page.locator("#lines [aria-current]")).to_have_count(1)
    assert page.evaluate(NOW) in ("this", "is", "riverside", "telecom")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.click("#play")
    stopped = page.evaluate(AT)
    page.wait_for_timeout(100)
    assert page.evaluate(AT) == pytest.approx(stopped, abs=0.05)


def test_a_click_on_a_word_plays_it(watch: Watched) -> None:
    page = watch.page
    line = page.locator("#lines li p").nth(1)  # the customer's first: i saw that vodafone …
    box = line.evaluate(
        """(p) => { const range = document.createRange(); range.setStart(p.firstChild, 6);
        range.setEnd(p.firstChild, 10); const box = range.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }"""
    )
    page.mouse.click(*box)
    watch.until(f"{AT} >= 6 && {AT} < 6.6")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")


def test_a_click_on_a_mention_goes_to_its_second_wherever_it_is_clicked(watch: Watched) -> None:
    page = watch.page
    for where in (
        "#marks .mark.positive",
        "#lines .named.positive",
        "#mentions .entry.positive a",
    ):
        page.evaluate("document.getElementById('sound').pause()")
        page.evaluate("document.getElementById('sound').currentTime = 0")
        page.click(where)
        _comes_to(watch, 6.5)
    expect(page.locator("#told")).to_have_text("Vodafone, positive, customer, 0:06")


def test_a_mention_in_the_text_tells_what_is_known_of_it(watch: Watched) -> None:
    page = watch.page
    page.click("#lines .named.positive")
    about = page.locator("#about")
    expect(about).to_be_visible()
    for told in ("unambiguous name", "positive (+0.70)", "praise", "by hand"):
        expect(about).to_contain_text(told)
    page.keyboard.press("Escape")
    expect(about).to_be_hidden()


def test_keys_move_and_are_letters_again_in_a_field(watch: Watched) -> None:
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
        _comes_to(watch, second)
    page.keyboard.press("/")
    page.keyboard.type("sky [ ] ? f")
    expect(page.locator("#wanted")).to_have_value("sky [ ] ? f")
    expect(page.locator("#keys")).to_be_hidden()
    _comes_to(watch, 5.0)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    watch.until(f"{AT} > 5.2")


def test_the_address_names_a_second_and_gives_one_to_others(watch: Watched, call_id: str) -> None:
    page = watch.page
    _open(watch, f"/calls/{call_id}?t=12.5")
    _comes_to(watch, 12.5)
    expect(page.locator("#lines [aria-current]")).to_contain_text("we can match")
    watch.until(f"{NOW} === 'for'")
    watch.until(f"Math.abs({CURSOR} - 12.5 / 20) < 0.02")
    page.keyboard.press("]")
    _comes_to(watch, 16.0)
    link = page.locator("#link")
    expect(link).to_have_attribute("href", "?t=16")
    link.click()
    assert page.url.endswith(f"/calls/{call_id}?t=16")


def test_a_search_finds_words_and_enter_goes_on(watch: Watched) -> None:
    page = watch.page
    page.keyboard.press("/")
    page.keyboard.type("THAT")
    expect(page.locator("#found")).to_have_text("3 found")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 of 3")
    assert page.evaluate("[...CSS.highlights.get('found-now')].map(String)") == ["that"]
    page.check("#only-found")
    expect(page.locator("#lines li:visible")).to_have_count(3)


def test_the_transcript_follows_unless_the_reader_looks_away(watch: Watched) -> None:
    page = watch.page
    follow = page.locator("#follow")
    expect(follow).to_be_checked()
    page.click("#play")
    watch.until(f"{AT} > 0.1")
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 50)
    expect(follow).not_to_be_checked()
    page.keyboard.press("f")
    expect(follow).to_be_checked()


def test_the_speed_is_kept_for_the_next_call(watch: Watched, call_id: str) -> None:
    page = watch.page
    page.select_option("#speed", "1.5")
    assert page.evaluate("document.getElementById('sound').playbackRate") == 1.5
    _open(watch, f"/calls/{call_id}")
    assert page.evaluate("document.getElementById('sound').playbackRate") == 1.5


def test_the_lanes_seek_by_mouse_and_can_be_looked_at_closer(watch: Watched) -> None:
    page = watch.page
    lanes = page.locator("#waves")
    box = lanes.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    _comes_to(watch, 10.0)
    expect(page.locator("#lanes")).to_have_attribute("aria-valuetext", "0:10 of 0:20")
    page.click("#wider")
    watch.until("waves.offsetWidth > 1.9 * ways.clientWidth && ways.scrollLeft > 0")


def test_an_unsure_mention_is_accepted_and_taken_back_by_keyboard(
    watch: Watched, app: Served, call_id: str
) -> None:
    page = watch.page
    expect(page.locator("#lines .named.review")).to_have_count(1)
    page.focus("#mentions button.accept")
    page.keyboard.press("Enter")
    expect(page.locator("#mentions .entry.review")).to_have_count(0)
    expect(page.locator("#lines .named.unjudged, #lines .named.unsure")).to_have_count(1)
    assert _sky(app.storage, call_id) == "accepted"
    expect(page.locator("#mentions button[value=undo]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#marks .mark.review")).to_have_count(1)
    assert _sky(app.storage, call_id) == "unsure"


def _sky(storage: Storage, call_id: str) -> str:
    [sky] = [m for m in storage.results.mentions(call_id) if m.competitor == "Sky"]
    return str(sky.status)


def test_the_sound_of_a_call_is_the_second_that_is_asked_for(
    watch: Watched,
) -> None:
    """What the browser decodes at a mention is the tone that the customer's channel has there."""
    page = watch.page
    heard = page.evaluate(
        """async () => { const reply = await fetch(document.getElementById('sound').src);
        const context = new OfflineAudioContext(2, 8000, 8000);
        const sound = await context.decodeAudioData(await reply.arrayBuffer());
        const loud = (side, at) => Math.max(...sound.getChannelData(side)
            .slice(at * 8000, at * 8000 + 800).map(Math.abs));
        return [sound.duration, loud(0, 6.5), loud(1, 6.5)]; }"""
    )
    assert heard[0] == pytest.approx(20)
    assert heard[1] < 0.01
    assert heard[2] > 0.2
