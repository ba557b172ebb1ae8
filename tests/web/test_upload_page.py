"""The upload page and live updates in Chromium, with stubbed replies of `/upload`."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web import calls_by_state
from tests.web.served import Served, served

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
        pytest.skip("Chromium is missing or the frontend is not built: apt-get install chromium")
    expect.set_options(timeout=60_000)  # slow on a busy machine
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, upload_max_mb=1) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def page(browser: Browser, empty_app: Served) -> Iterator[Page]:
    """A page on a phone, without console errors and external requests."""
    address = empty_app.address
    page = browser.new_page(base_url=address, viewport={"width": 390, "height": 844})
    page.set_default_timeout(60_000)
    problems = list[str]()
    page.on(
        "console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(address) else problems.append(r.url))
    yield page
    page.close()
    assert [text for text in problems if "Failed to load resource" not in text] == []


def stub_uploads(page: Page, reply: Callable[[Route], None]) -> list[str]:
    """Let `reply` handle uploads; return the list of their idempotency keys."""
    keys = list[str]()

    def handle(route: Route) -> None:
        if route.request.method == "GET":  # the page itself
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        reply(route)

    page.route("**/upload", handle)
    return keys


def accept(route: Route) -> None:
    route.fulfill(json={"job_id": A_CALL, "message": "Uploaded. Waiting to be processed."})


def choose(page: Page, *files: tuple[str, str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, kind, content in files]
    )


def item(page: Page, name: str) -> Any:
    return page.locator("#uploads li").filter(has_text=name)


def test_each_upload_ends_with_a_link_or_a_reason(page: Page) -> None:
    sent = list[str]()

    def reply(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        sent.append(body.decode("latin-1"))
        if b"is no audio" in body:
            problem = {"title": "Unsupported", "status": 415, "detail": "This is a PDF, not audio."}
            route.fulfill(status=415, json=problem, content_type="application/problem+json")
        else:
            accept(route)

    keys = stub_uploads(page, reply)
    page.goto("/upload")
    choose(
        page,
        ("good \u202e<b>.wav", "audio/wav", b"sound"),
        ("empty.wav", "audio/wav", b""),
        ("large.wav", "audio/wav", b"x" * 1_000_001),
        ("picture.png", "image/png", b"png"),
        ("odd.wav", "audio/wav", b"is no audio"),
    )
    link = item(page, "good").get_by_role("link", name="Open call")
    expect(link).to_have_attribute("href", f"/calls/{A_CALL}")
    expect(item(page, "empty")).to_contain_text("This file is empty.")
    expect(item(page, "large")).to_contain_text("This file is 1 MB; the limit is 1 MB.")
    expect(item(page, "picture")).to_contain_text("Not an audio file.")
    expect(item(page, "odd")).to_contain_text("This is a PDF, not audio.")
    expect(page.locator("#summary")).to_have_text("1 of 5 uploaded, 4 rejected")
    assert len(sent) == len(set(keys)) == 2
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.impact, v.id]))")
    assert [each for each in found if each[0] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_details_of_the_call_are_sent_with_its_recording(page: Page) -> None:
    sent = list[str]()

    def reply(route: Route) -> None:
        sent.append((route.request.post_data_buffer or b"").decode("latin-1"))
        accept(route)

    stub_uploads(page, reply)
    page.goto("/upload")
    page.get_by_text("Details of the call").click()
    page.get_by_label("Agent").fill("Ann Abbot")
    page.get_by_label("Direction").select_option("outbound")
    choose(page, ("call.wav", "audio/wav", b"sound"))
    expect(page.locator("#summary")).to_have_text("1 of 1 uploaded")
    assert 'name="agent"\r\n\r\nAnn Abbot\r\n' in sent[0]
    assert 'name="direction"\r\n\r\noutbound\r\n' in sent[0]
    assert 'name="queue"' not in sent[0]


def test_a_lost_connection_is_retried_under_the_same_key(page: Page) -> None:
    lost = list[Route]()

    def reply(route: Route) -> None:
        if lost:
            accept(route)
        else:
            lost.append(route)
            route.abort("connectionreset")

    keys = stub_uploads(page, reply)
    page.goto("/upload")
    choose(page, ("a.wav", "audio/wav", b"sound"))
    expect(item(page, "a.wav")).to_contain_text("Connection lost. Retrying in 1 s")
    expect(item(page, "a.wav").get_by_role("link")).to_be_visible()
    assert len(keys) == 2 and keys[0] == keys[1]


def test_three_uploads_run_at_once_and_leaving_is_confirmed(page: Page) -> None:
    held = list[Route]()
    stub_uploads(page, held.append)
    page.goto("/upload")
    choose(page, *((f"{number}.wav", "audio/wav", b"sound") for number in range(5)))
    expect(page.locator('#uploads [data-state="uploading"]')).to_have_count(3)
    expect(page.locator('#uploads [data-state="queued"]')).to_have_count(2)
    expect(page.locator("#summary")).to_have_text("0 of 5 uploaded, 5 left")
    until_held(page, held, 3)
    leaving = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert page.evaluate(leaving) is False, "leaving needs no confirmation"
    item(page, "4.wav").get_by_role("button", name="Cancel 4.wav").click()
    expect(item(page, "4.wav")).to_contain_text("Cancelled")
    accept(held.pop())
    expect(page.locator('#uploads [data-state="done"]')).to_have_count(1)
    until_held(page, held, 3)
    for route in held:
        accept(route)
    expect(page.locator("#summary")).to_have_text("4 of 5 uploaded, 1 cancelled")
    assert page.evaluate(leaving) is True


def until_held(page: Page, held: list[Route], count: int) -> None:
    for _ in range(1200):
        if len(held) == count:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(held)} uploads")


def test_dropped_files_are_uploaded(page: Page) -> None:
    stub_uploads(page, accept)
    page.goto("/upload")
    page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["sound"], "dropped.wav", { type: "audio/wav" }));
          document.querySelector(".drop-zone").dispatchEvent(
            new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
        }"""
    )
    expect(item(page, "dropped.wav").get_by_role("link")).to_be_visible()


