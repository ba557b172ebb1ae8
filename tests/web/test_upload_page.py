"""The upload page and the live list in Chromium; what `/upload` answers is played."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web import standing_calls
from tests.web.app_server import serving

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
BUILT = ROOT / "callpipeline" / "web" / "static" / "vendor" / "built"
OPTIONS = ["--disable-background-networking", "--disable-component-update", "--no-sandbox"]
A_CALL = "2026-03-02-0123456789ab"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None or not BUILT.exists():
        pytest.skip("no Chromium here, or the pages are not built: apt-get install chromium")
    expect.set_options(timeout=20_000)  # a machine with much to do is slow
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def app(settings: Settings, database_url: str) -> Iterator[str]:
    options = settings.model_copy(update={"database_url": SecretStr(database_url)})
    with serving(options.model_copy(update={"upload_max_mb": 1})) as at:
        yield at


@pytest.fixture
def page(browser: Browser, app: str) -> Iterator[Page]:
    """A page on a phone, which must say nothing on its console and ask for nothing elsewhere."""
    page = browser.new_page(base_url=app, viewport={"width": 390, "height": 844})
    page.set_default_timeout(15_000)
    wrong = list[str]()
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(app) else wrong.append(r.url))
    yield page
    page.close()
    assert [text for text in wrong if "Failed to load resource" not in text] == []


def played(page: Page, answer: Callable[[Route], None]) -> list[str]:
    """Let `answer` answer uploads; returns their keys, as they come."""
    keys = list[str]()

    def take(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer(route)

    page.route("**/upload", take)
    return keys


def accepted(route: Route) -> None:
    route.fulfill(json={"job_id": A_CALL, "message": "The recording was taken in."})


def choose(page: Page, *files: tuple[str, str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, kind, content in files]
    )


def line(page: Page, name: str) -> Any:
    return page.locator("#sent li").filter(has_text=name)


def test_each_file_ends_with_a_link_or_a_reason(page: Page) -> None:
    sent = list[str]()

    def answer(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        sent.append(body.decode("latin-1"))
        if b"is no audio" in body:
            problem = {"title": "Unsupported", "status": 415, "detail": "This is a PDF, not audio."}
            route.fulfill(status=415, json=problem, content_type="application/problem+json")
        else:
            accepted(route)

    keys = played(page, answer)
    page.goto("/")
    choose(
        page,
        ("good \u202e<b>.wav", "audio/wav", b"sound"),
        ("empty.wav", "audio/wav", b""),
        ("large.wav", "audio/wav", b"x" * 1_000_001),
        ("picture.png", "image/png", b"png"),
        ("odd.wav", "audio/wav", b"is no audio"),
    )
    link = line(page, "good").get_by_role("link", name="Open its call")
    expect(link).to_have_attribute("href", f"/calls/{A_CALL}")
    expect(line(page, "empty")).to_contain_text("The file is empty.")
    expect(line(page, "large")).to_contain_text("1.0 MB is the most that is taken.")
    expect(line(page, "picture")).to_contain_text("By its name this is no recording.")
    expect(line(page, "odd")).to_contain_text("This is a PDF, not audio.")
    expect(page.locator("#summary")).to_have_text("1 of 5 accepted, 4 refused.")
    assert len(sent) == len(set(keys)) == 2
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.impact, v.id]))")
    assert [each for each in found if each[0] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_file_that_the_network_lost_is_sent_again_with_its_key(page: Page) -> None:
    lost = list[Route]()

    def answer(route: Route) -> None:
        if lost:
            accepted(route)
        else:
            lost.append(route)
            route.abort("connectionreset")

    keys = played(page, answer)
    page.goto("/")
    choose(page, ("a.wav", "audio/wav", b"sound"))
    expect(line(page, "a.wav")).to_contain_text("The connection was lost. Tried again in 1 s.")
    expect(line(page, "a.wav").get_by_role("link")).to_be_visible()
    assert len(keys) == 2 and keys[0] == keys[1]


def test_three_are_sent_at_once_and_leaving_is_warned_of(page: Page) -> None:
    held = list[Route]()
    played(page, held.append)
    page.goto("/")
    choose(page, *((f"{number}.wav", "audio/wav", b"sound") for number in range(5)))
    expect(page.locator('#sent [data-state="sending"]')).to_have_count(3)
    expect(page.locator('#sent [data-state="waiting"]')).to_have_count(2)
    expect(page.locator("#summary")).to_have_text("0 of 5 accepted, 5 to go.")
    until_held(page, held, 3)
    leaving = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert page.evaluate(leaving) is False, "leaving is not warned of"
    line(page, "4.wav").get_by_role("button", name="Stop 4.wav").click()
    expect(line(page, "4.wav")).to_contain_text("Stopped.")
    accepted(held.pop())
    expect(page.locator('#sent [data-state="accepted"]')).to_have_count(1)
    until_held(page, held, 3)
    for route in held:
        accepted(route)
    expect(page.locator("#summary")).to_have_text("4 of 5 accepted, 1 stopped.")
    assert page.evaluate(leaving) is True


def until_held(page: Page, held: list[Route], count: int) -> None:
    for _ in range(100):
        if len(held) == count:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(held)} are sent")


def test_dropped_files_are_taken(page: Page) -> None:
    played(page, accepted)
    page.goto("/")
    page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["sound"], "dropped.wav", { type: "audio/wav" }));
          document.querySelector(".zone").dispatchEvent(
            new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
        }"""
    )
    expect(line(page, "dropped.wav").get_by_role("link")).to_be_visible()


def test_rows_follow_their_calls_and_new_calls_come_in(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    call_id = standing_calls.claimed(storage, "at-work.wav")
    page.goto("/")
    row = page.locator(f"#row-{call_id}")
    expect(row).to_contain_text("Processing")
    standing_calls.split(storage, call_id, tmp_path)
    expect(row).to_contain_text("Transcribing left and right")
    [new] = enter(storage, "new.wav")
    expect(page.locator(f"#row-{new}")).to_contain_text("Waiting")
    standing_calls.find(storage, call_id)
    storage.claims.complete(call_id, standing_calls.RUN)
    expect(row).to_contain_text("Completed")


def test_the_page_of_a_call_goes_on_by_itself_and_retries(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    call_id = standing_calls.failed(storage, "broken.wav")
    page.goto(f"/calls/{call_id}")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Next in the queue")).to_be_visible()
    storage.claims.claim([call_id], standing_calls.RUN)
    storage.claims.begin(call_id, standing_calls.RUN)
    standing_calls.split(storage, call_id, tmp_path)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "10")
    standing_calls.find(storage, call_id)
    storage.claims.complete(call_id, standing_calls.RUN)
    expect(page.locator(".standing")).to_contain_text("Completed")
    expect(page.locator("#live")).to_have_count(0)


def test_where_no_event_comes_through_the_page_asks_by_itself(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    call_id = standing_calls.claimed(storage, "at-work.wav")
    page.route("**/events/**", lambda route: route.fulfill(status=503, body="busy"))
    page.goto("/calls")
    standing_calls.split(storage, call_id, tmp_path)
    row = page.locator(f"#row-{call_id}")
    expect(row).to_contain_text("Transcribing left and right", timeout=15_000)