def test_rows_are_updated_and_new_calls_appear(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    call_id = calls_by_state.claimed(storage, "at-work.wav")
    page.goto("/upload")
    row = page.locator(f"#row-{call_id}")
    expect(row).to_contain_text("Processing")
    calls_by_state.split(storage, call_id, tmp_path)
    expect(row).to_contain_text("Transcribing left and right")
    [new] = enter(storage, "new.wav")
    expect(page.locator(f"#row-{new}")).to_contain_text("Queued")
    calls_by_state.find(storage, call_id)
    storage.claims.complete(call_id, calls_by_state.RUN)
    expect(row).to_contain_text("Completed")


def test_the_call_page_is_updated_and_retries(page: Page, storage: Storage, tmp_path: Path) -> None:
    call_id = calls_by_state.failed(storage, "broken.wav")
    page.goto(f"/calls/{call_id}")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Next in queue")).to_be_visible()
    storage.claims.claim([call_id], calls_by_state.RUN)
    storage.claims.begin(call_id, calls_by_state.RUN)
    calls_by_state.split(storage, call_id, tmp_path)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "10")
    calls_by_state.find(storage, call_id)
    storage.claims.complete(call_id, calls_by_state.RUN)
    expect(page.locator(".call-header")).to_contain_text("Completed")
    expect(page.locator("#live")).to_have_count(0)


def test_the_page_polls_while_no_event_arrives(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    call_id = calls_by_state.claimed(storage, "at-work.wav")
    page.route("**/events/**", lambda route: route.fulfill(status=503, body="busy"))
    page.goto("/calls")
    calls_by_state.split(storage, call_id, tmp_path)
    row = page.locator(f"#row-{call_id}")
    expect(row).to_contain_text("Transcribing left and right")
